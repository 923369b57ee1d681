"""Train an encoder without labels: `python -m and_tf.train --config configs/svhn.json`."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from and_tf import commands
from and_tf.backend import require_tensorflow
from and_tf.cluster import Cluster
from and_tf.commands import fail, quieten, refusing_bad_input
from and_tf.config import RunConfig, load_config
from and_tf.errors import Interrupted, NumbersError, RunError
from and_tf.files import replacing, write_text
from and_tf.resuming import check_same_config, check_same_images, fingerprint, without_places
from and_tf.run_directory import RunDirectory, RunDirectoryError

if TYPE_CHECKING:
    import tensorflow as tf

    from and_tf.callbacks import KNNEvaluation
    from and_tf.checkpoints import Position
    from and_tf.data.image_set import ImageSet
    from and_tf.model import AND
    from and_tf.workers import Workers


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
    cluster = Cluster()
    try:
        require_tensorflow()
        cluster = Cluster.of_environment()
        config, run = choose_run(args)
        with run_directory_held(run, args, cluster):
            train(config, run, resume=args.resume, cluster=cluster)
    except Interrupted as interruption:
        message = f"stopped by {interruption}; the checkpoint is written: go on with --resume"
        return fail(message, interruption.exit_code)
    except KeyboardInterrupt:
        return fail("stopped at once; go on from the last checkpoint with --resume", 130)
    except Exception as error:
        loss = cluster.explain_loss(error)
        message = loss or explain(error)
        if message is None:
            raise
        if loss:
            atexit.register(leave_at_once, 2)
        return fail(message, 2)
    return 0


def leave_at_once(code: int) -> None:
    """End the process here and now: TensorFlow's threads would wait for a worker that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_directory_held(
    run: RunDirectory, args: argparse.Namespace, cluster: Cluster
) -> AbstractContextManager:
    """The chief takes the directory; the other workers only look whether it may."""
    if cluster.is_chief:
        return run.taken(args.overwrite, args.resume)
    run.check(args.overwrite, args.resume)
    return nullcontext()


