"""Which images make the bank of an export, and what is known of each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np

from and_tf import data
from and_tf.data.folder_labels import labels_from_csv, match_names
from and_tf.data.image_set import ImageSet
from and_tf.data.resizing import CROPPED_FROM
from and_tf.files import printable
from and_tf.runs.config import RunConfig

SETS = ("train", "test", "all", "none")


@dataclasses.dataclass(frozen=True)
class Rows:
    """A bank: one row an image.

    Attributes:
        embeddings: float32 [N, d], unit vectors.
        labels: int32 [N], -1 where there is none.
        class_names: The name of each label.
        sources: Where each row comes from: a file, or "SET:INDEX".
    """

    embeddings: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    sources: list[str]

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def num_labelled(self) -> int:
        return int((self.labels >= 0).sum())


def load_image_sets(
    config: RunConfig, which: str, image_shape: tuple[int, int, int]
) -> list[ImageSet]:
    """The images that become rows.

    Args:
        config: Of the run.
        which: "train" or "test" of the run's data, "all" for both, "none", or the path of a folder
            of images, whose class folders, if it has any, are its labels.
        image_shape: (H, W, 3) that the encoder takes.

    Raises:
        ValueError: The images are not there or cannot be read, or are of another size.
    """
    if which == "none":
        return []
    options = config.data.model_dump(exclude={"mean", "std"})
    if which not in SETS:
        side = options["image_size"]
        if side is None and image_shape[0] == image_shape[1] < CROPPED_FROM:
            side = image_shape[0]
        # A config would refuse `name` and the splits for a folder; `load` leaves them alone.
        options = {"source": "folder", "path": which, "image_size": side}
    elif which == "train":
        options |= {"test_path": None, "test_split": None}
    train, test = data.load(**options)
    chosen = {"test": (test,), "all": (train, test)}.get(which, (train,))
    sets = [images for images in chosen if images is not None]
    if not sets:
        raise ValueError("The run has no held-out images: choose other rows. Received: --rows test")
    for images in sets:
        if images.image_shape != image_shape:
            raise ValueError(
                f"The encoder takes images of {image_shape[0]} x {image_shape[1]} pixels. "
                f"Received: {images.name!r} of {images.image_shape[0]} x {images.image_shape[1]}"
            )
    return sets


def embed_rows(encoder: keras.Model, sets: list[ImageSet], batch_size: int) -> Rows:
    """Rows of images as they are, without augmentation.

    What could not be read is left out. Labels are those of the images; sets of one `load` share
    their numbering.

    Args:
        encoder: From uint8 [B, H, W, 3] to unit vectors [B, d].
        sets: May be none.
        batch_size: Images embedded at a time.
    """
    parts = [_embedded(encoder, images, batch_size) for images in sets]
    if not parts:
        return Rows(
            np.zeros((0, encoder.output_shape[-1]), np.float32), np.zeros(0, np.int32), [], []
        )
    labels = [images.labels for images in sets if images.labels is not None]
    count = max((int(each.max()) + 1 for each in labels), default=0)
    named = (images.class_names for images in sets if images.labels is not None)
    names = next(filter(None, named), None)
    return Rows(
        np.concatenate([rows.embeddings for rows in parts]),
        np.concatenate([rows.labels for rows in parts]),
        [printable(name) for name in names] if names else [str(label) for label in range(count)],
        [source for rows in parts for source in rows.sources],
    )


def readable(images: ImageSet) -> list[int]:
    """Indices of the images that could be read; known once all were asked for."""
    # A file that broke since it was listed comes as mid-grey.
    broken = {file for file, _ in images.skipped}
    return [
        index
        for index in range(len(images))
        if images.sources is None or images.sources[index] not in broken
    ]


def _embedded(encoder: keras.Model, images: ImageSet, batch_size: int) -> Rows:
    embeddings = encoder.predict(images.ordered_batches(batch_size), verbose=0)
    labels = np.full(len(images), -1, np.int32) if images.labels is None else images.labels
    sources = images.sources or [f"{images.name}:{index}" for index in range(len(images))]
    kept = readable(images)
    return Rows(
        embeddings[kept].astype(np.float32),
        np.asarray(labels)[kept].astype(np.int32),
        [],
        [sources[index] for index in kept],
    )


def with_labels(rows: Rows, path: Path) -> Rows:
    """Rows with the labels of a CSV file, which wins where a row has one already.

    Args:
        rows: Any.
        path: With the columns file,label; `file` is a row's source.

    Raises:
        ValueError: The file is wrong, or names none of the rows.
    """
    listed = {file: printable(name) for file, name in labels_from_csv(path).items()}
    by_source, _ = match_names(listed, rows.sources)
    found = [by_source.get(source) for source in rows.sources]
    if not any(found):
        raise ValueError(
            f"The labels in {path} name no row. Received: {next(iter(listed))!r}, where a row is "
            f"called {rows.sources[0]!r}"
            if rows.sources
            else f"There are no rows to label. Received: --labels {path}"
        )
    names = [*rows.class_names, *sorted({n for n in found if n} - set(rows.class_names))]
    number = {name: label for label, name in enumerate(names)}
    labels = [
        number[name] if name else label for name, label in zip(found, rows.labels, strict=True)
    ]
    return dataclasses.replace(rows, labels=np.array(labels, np.int32), class_names=names)
