"""Train an encoder without labels: `python -m and_tf.train --config configs/svhn.json`."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from and_tf.backend import require_tensorflow
from and_tf.distribution.cluster import Cluster
from and_tf.errors import Interrupted, stopped_at_once
from and_tf.files import write_text
from and_tf.runs import commands
from and_tf.runs.commands import (
    add_overrides,
    fail,
    have_temporary_folder,
    import_keras,
    lasting_output,
    refusing_bad_input,
)
from and_tf.runs.config import ConfigError, RunConfig, load_config
from and_tf.runs.paths import expanded, shown
from and_tf.runs.resuming import (
    check_same_config,
    check_same_images,
    fingerprint,
    folder_fingerprints,
    without_places,
)
from and_tf.runs.run_directory import RunDirectory, RunDirectoryError

if TYPE_CHECKING:
    from and_tf.data.image_set import ImageSet
    from and_tf.distribution.workers import Workers
    from and_tf.method.model import AND


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.train",
        description="Train an image encoder without labels by neighbourhood discovery.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="JSON config (default: embedded digits)")
    add_overrides(
        parser,
        "change one key of the config, such as curriculum.rounds=2",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where TensorFlow Datasets lie")
    parser.add_argument("--run-dir", metavar="DIR", help="run directory (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that is there")
    parser.add_argument(
        "--resume-or-start",
        action="store_true",
        help="go on with the run that is there, or start it; for jobs that are started again and again",
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the run that is there")
    args = parser.parse_args(arguments)
    args.resume |= args.resume_or_start
    return args


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input or a run that cannot go on, 128 + n stopped by signal n.
    """
    args = parse_arguments(arguments)
    with lasting_output():
        return run_command(args)


def run_command(args: argparse.Namespace) -> int:
    """Train as the arguments say, and return the exit code."""
    cluster, code, run = Cluster(), 0, None
    try:
        require_tensorflow()
        cluster = Cluster.of_environment()
        config, run = choose_run(args, cluster)
        with run_directory_held(run, args, cluster):
            train(config, run, resume=args.resume, cluster=cluster)
    except Interrupted as interruption:
        stopped = f"stopped by {interruption}; the checkpoint is written: go on with --resume"
        code = fail(stopped, interruption.exit_code)
    except KeyboardInterrupt:
        code = fail(stopped_at_once(run is not None and run.has_checkpoint), 130)
    except Exception as error:
        has_checkpoint = run is not None and run.has_checkpoint
        message = cluster.explain_loss(error) or explain(error, has_checkpoint)
        if message is None:
            raise
        code = fail(message, 2)
    if cluster.count > 1:
        atexit.register(leave_at_once, code)
    return code


def leave_at_once(code: int) -> None:
    """End the process here and now: TensorFlow's threads would wait for workers that are gone."""
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


def explain(error: Exception, has_checkpoint: bool = False) -> str | None:
    """What to tell the user about an error that is not ours; None for a bug."""
    stands = "; the last checkpoint stands" if has_checkpoint else ""
    again = "go on with --resume" if has_checkpoint else "start again with --resume-or-start"
    if isinstance(error, RunDirectoryError):
        return str(error)
    return commands.explain(
        error,
        full_disk=f"No space left on the disk of the run directory{stands}. Make room, then {again}",
        memory=f"Not enough memory{stands}. Try a smaller train.batch_size, encoder.width or "
        "data.image_size, or data.in_memory=false",
    )