def explain(error: Exception) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug."""
    if isinstance(error, RunDirectoryError):
        return str(error)
    return commands.explain(
        error,
        full_disk="No space left on the disk of the run directory; the last checkpoint stands. Make "
        "room, then go on with --resume",
        memory="Not enough memory; the last checkpoint stands. Try a smaller train.batch_size, "
        "encoder.width or data.image_size, or data.in_memory=false",
    )


def choose_run(args: argparse.Namespace) -> tuple[RunConfig, RunDirectory]:
    """The config and the run directory that the command line asks for; nothing is written.

    Raises:
        ConfigError: A wrong config, or one under which the run cannot go on.
        RunDirectoryError: The options do not fit together.
    """
    if args.resume and args.overwrite:
        raise RunDirectoryError("--resume and --overwrite exclude each other. Received: both")
    if args.run_dir == "":
        raise RunDirectoryError('--run-dir must name a directory. Received: ""')
    overrides = list(args.overrides)
    if args.data_dir is not None:
        overrides.append(f"data.data_dir={json.dumps(args.data_dir)}")

    run = RunDirectory(Path(args.run_dir).expanduser()) if args.run_dir else None
    goes_on = run is not None and args.resume and run.holds_run
    source = run.config if goes_on and args.config is None else args.config
    config = load_config(source, overrides)
    run = run or RunDirectory(Path("runs") / config.name)
    if args.resume and run.holds_run:
        check_same_config(load_config(run.config), config)
    return config, run


def train(
    config: RunConfig, run: RunDirectory, resume: bool = False, cluster: Cluster | None = None
) -> None:
    """Train to the end of the curriculum; leave the model and its card in the run directory.

    Args:
        config: What to do.
        run: Where, taken by this process. What it holds is removed unless the run goes on.
        resume: Go on with the run that is there, if there is one.
        cluster: The machines that train together; this one alone by default.

    Raises:
        RunError: Bad input, images that are not those of the run, or a loss that is not finite.
        Interrupted: A signal came; the checkpoint is written.
        OSError: The disk is full. The last checkpoint stands.
    """
    quieten()
    cluster = cluster or Cluster()
    goes_on = resume and run.holds_run
    with refusing_bad_input():
        from and_tf.devices import choose_strategy
        from and_tf.workers import Workers

        if cluster.count > 1:
            print(f"{cluster.name(cluster.rank)} of {cluster.count}, waiting for all", flush=True)
        strategy = choose_strategy(  # before anything is computed
            config.train.devices, cluster, config.train.worker_timeout_seconds
        )
        workers = Workers(strategy)
        images, test = load_images(config)
        if goes_on:
            environment = json.loads(run.environment.read_text(encoding="utf-8"))
            check_same_images(environment["data"], images)
            warn_of_other_versions(environment["versions"])
        with strategy.scope():
            model = prepare_model(config, images, run.checkpoints if goes_on else None, workers)
        workers.check_same(
            {
                "the config": without_places(config),
                "the images": fingerprint(images),
                "the checkpoint": model.examples_seen,
            }
        )
        if goes_on and workers.is_chief:
            write_text(run.config, config.to_json())
        elif workers.is_chief:
            if resume:
                print(f"there is no run in {run.path} yet: beginning it")
            run.begin(config.to_json(), describe_environment(config, images))
    fit(config, run, model, images, test)


def load_images(config: RunConfig) -> tuple[ImageSet, ImageSet | None]:
    """The training images and the held-out ones, checked against the config."""
    from and_tf import data

    images, test = data.load(**config.data.model_dump(exclude={"mean", "std"}))
    if images.num_examples < config.train.batch_size:
        raise ValueError(
            f"train.batch_size: {images.name} has only {images.num_examples} images; set it to "
            f"that or less. Received: {config.train.batch_size}"
        )
    for labelled in (images, test):  # streamed sets read theirs now, where damage is explained
        _ = labelled and labelled.labels
    return images, test


def prepare_model(
    config: RunConfig, images: ImageSet, checkpoints: Path | None, workers: Workers
) -> AND:
    """The model of the latest checkpoint in a folder, or a new one."""
    import keras
    import tensorflow as tf

    from and_tf.assembly import build_model
    from and_tf.checkpoints import Checkpoints
    from and_tf.precision import choose_precision, set_precision
    from and_tf.replica_limits import check_training

    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    set_precision(choose_precision(config.train.precision))
    if checkpoints is not None:
        found = Checkpoints(checkpoints, config.train.batch_size, workers=workers)
        model = found.load_latest(config.objective.bank)
        if model is not None:
            return model
    model = build_model(config, images)
    check_training(model)
    return model


def describe_environment(config: RunConfig, images: ImageSet) -> dict:
    """What a run's numbers depend on beside its config."""
    from and_tf.precision import choose_precision
    from and_tf.summary import versions

    return {
        "command": sys.argv,
        "seed": config.seed,
        "precision": choose_precision(config.train.precision),
        "data": fingerprint(images),
        "versions": versions(),
    }


def warn_of_other_versions(begun_with: dict[str, str]) -> None:
    """Say which versions changed since a run was begun: its numbers may, too."""
    from and_tf.summary import versions

    for name, version in versions().items():
        if begun_with.get(name) != version:
            print(
                f"warning: the run was begun with {name} {begun_with.get(name)}, this is {version}"
            )


