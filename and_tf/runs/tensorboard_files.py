"""TensorBoard's files of a run that goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from and_tf.files import replacing


def as_text(folder: Path) -> str:
    """A path to a folder of any name in text, which is all that Keras and TensorFlow take.

    A name that is not UTF-8 is stood for by a descriptor, which stays open. The folder is made.
    """
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:
        folder.mkdir(exist_ok=True)
        return f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY)}"
    return str(folder)


def rewind(folder: Path, epoch: int) -> None:
    """Drop what was written after a checkpoint, for it will be written again.

    Args:
        folder: With event files, however deep; it need not exist.
        epoch: Epochs that were over at the checkpoint. Figures of epoch e, counted from 0, are at step e.
    """
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        records = list(_records(path))
        kept = [record for record in records if _stands(record, epoch)]
        if len(kept) == len(records):
            continue
        with replacing(path) as temporary, tf.io.TFRecordWriter(os.fsencode(temporary)) as writer:
            for record in kept:
                writer.write(record)


def _records(path: Path) -> Iterator[bytes]:
    try:
        for record in tf.data.TFRecordDataset(os.fsencode(path)):
            yield record.numpy()
    except tf.errors.DataLossError:
        return  # a kill cut the last one short


def _stands(record: bytes, epoch: int) -> bool:
    event = tf.compat.v1.Event.FromString(record)
    return not event.HasField("summary") or event.step < epoch