def choose_run(args: argparse.Namespace, cluster: Cluster) -> tuple[RunConfig, RunDirectory]:
    """The config and the run directory that the command line asks for; nothing is written.

    Raises:
        ConfigError: A wrong config, or one under which the run cannot go on.
        RunDirectoryError: The options do not fit together.
    """
    if args.resume and args.overwrite:
        name = "--resume-or-start" if args.resume_or_start else "--resume"
        raise RunDirectoryError(f"{name} and --overwrite exclude each other. Received: both")
    if args.run_dir == "":
        raise RunDirectoryError('--run-dir must name a directory. Received: ""')
    overrides = list(args.overrides)
    if args.data_dir is not None:
        overrides.append(f"data.data_dir={json.dumps(args.data_dir)}")

    run = RunDirectory(expanded("--run-dir", args.run_dir)) if args.run_dir else None
    source = args.config and expanded("--config", args.config)
    if source is None and run is not None and args.resume and run.holds_run:
        source = run.config
    config = load_config(source, overrides)
    for name in ("path", "test_path", "labels", "data_dir"):
        if isinstance(path := getattr(config.data, name), str):
            expanded(f"data.{name}", path)
    run = run or RunDirectory(expanded("--run-dir", Path("runs") / config.name))
    if args.resume and run.holds_run:
        if run.model.exists() and not run.has_checkpoint:
            raise RunDirectoryError(
                "The checkpoints of the run are gone, so that it cannot go on; --overwrite begins it anew, "
                f"without the model that it trained. Received: {shown(run.model)}"
            )
        try:
            check_same_config(load_config(run.config), config)
        except ConfigError as error:
            # Whoever repeats the first command may have left out some of it.
            cure = f"To go on with the run as it was begun: --run-dir {shown(run.path)} --resume"
            raise ConfigError([*error.problems, cure]) from None
    elif args.resume and not args.resume_or_start and cluster.is_chief:
        # A mistyped directory would else begin a run of days anew. What other workers miss is found
        # when all compare what they see, where none waits for one that is gone.
        raise RunDirectoryError(
            f"There is no run to go on with. Leave --resume out to start one, or give "
            f"--resume-or-start, which does either. Received: {shown(run.path)}"
        )
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
    have_temporary_folder(run.path)
    import_keras()
    cluster = cluster or Cluster()
    goes_on = resume and run.holds_run
    with refusing_bad_input():
        from and_tf.distribution.devices import choose_strategy
        from and_tf.distribution.workers import Workers

        if cluster.count > 1:
            print(f"{cluster.name(cluster.rank)} of {cluster.count}, waiting for all", flush=True)
        with ctrl_c_ending_at_once(cluster):
            strategy = choose_strategy(  # before anything is computed
                config.train.devices, cluster, config.train.worker_timeout_seconds
            )
        workers = Workers(strategy)
        images, test = load_images(config)
        if goes_on:
            environment = run.read_environment()
            if not {"data", "versions"} <= environment.keys():
                raise RunDirectoryError(
                    "A run goes on only with its environment.json, which says what images it was begun "
                    f"with: it is missing or damaged. Received: {shown(run.environment)}"
                )
            check_same_images(environment["data"], images)
            warn_of_other_versions(environment["versions"])
        workers.check_same(
            {
                "the config": without_places(config),
                "the images": fingerprint(images),
                # Who loads a model and who makes one would not meet.
                "the run directory": goes_on
                and [path.name for path in sorted(run.checkpoints.glob("epoch-*.keras"))],
            }
        )
        with strategy.scope():
            model = prepare_model(config, images, run.checkpoints if goes_on else None, workers)
        workers.check_same({"the checkpoint": model.examples_seen})
        if goes_on and workers.is_chief:
            if not run.has_checkpoint:
                print(f"there is no checkpoint in {shown(run.path)} yet: beginning anew")
            write_text(run.config, config.to_json())
        elif workers.is_chief:
            if resume:
                print(f"there is no run in {shown(run.path)} yet: beginning it")
            run.begin(config.to_json(), describe_environment(config, images))
        warn_of_hidden(run, cluster, workers)
    from and_tf.runs.fitting import fit

    fit(config, run, model, images, test)
    if config.train.report and workers.is_chief:
        report(config, run, model, images)


def report(config: RunConfig, run: RunDirectory, model: AND, images: ImageSet) -> None:
    """End with a report; a run whose report fails has still ended well."""
    try:
        from and_tf.reporting.closing import closing_report

        print(f"The report: {shown(closing_report(run, config, model, images))}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the model is saved
        reason = (str(error) or repr(error)).splitlines()[0]
        print(f"warning: no report was written: {reason}", flush=True)


def warn_of_hidden(run: RunDirectory, cluster: Cluster, workers: Workers) -> None:
    """Say which workers do not see the run directory: with them a run that stops cannot go on."""
    if cluster.count == 1:
        return
    import numpy as np

    workers.anyone(False)  # the chief has begun the run
    sees = workers.gathered(np.array([run.holds_run], np.int32))
    if workers.is_chief and not sees.all():
        blind = ", ".join(cluster.name(rank) for rank in np.flatnonzero(sees == 0).tolist())
        print(
            f"warning: put {shown(run.path)} where all machines see it, to go on after a stop: {blind}"
        )


@contextmanager
def ctrl_c_ending_at_once(cluster: Cluster) -> Iterator[None]:
    """While machines are waited for, where Python would hear of a signal only after the wait."""
    if cluster.count == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    # TensorFlow takes SIGTERM for its own use meanwhile.
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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

    from and_tf.method.replica_limits import check_training
    from and_tf.runs.assembly import build_model
    from and_tf.runs.checkpoints import Checkpoints
    from and_tf.runs.precision import choose_precision, set_precision

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
    from and_tf.runs.precision import choose_precision
    from and_tf.runs.summary import versions

    return {
        "command": sys.argv,
        "seed": config.seed,
        "precision": choose_precision(config.train.precision),
        "data": fingerprint(images) | {"folders": folder_fingerprints(images)},
        "versions": versions(),
    }


def warn_of_other_versions(begun_with: dict[str, str]) -> None:
    """Say which versions changed since a run was begun: its numbers may, too."""
    from and_tf.runs.summary import versions

    for name, version in versions().items():
        if begun_with.get(name) != version:
            print(
                f"warning: the run was begun with {name} {begun_with.get(name)}, this is {version}"
            )


if __name__ == "__main__":
    sys.exit(main())