def fit(
    config: RunConfig, run: RunDirectory, model: AND, images: ImageSet, test: ImageSet | None
) -> None:
    """Train a model from where it stands to the end of the curriculum, and save it."""
    import keras

    from and_tf.assembly import build_discovery, build_evaluation, build_watchdog
    from and_tf.checkpoints import Checkpoints, Position, SaveCheckpoints
    from and_tf.interrupts import StopWhenAsked
    from and_tf.progress import Progress
    from and_tf.summary import model_card, result_table
    from and_tf.workers import Workers

    workers = Workers(model.distribute_strategy)
    batch_size = config.train.batch_size
    steps = images.steps_per_epoch(batch_size)
    position = Position.of(model, batch_size)
    if workers.is_chief:
        run.rewind_metrics(position.epoch, position.step, int(model.round.numpy()))

    discovery = build_discovery(config, images)
    checkpoints = Checkpoints(
        run.checkpoints,
        batch_size,
        config.train.keep_checkpoints,
        discovery.curriculum.ends_of_rounds() if config.train.keep_rounds else (),
        workers,
    )
    evaluation = build_evaluation(config, images, test, discovery)
    stop = StopWhenAsked(checkpoints)
    reports = (
        [
            Progress(run, discovery, evaluation),
            keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        ]
        if workers.is_chief
        else []
    )
    callbacks = [
        build_watchdog(config),
        discovery,
        *([evaluation] if evaluation else []),
        *reports,
        SaveCheckpoints(
            checkpoints, config.train.checkpoint_every_epochs, config.train.checkpoint_every_minutes
        ),
        stop,
    ]
    skipped = report_skipped(run, workers, images, test)
    if workers.is_chief:
        announce(config, run, model, images, evaluation)
        if skipped:
            print(f"left out {skipped} files, see {run.skipped}", flush=True)
        if position != Position(0, 0):
            print(f"resuming after epoch {position.epoch}, step {position.step}", flush=True)

    total_epochs = discovery.curriculum.total_epochs
    try:
        with stop.listening():
            while position.epoch < total_epochs:
                # An epoch that was stopped in the middle is finished first, then come all others.
                model.fit(
                    training_batches(config, model, images, position),
                    steps_per_epoch=steps - position.step,
                    initial_epoch=position.epoch,
                    epochs=position.epoch + 1 if position.step else total_epochs,
                    callbacks=callbacks,
                    shuffle=False,  # the data set gives every epoch its order
                    verbose=0,
                )
                position = Position.of(model, batch_size)
            checkpoints.save(model)
    except NumbersError as error:
        workers.leave()
        if checkpoints.paths():
            rate = config.optimizer.learning_rate / 10
            error = RunError(
                f"{error} The last good checkpoint stands: --resume --set "
                f"optimizer.learning_rate={rate:g} goes on from it."
            )
        raise error from None

    # A streamed file may have turned out broken on the way.
    report_skipped(run, workers, images, test)
    if workers.is_chief:
        with replacing(run.model) as temporary:
            model.save(temporary)
        rows = run.read_metrics()
        card = model_card(config, images, evaluation, rows, discovery.curriculum)
        write_text(run.model_card, card)
        table = result_table(rows, discovery.curriculum)
        print(f"\n{table}\n\nThe trained model: {run.model}")
    else:
        model.bank.numpy()  # for the chief, see `Checkpoints.save`
    workers.leave()  # once the chief has written


def announce(
    config: RunConfig,
    run: RunDirectory,
    model: AND,
    images: ImageSet,
    evaluation: KNNEvaluation | None,
) -> None:
    """Say what is trained on what, and where the result goes."""
    from and_tf.summary import evaluation_note

    print(
        f"{config.name}: {images.num_examples:,} images {images.image_shape} of {images.name}, "
        f"{config.encoder.name} width {config.encoder.width:g} "
        f"({model.encoder.count_params():,} weights) in {model.encoder.get_layer('conv1').compute_dtype} "
        f"on {model.distribute_strategy.num_replicas_in_sync} device(s), run directory {run.path}\n"
        f"{evaluation_note(evaluation)}",
        flush=True,
    )


def training_batches(
    config: RunConfig, model: AND, images: ImageSet, position: Position
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The batches from a position on; of several machines each decodes its own rows alone."""
    from and_tf import multi_worker
    from and_tf.workers import Workers

    strategy, batch_size = model.distribute_strategy, config.train.batch_size
    start = batch_size, config.seed, position.epoch, position.step
    if Workers(strategy).count == 1:
        return images.training_batches(*start)
    rows = multi_worker.rows_of_worker(strategy, batch_size)
    return multi_worker.distributed(
        strategy, images.training_batches(*start, rows=rows), batch_size
    )


def report_skipped(run: RunDirectory, workers: Workers, *sets: ImageSet | None) -> int:
    """Write which files were left out so far, by any worker, and return how many they are."""
    skipped = [line for images in sets if images is not None for line in images.skipped]
    text = "".join(f"{file}\t{reason}\n" for file, reason in skipped)
    encoded = np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    gathered = workers.gathered(encoded.astype(np.int32)).astype(np.uint8).tobytes()
    lines = dict.fromkeys(gathered.decode("utf-8", "surrogateescape").splitlines(keepends=True))
    if lines and workers.is_chief:
        write_text(run.skipped, "".join(lines))
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
