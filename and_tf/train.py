"""Train an encoder without labels: `python -m and_tf.train --config configs/svhn.json`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from and_tf.backend import require_tensorflow
from and_tf.config import ConfigError, RunConfig, load_config
from and_tf.files import is_full_disk, replacing, write_text
from and_tf.resuming import check_same_config, check_same_images, fingerprint
from and_tf.run_directory import RunDirectory, RunDirectoryError

if TYPE_CHECKING:
    from and_tf.data.image_set import ImageSet
    from and_tf.model import AND


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.train",
        description="Train an image encoder without labels by neighbourhood discovery.",
    )
    parser.add_argument("--config", metavar="FILE", help="JSON config (default: embedded digits)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change one key of the config, such as curriculum.rounds=2; may be repeated",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where TensorFlow Datasets lie")
    parser.add_argument("--run-dir", metavar="DIR", help="run directory (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that is there")
    parser.add_argument("--overwrite", action="store_true", help="remove the run that is there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input or a run that cannot go on, 128 + n stopped by signal n.
    """
    args = parse_arguments(arguments)
    try:
        require_tensorflow()
        config, run = open_run(args)
    except (ConfigError, RunDirectoryError, RuntimeError) as error:
        return fail(error, 2)
    try:
        return run_training(config, run)
    finally:
        run.close()


def run_training(config: RunConfig, run: RunDirectory) -> int:
    """Load, prepare and train, in a run directory that is open.

    Returns:
        The exit code.
    """
    quieten()
    try:
        images, test = load_images(config, run)
        model = prepare_model(config, run, images)
    except ValueError as error:
        return fail(error, 2)
    except OSError as error:
        if not is_full_disk(error):
            raise
        return fail(f"No space left for {run.path}. Make room, then try again.", 2)
    except KeyboardInterrupt:
        return fail("stopped before training began", 130)
    return train(config, run, model, images, test)


def fail(error: Exception | str, code: int) -> int:
    """Say what went wrong, and give back the exit code."""
    print(f"error: {error}", file=sys.stderr)
    return code


def quieten() -> None:
    """Keep TensorFlow's remarks on the machine out of the way, unless they were asked for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def open_run(args: argparse.Namespace) -> tuple[RunConfig, RunDirectory]:
    """The config and the run directory that the command line asks for.

    Raises:
        ConfigError: A wrong config, or one under which the run cannot go on.
        RunDirectoryError: The directory cannot be used as asked.
    """
    if args.resume and args.overwrite:
        raise RunDirectoryError("--resume and --overwrite exclude each other. Received: both")
    overrides = list(args.overrides)
    if args.data_dir is not None:
        overrides.append(f"data.data_dir={json.dumps(args.data_dir)}")

    run = RunDirectory(Path(args.run_dir)) if args.run_dir else None
    if run is not None and args.resume and run.holds_run and args.config is None:
        config = load_config(run.config, overrides)
    else:
        config = load_config(args.config, overrides)
        run = run or RunDirectory(Path("runs") / config.name)
    begun_with = load_config(run.config) if args.resume and run.holds_run else None
    if begun_with is not None:
        check_same_config(begun_with, config)
    run.open(overwrite=args.overwrite, resume=args.resume)
    if begun_with is None:
        write_text(run.config, config.to_json())
    return config, run


def load_images(config: RunConfig, run: RunDirectory) -> tuple[ImageSet, ImageSet | None]:
    """The training images and the held-out ones, checked, with a report of what was left out."""
    from and_tf import data
    from and_tf.summary import versions

    images, test = data.load(**config.data.model_dump(exclude={"mean", "std"}))
    if number := report_skipped(run, images, test):
        print(f"left out {number} files that are not usable images, see {run.skipped}")
    if images.num_examples < config.train.batch_size:
        raise ValueError(
            f"train.batch_size: {images.name} has only {images.num_examples} images; set it to "
            f"that or less. Received: {config.train.batch_size}"
        )
    if run.environment.exists():
        check_same_images(json.loads(run.environment.read_text())["data"], images)
    else:
        environment = {
            "command": sys.argv,
            "seed": config.seed,
            "data": fingerprint(images),
            "versions": versions(),
        }
        write_text(run.environment, json.dumps(environment, indent=2) + "\n")
    return images, test


def report_skipped(run: RunDirectory, *sets: ImageSet | None) -> int:
    """Write which files were left out so far, and return how many they are."""
    skipped = [line for images in sets if images is not None for line in images.skipped]
    if skipped:
        write_text(run.skipped, "".join(f"{file}\t{reason}\n" for file, reason in skipped))
    return len(skipped)


def prepare_model(config: RunConfig, run: RunDirectory, images: ImageSet) -> AND:
    """The model of the run's latest checkpoint, or a new one."""
    import keras
    import tensorflow as tf

    from and_tf.assembly import build_model
    from and_tf.checkpoints import Checkpoints

    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    precision = config.train.precision
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    model = Checkpoints(run.checkpoints, config.train.batch_size).load_latest()
    return model or build_model(config, images)


