"""One loaded version of an export, and the taught rows in its graph."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

import grpc
import numpy as np

from serving.engine.servable import Servable
from serving.errors import ServingError
from serving.protocol import image_size
from serving.teaching.export_facts import ExportFacts

EMBEDDED_AT_ONCE = 32
# An image that has more runs alone: all images of a batch are in memory at the same time.
PIXELS_AT_ONCE = 16_000_000

# Label and source of each row, by id, in the order of teaching.
RowsById = Mapping[int, tuple[str, str]]


class TaughtVersion:
    """A version and the rows that it holds.

    Args:
        servable: An export.
        facts: What it says of itself.

    Raises:
        ValueError: It cannot be taught.
    """

    def __init__(self, servable: Servable, facts: ExportFacts) -> None:
        self.servable = servable
        self.facts = facts
        if facts.taught is None:
            raise ValueError(
                f"An export with variables of taught rows is needed. Received: {facts}"
            )
        self._variables = facts.taught
        self._ids: list[int] = []
        self._embeddings = np.zeros((0, facts.embedding_dim), np.float32)

    def embed(self, images: Sequence[bytes]) -> list[np.ndarray | ServingError]:
        """The embedding of each image, float32 [d], or why there is none.

        Raises:
            ServingError: for anything that is not the fault of one image.
        """
        results: list[np.ndarray | ServingError] = []
        for batch in _batches(images):
            try:
                results += list(self._embedded(batch))
            except ServingError as error:
                if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                results += [self._embedded_alone(image) for image in batch]
        return results

    def _embedded(self, images: Sequence[bytes]) -> np.ndarray:
        inputs = {"image_bytes": np.array(images, dtype=object)}
        # Teaching may take long, and gives way to those who ask.
        return self.servable.run("embed_bytes", inputs, ["embedding"], slow=True)["embedding"]

    def _embedded_alone(self, image: bytes) -> np.ndarray | ServingError:
        try:
            return self._embedded([image])[0]
        except ServingError as error:
            if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return error

    def show(self, rows: RowsById, new: Mapping[int, np.ndarray]) -> None:
        """Makes the version answer with exactly these rows.

        Args:
            rows: All taught rows.
            new: Embeddings, float32 [d], of those that the version does not hold yet; a row that it
                neither holds nor is given is left out.
        """
        held = set(self._ids)
        kept = [row in rows for row in self._ids]
        added = [row for row in rows if row in new and row not in held]
        if not all(kept):
            self._ids = [row for row in self._ids if row in rows]
            self._embeddings = self._embeddings[kept]
        if added:
            self._ids += added
            self._embeddings = np.concatenate([self._embeddings, [new[row] for row in added]])
        self._assign(rows)

    def _assign(self, rows: RowsById) -> None:
        labels = [rows[row][0] for row in self._ids]
        # An export may have its names from a file system that takes accents apart.
        exported = [unicodedata.normalize("NFC", name) for name in self.facts.class_names]
        known = set(exported)
        # Names that the export does not know follow those that it does, in order of appearance.
        new_names = list(dict.fromkeys(label for label in labels if label not in known))
        number = {name: index for index, name in enumerate([*exported, *new_names])}
        values: dict[str, np.ndarray] = {
            "taught_rows": self._embeddings,
            "taught_labels": np.array([number[label] for label in labels], np.int32),
            "taught_ids": np.array(self._ids, np.int64),
            "taught_sources": _strings(rows[row][1] for row in self._ids),
            "taught_class_names": _strings(new_names),
        }
        self.servable.assign({self._variables[name]: value for name, value in values.items()})


def _batches(images: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    pixels = 0
    for image in images:
        size = image_size.declared(image)
        own = size.pixels if size else 0
        if batch and (len(batch) == EMBEDDED_AT_ONCE or pixels + own > PIXELS_AT_ONCE):
            yield batch
            batch, pixels = [], 0
        batch.append(image)
        pixels += own
    if batch:
        yield batch


def _strings(texts: Iterable[str]) -> np.ndarray:
    return np.array([text.encode("utf-8") for text in texts], dtype=object)
