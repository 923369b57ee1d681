"""What the client does, told apart from how it is sent.

Every operation is a generator: it yields calls to send and pauses (seconds) to make, is sent the
replies, and returns the result. The blocking and the asyncio client drive the same ones.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import orjson

from serving.client.images import ImageLike, batches, encoded_images
from serving.client.types import (
    Classes,
    ClientError,
    ModelMetadata,
    Neighbours,
    Retry,
    Signature,
    TaughtRow,
    VersionStatus,
)

T = TypeVar("T")

# An image may have 4 MiB.
EXPORTED_AT_ONCE = 32

# How the embedded server says which row of a request is at fault.
_ROW = re.compile(r"Row (\d+): (.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Reply:
    """What became of a call: a value, or an error that may be worth another attempt."""

    value: Any = None
    error: ClientError | None = None
    retry: bool = False
    retry_after: float | None = None


@dataclasses.dataclass(frozen=True)
class Pause:
    """A request to wait before going on, in seconds."""

    seconds: float


# Yields calls and pauses, is sent the reply to a call and None after a pause, and returns a T.
Steps: TypeAlias = Generator[Any, Any, T]


class Operations:
    """The operations on one model through one protocol."""

    def __init__(self, protocol: Any, retry: Retry, batch_size: int, max_bytes: int) -> None:
        self._protocol = protocol
        self._retry = retry
        self._batch_size = batch_size
        self._max_bytes = max_bytes
        self._signatures: dict[str, Signature] = {}

    def _value(self, call: Any) -> Steps[Any]:
        """What the server answers to the call, tried again while it is too busy or away."""
        for attempt in range(self._retry.attempts):
            reply: Reply = yield call
            if reply.error is None:
                return reply.value
            if not reply.retry or attempt == self._retry.attempts - 1:
                raise reply.error
            yield Pause(self._retry.pause(attempt, reply.retry_after))
        raise AssertionError("a call is tried once at least")

    def metadata(self) -> Steps[ModelMetadata]:
        value = yield from self._value(self._protocol.metadata())
        return self._protocol.read_metadata(value)

    def status(self) -> Steps[list[VersionStatus]]:
        value = yield from self._value(self._protocol.status())
        return self._protocol.read_status(value)

    def ready(self) -> Steps[bool]:
        # The status lists versions that are still loading; metadata comes from loaded ones alone.
        reply: Reply = yield self._protocol.metadata()
        if reply.error is None:
            return True
        if reply.error.code in ("NOT_FOUND", "UNAVAILABLE", "DEADLINE_EXCEEDED"):
            return False
        raise reply.error

    def predict(self, signature: str, inputs: dict[str, Any]) -> Steps[dict[str, np.ndarray]]:
        spec = None
        if not self._protocol.names_outputs:
            spec = yield from self._signature(signature)
        value = yield from self._value(self._protocol.predict(signature, inputs))
        return self._protocol.outputs(value, spec)

    def _signature(self, name: str) -> Steps[Signature]:
        """What a signature gives. JSON names no single output and no dtype, so it is asked for."""
        if name not in self._signatures:
            metadata = yield from self.metadata()
            self._signatures = metadata.signatures
        if name not in self._signatures:
            raise ClientError(
                f"The model has no such signature. Received: {name!r}. "
                f"It has {', '.join(sorted(self._signatures))}.",
                "INVALID_ARGUMENT",
            )
        return self._signatures[name]

    def _on_images(
        self, signature: str, images: Iterable[ImageLike]
    ) -> Steps[dict[str, np.ndarray]]:
        images = images if isinstance(images, np.ndarray) else list(images)
        encoded = encoded_images(images)
        # No image at all is a request, too: it tells the widths of the empty outputs.
        parts = list(batches(encoded, self._batch_size, self._max_bytes)) or [slice(0, 0)]
        outputs = []
        for part in parts:
            strings = np.array(encoded[part], object)
            try:
                outputs.append((yield from self.predict(signature, {"image_bytes": strings})))
            except ClientError as error:
                raise _naming_image(error, images, part.start) from error
        return {
            alias: np.concatenate([output[alias] for output in outputs]) for alias in outputs[0]
        }

    def embed(self, images: Iterable[ImageLike]) -> Steps[np.ndarray]:
        outputs = yield from self._on_images("embed_bytes", images)
        return outputs["embedding"]

    def classify(self, images: Iterable[ImageLike]) -> Steps[Classes]:
        outputs = yield from self._on_images("classify_bytes", images)
        return Classes(_text(outputs["classes"]), outputs["scores"])

    def neighbours(
        self,
        images: Iterable[ImageLike] | None,
        embeddings: np.ndarray | None = None,
        k: int | None = None,
    ) -> Steps[Neighbours]:
        if (images is None) == (embeddings is None):
            raise ValueError("Give either images or embeddings, not both and not neither.")
        if images is not None:
            outputs = yield from self._on_images("neighbours_bytes", images)
        else:
            inputs = {"embedding": np.asarray(embeddings, np.float32)}
            outputs = yield from self.predict("neighbours_embedding", inputs)
        most = outputs["ids"].shape[1]
        if k is not None and not (1 <= k <= most or not len(outputs["ids"])):
            raise ValueError(f"k is 1 to {most}, as many as the export gives. Received: {k}")
        return Neighbours(
            outputs["ids"][:, :k],
            outputs["similarities"][:, :k],
            _text(outputs["labels"])[:, :k],
            _text(outputs["sources"])[:, :k],
        )

    def teach(
        self,
        images: Iterable[ImageLike],
        labels: Iterable[str],
        sources: Iterable[str | None] | None,
    ) -> Steps[list[int]]:
        self._must_teach()
        encoded = encoded_images(images)
        labels = list(labels)
        sources = [None] * len(encoded) if sources is None else list(sources)
        if not len(encoded) == len(labels) == len(sources):
            raise ValueError(
                "Give one label, and one source if any, for each image. "
                f"Received: {len(encoded)} images, {len(labels)} labels, {len(sources)} sources"
            )
        ids = []
        for part in batches(encoded, self._batch_size, self._max_bytes):
            call = self._protocol.teach(encoded[part], labels[part], sources[part])
            value = yield from self._value(call)
            ids += self._protocol.read_ids(value)
        return ids

    def rows(self, page: int, label: str | None) -> Steps[list[TaughtRow]]:
        self._must_teach()
        rows: list[TaughtRow] = []
        after = None
        while True:
            value = yield from self._value(self._protocol.list_rows(after, page, label))
            found, after = self._protocol.read_rows(value)
            rows += found
            if after is None:
                return rows

    def export_rows(self, path: str | os.PathLike[str], label: str | None) -> Steps[int]:
        self._must_teach()
        count, after = 0, None
        unfinished = f"{os.fspath(path)}.unfinished"
        try:
            with open(unfinished, "wb") as file:
                while True:
                    call = self._protocol.list_rows(after, EXPORTED_AT_ONCE, label, images=True)
                    lines = (yield from self._value(call)).splitlines(keepends=True)
                    file.writelines(lines)
                    count += len(lines)
                    if len(lines) < EXPORTED_AT_ONCE:
                        break
                    after = orjson.loads(lines[-1])["id"]
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(unfinished)
            raise
        return count

    def import_rows(self, path: str | os.PathLike[str]) -> Steps[list[int]]:
        ids: list[int] = []
        with open(path, "rb") as file:
            numbered = enumerate(file, 1)
            while part := list(itertools.islice(numbered, self._batch_size)):
                rows = [_taught(path, number, line) for number, line in part if line.strip()]
                images, labels, sources = zip(*rows, strict=True) if rows else ((), (), ())
                ids += yield from self.teach(images, labels, sources)
        return ids

    def row(self, row_id: int) -> Steps[TaughtRow]:
        self._must_teach()
        value = yield from self._value(self._protocol.row(row_id))
        return self._protocol.read_row(value)

    def forget(self, row_id: int | None, label: str | None) -> Steps[int]:
        self._must_teach()
        if (row_id is None) == (label is None):
            raise ValueError(
                f"Give either an id or a label to forget. Received: id {row_id!r}, label {label!r}"
            )
        call = (
            self._protocol.forget_label(label)
            if row_id is None
            else self._protocol.forget_row(row_id)
        )
        value = yield from self._value(call)
        return self._protocol.read_forgotten(value)

    def _must_teach(self) -> None:
        if not self._protocol.teaches:
            raise ValueError("Teaching goes by REST: make the client with an http or https URL.")


def _naming_image(
    error: ClientError, images: Sequence[ImageLike] | np.ndarray, start: int
) -> ClientError:
    """The error with the file, or the number, of the image that it says is at fault."""
    found = _ROW.match(str(error))
    if found is None:
        return error
    index = start + int(found[1])
    image = images[index]
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {index}"
    return ClientError(f"{name}: {found[2]}", error.code, error.status)


def _taught(
    path: str | os.PathLike[str], number: int, line: bytes
) -> tuple[bytes, str, str | None]:
    """Image, label and source of a line of a file of taught rows."""
    try:
        row = orjson.loads(line)
        return base64.b64decode(row["image_bytes"]["b64"]), row["label"], row.get("source")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Line {number} of {os.fspath(path)} is no taught row. Received: {line[:50]!r}"
        ) from error


def _text(values: np.ndarray) -> np.ndarray:
    """Strings, which TensorFlow has as bytes, as str; the shape is kept."""
    decoded = [value.decode("utf-8", "replace") for value in values.ravel()]
    return np.array(decoded, dtype=np.str_).reshape(values.shape)
