"""What is judged: embeddings with what is known of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.image_set import ImageSet
from and_tf.runs.config import RunConfig
from and_tf.runs.run_directory import RunDirectory

FEW = 100
"""Up to so many files of a set that streams are read one by one."""

Kind = Literal["run", "model", "export", "embeddings"]


@dataclasses.dataclass(frozen=True)
class Part:
    """One set of examples: those trained on, or those held out.

    Attributes:
        name: What reports call it.
        embeddings: float32 [n, d], unit rows.
        labels: int64 [n], -1 for none; None where no example has one.
        sources: A name for each row: a file, or "SET:INDEX".
        features: float32 [n, F], the backbone's output before the embedding layer, unit rows; None
            where it is not known.
        image_set: Where the images come from, None where there are none.
        rows: int64 [n], the index of each row in `image_set`; files that could not be read have none.
    """

    name: str
    embeddings: np.ndarray
    labels: np.ndarray | None
    sources: Sequence[str]
    features: np.ndarray | None = None
    image_set: ImageSet | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images of some rows, uint8 [m, H, W, 3], in the order asked for.

        A set that streams is read from its start on, up to the last of them; a few files are read
        one by one.

        Raises:
            ValueError: There are no images.
        """
        if self.image_set is None or self.rows is None:
            raise ValueError(f"{self.name} has embeddings alone, no images")
        wanted = self.rows[np.asarray(indices, np.int64)]
        if self.image_set.images is not None:
            return self.image_set.images[wanted]
        found = np.empty((len(wanted), *self.image_set.image_shape), np.uint8)
        if self.image_set.sources is not None and len(wanted) <= FEW:
            for place, index in enumerate(wanted.tolist()):
                alone = self.image_set.ordered_batches(1, (index, len(self.image_set)))
                found[place] = next(iter(alone.as_numpy_iterator()))[0]
            return found
        start, last = 0, int(wanted.max(initial=-1))
        for batch in self.image_set.ordered_batches(64).as_numpy_iterator():
            if start > last:
                break
            inside = (wanted >= start) & (wanted < start + len(batch))
            found[inside] = batch[wanted[inside] - start]
            start += len(batch)
        return found


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        name: Of the run, of the model or of the file.
        kind: What `path` is.
        path: Where it lies; None for a model that is in memory.
        train: Examples that are neighbours of the others, and that classifiers learn from.
        test: Examples held out, None where there are none: those of `train` then judge each other.
        class_names: The name of each label.
        bank: float32 [N, d], the memory bank as training left it, in the order of `train`.
        encoder: From images [B, H, W, 3] to unit embeddings.
        augment: Makes random views of images, see `and_tf.AND`.
        temperature: tau of the softmax that it was trained with.
        config: Of the run.
        run: The run's directory.
        epochs: How many epochs the run was trained for.
        rounds: Round to the checkpoint at its end, of those that are kept.
    """

    name: str
    kind: Kind
    path: Path | None
    train: Part
    test: Part | None
    class_names: Sequence[str]
    bank: np.ndarray | None = None
    encoder: keras.Model | None = None
    augment: Callable[..., tf.Tensor] | None = None
    temperature: float = 0.1
    config: RunConfig | None = None
    run: RunDirectory | None = None
    epochs: int | None = None
    rounds: Mapping[int, Path] = dataclasses.field(default_factory=dict)

    @property
    def judged(self) -> Part:
        """The examples that are classified: the held-out ones, or else those trained on."""
        return self.train if self.test is None else self.test

    def name_of_class(self, label: int) -> str:
        """What a label is called; its number where it has no name."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def fingerprint(self) -> str:
        """What tells it from any other, or from itself after more training: a SHA-256."""
        digest = hashlib.sha256()
        arrays = [self.bank]
        for part in (self.train, self.test):
            arrays += [] if part is None else [part.embeddings, part.labels]
        for array in arrays:
            digest.update(b"-" if array is None else repr(array.shape).encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return f"sha256:{digest.hexdigest()}"
