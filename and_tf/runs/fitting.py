"""The training of a run, from a model that is ready to one that is trained."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.distribution import multi_worker
from and_tf.distribution.workers import Workers
from and_tf.errors import NumbersError, RunError
from and_tf.files import write_text
from and_tf.method.callbacks import KNNEvaluation
from and_tf.method.model import AND
from and_tf.runs.assembly import (
    build_discovery,
    build_evaluation,
    build_monitors,
    build_watchdog,
    whole_crop,
)
from and_tf.runs.checkpoints import Checkpoints, Position, SaveCheckpoints, save_model
from and_tf.runs.classes import describe_classes
from and_tf.runs.config import RunConfig
from and_tf.runs.interrupts import StopWhenAsked
from and_tf.runs.paths import shown
from and_tf.runs.progress import Progress
from and_tf.runs.run_directory import RunDirectory
from and_tf.runs.summary import evaluation_note, model_card, result_table
from and_tf.runs.tensorboard_files import as_text, rewind


def fit(
    config: RunConfig, run: RunDirectory, model: AND, images: ImageSet, test: ImageSet | None
) -> None:
    """Train a model from where it stands to the end of the curriculum, and save it."""
    workers = Workers(model.distribute_strategy)
    batch_size = config.train.batch_size
    steps = images.steps_per_epoch(batch_size)
    position = Position.of(model, batch_size)
    if workers.is_chief:
        run.rewind_metrics(position.epoch, position.step, int(model.round.numpy()))
        rewind(run.tensorboard, position.epoch)

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
            keras.callbacks.TensorBoard(as_text(run.tensorboard), write_graph=False),
        ]
        if workers.is_chief
        else []
    )
    callbacks = [
        build_watchdog(config),
        discovery,
        *([evaluation] if evaluation else []),
        build_monitors(config, discovery),
        *reports,
        SaveCheckpoints(
            checkpoints, config.train.checkpoint_every_epochs, config.train.checkpoint_every_minutes
        ),
        stop,
    ]
    skipped = report_skipped(run, workers, images, test)
    if workers.is_chief:
        announce(config, run, model, images, test, evaluation)
        if skipped:
            print(f"{left_out(skipped, images)}, see {shown(run.skipped)}", flush=True)
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
        if not checkpoints.paths():
            raise
        rate = config.optimizer.learning_rate / 10
        raise RunError(
            f"{error} The last good checkpoint stands: --resume --set "
            f"optimizer.learning_rate={rate:g} goes on from it."
        ) from None
    finally:
        for report in reports:  # Keras closes their files where all goes well alone
            report.on_train_end()

    # A streamed file may have turned out broken on the way.
    report_skipped(run, workers, images, test)
    save_model(model, run.model, workers)
    if workers.is_chief:
        rows = run.read_metrics()
        card = model_card(config, images, test, evaluation, rows, discovery.curriculum)
        write_text(run.model_card, card)
        table = result_table(rows, discovery.curriculum)
        print(f"\n{table}\n\nThe trained model: {shown(run.model)}")
    workers.leave()  # once the chief has written


def announce(
    config: RunConfig,
    run: RunDirectory,
    model: AND,
    images: ImageSet,
    test: ImageSet | None,
    evaluation: KNNEvaluation | None,
) -> None:
    """Say what is trained on what, which classes it has, and where the result goes."""
    print(
        f"{config.name}: {images.num_examples:,} images {images.image_shape} of {images.name}, "
        f"{config.encoder.name} width {config.encoder.width:g} "
        f"({model.encoder.count_params():,} weights) in {model.encoder.get_layer('conv1').compute_dtype} "
        f"on {model.distribute_strategy.num_replicas_in_sync} device(s), run directory {shown(run.path)}",
        *describe_classes(config, images, test),
        evaluation_note(evaluation, images, test),
        sep="\n",
        flush=True,
    )


def left_out(lines: int, images: ImageSet) -> str:
    """What the lines of `skipped.tsv` are, by their number."""
    names = len(images.missing)
    files = lines - names
    told = [f"left out {files:,} file{'s' if files > 1 else ''}"] if files else []
    if names:
        plural = "s" if names > 1 else ""
        told.append(f"{names:,} name{plural} in {images.labelled_by} without an image")
    return ", ".join(told)


def training_batches(
    config: RunConfig, model: AND, images: ImageSet, position: Position
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The batches from a position on; of several machines each decodes its own rows alone."""
    strategy, batch_size = model.distribute_strategy, config.train.batch_size
    start = batch_size, config.seed, position.epoch, position.step
    # A run begun by a version whose model cuts the images goes on so.
    cuts_itself = getattr(model.augment, "crop_scale", None) is not None
    crop = None if cuts_itself else whole_crop(config, images)
    if Workers(strategy).count == 1:
        return images.training_batches(*start, crop=crop)
    rows = multi_worker.rows_of_worker(strategy, batch_size)
    return multi_worker.distributed(
        strategy, images.training_batches(*start, rows=rows, crop=crop), batch_size
    )


def report_skipped(run: RunDirectory, workers: Workers, *sets: ImageSet | None) -> int:
    """Write which files were left out so far, by any worker, and return how many they are."""
    skipped = [line for images in sets if images is not None for line in images.skipped]
    for images in sets:
        if images is not None:
            reason = f"listed in {images.labelled_by}, not found"
            skipped += [(name, reason) for name in images.missing]
    text = "".join(f"{file}\t{reason}\n" for file, reason in skipped)
    encoded = np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    gathered = workers.gathered(encoded.astype(np.int32)).astype(np.uint8).tobytes()
    lines = dict.fromkeys(gathered.decode("utf-8", "surrogateescape").splitlines(keepends=True))
    if lines and workers.is_chief:
        write_text(run.skipped, "".join(lines))
    return len(lines)