def train(
    config: RunConfig, run: RunDirectory, model: AND, images: ImageSet, test: ImageSet | None
) -> int:
    """Train to the end of the curriculum, and leave the model and its card in the run directory.

    Returns:
        The exit code.
    """
    import keras
    import tensorflow as tf

    from and_tf.assembly import build_discovery, build_evaluation
    from and_tf.callbacks import CollapseWarning, NonFiniteError, StopOnNonFinite
    from and_tf.checkpoints import Checkpoints, Position, SaveCheckpoints
    from and_tf.interrupts import Interrupted, StopWhenAsked
    from and_tf.progress import Progress
    from and_tf.summary import evaluation_note, model_card, result_table

    batch_size = config.train.batch_size
    steps = images.steps_per_epoch(batch_size)
    position = Position.of(model, batch_size)
    run.rewind_metrics(position.epoch, position.step)

    checkpoints = Checkpoints(run.checkpoints, batch_size, config.train.keep_checkpoints)
    discovery = build_discovery(config, images)
    evaluation = build_evaluation(config, images, test, discovery)
    stop = StopWhenAsked(checkpoints)
    callbacks = [
        StopOnNonFinite(),
        discovery,
        CollapseWarning(),
        *([evaluation] if evaluation else []),
        Progress(run, discovery, evaluation),
        keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        SaveCheckpoints(checkpoints, config.train.checkpoint_every_epochs),
        stop,
    ]
    print(
        f"{config.name}: {images.num_examples:,} images {images.image_shape} of {images.name}, "
        f"{config.encoder.name} width {config.encoder.width:g} "
        f"({model.encoder.count_params():,} weights), run directory {run.path}\n"
        f"{evaluation_note(config, images, test)}",
        flush=True,
    )
    if position != Position(0, 0):
        print(f"resuming after epoch {position.epoch}, step {position.step}", flush=True)

    total_epochs = discovery.curriculum.total_epochs
    try:
        with stop.listening():
            while position.epoch < total_epochs:
                # An epoch that was stopped in the middle is finished first, then come all others.
                model.fit(
                    images.training_batches(batch_size, config.seed, position.epoch, position.step),
                    steps_per_epoch=steps - position.step,
                    initial_epoch=position.epoch,
                    epochs=position.epoch + 1 if position.step else total_epochs,
                    callbacks=callbacks,
                    shuffle=False,  # the data set gives every epoch its order
                    verbose=0,
                )
                position = Position.of(model, batch_size)
            checkpoints.save(model)
            with replacing(run.model) as temporary:
                model.save(temporary)
    except Interrupted as interruption:
        return fail(
            f"stopped by {interruption}; the checkpoint is written: go on with --resume",
            interruption.exit_code,
        )
    except KeyboardInterrupt:
        return fail("stopped at once; the last checkpoint stands: go on with --resume", 130)
    except NonFiniteError as error:
        return fail(f"{error} The last good checkpoint is in {run.checkpoints}.", 2)
    except (OSError, tf.errors.OpError) as error:
        if not is_full_disk(error):
            raise
        return fail(
            f"No space left for {run.path}; the last checkpoint stands. Make room, then go on with "
            "--resume.",
            2,
        )

    report_skipped(run, images, test)  # a streamed file may have turned out broken on the way
    rows = run.read_metrics()
    write_text(run.model_card, model_card(config, images, test, rows, discovery.curriculum))
    print(f"\n{result_table(rows, discovery.curriculum)}\n\nThe trained model: {run.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
