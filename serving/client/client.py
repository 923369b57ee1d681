"""What a client asks for, in calls that block and in coroutines."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, ParamSpec, Self, TypedDict, Unpack

import numpy as np

from serving.client.http import AsyncRestTransport, RestTransport
from serving.client.images import ImageLike
from serving.client.operations import Operations, Pause, Steps, T
from serving.client.rest import RestProtocol
from serving.client.types import (
    Classes,
    ModelMetadata,
    Neighbours,
    Retry,
    TaughtRow,
    VersionStatus,
)

PAGE = 1000

P = ParamSpec("P")


def _protocol_and_transports(url: str) -> tuple[Any, Any, Any]:
    scheme = url.split("://", 1)[0]
    if scheme in ("http", "https"):
        return RestProtocol, RestTransport, AsyncRestTransport
    if scheme in ("grpc", "grpcs"):
        # Imports TensorFlow, which REST does without.
        from serving.client.grpc import AsyncGrpcTransport, GrpcProtocol, GrpcTransport

        return GrpcProtocol, GrpcTransport, AsyncGrpcTransport
    raise ValueError(f"A URL starts with http, https, grpc or grpcs, then ://. Received: {url!r}")


class Options(TypedDict, total=False):
    """What both clients may be told by name; `Client` describes it."""

    version: int | None
    label: str | None
    token: str | None
    ca_file: str | None
    certificate: tuple[str, str] | None
    timeout: float
    retry: Retry
    batch_size: int
    max_request_bytes: int


DEFAULTS = Options(
    version=None,
    label=None,
    token=None,
    ca_file=None,
    certificate=None,
    timeout=30.0,
    retry=Retry(),
    batch_size=32,
    max_request_bytes=8 * 2**20,
)


def _prepared(url: str, model: str, given: Options) -> tuple[Operations, Any, Any]:
    """The operations, and makers of the blocking and of the asyncio transport."""
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise TypeError(f"Unknown arguments: {', '.join(unknown)}")
    options = DEFAULTS | given
    if options["version"] is not None and options["label"] is not None:
        raise ValueError(
            "Choose a version or a label, not both. "
            f"Received: {options['version']!r} and {options['label']!r}"
        )
    if options["batch_size"] < 1 or options["retry"].attempts < 1:
        raise ValueError(
            "batch_size and retry.attempts must be at least 1. "
            f"Received: {options['batch_size']} and {options['retry'].attempts}"
        )
    protocol, blocking, asynchronous = _protocol_and_transports(url)
    connection = (
        url,
        options["token"],
        options["timeout"],
        options["ca_file"],
        options["certificate"],
    )
    operations = Operations(
        protocol(model, options["version"], options["label"]),
        options["retry"],
        options["batch_size"],
        options["max_request_bytes"],
    )
    return (
        operations,
        functools.partial(blocking, *connection),
        functools.partial(asynchronous, *connection),
    )


class Client:
    """Calls one model and waits for the answers. It may be shared by threads.

    Images are paths, encoded bytes, Pillow images or uint8 arrays [H, W, 3], of any size, in a list;
    or one uint8 array [N, H, W, 3]. They are sent encoded, as PNG if they were not, in as many
    requests as are needed. What the server could not take (503, 429, UNAVAILABLE, no connection) is
    tried again as `retry` says.

    Args:
        url: `http://host:8501`, `https://...`, `grpc://host:8500` or `grpcs://...`.
        model: the model's name.
        version, label: which version; the server's default if neither is given.
        token: sent as a bearer token.
        ca_file: certificates (PEM) to trust in place of the usual ones.
        certificate: files (PEM) of the client's own certificate and of its private key.
        timeout: seconds for one attempt.
        retry: how often and how soon to try again.
        batch_size, max_request_bytes: bounds of one request, in images and in their encoded bytes.

    Every call raises ClientError when the server refuses it or stays away, ValueError for
    arguments that cannot be sent.
    """

    def __init__(self, url: str, model: str, **options: Unpack[Options]) -> None:
        self._operations, transport, _ = _prepared(url, model, options)
        self._transport = transport()

    def _run(self, steps: Steps[T]) -> T:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._transport.send(step)

    def embed(self, images: Iterable[ImageLike]) -> np.ndarray:
        """Embeddings of the images, float32 [N, d]."""
        return self._run(self._operations.embed(images))

    def classify(self, images: Iterable[ImageLike]) -> Classes:
        """Classes of the images by weighted kNN, best first."""
        return self._run(self._operations.classify(images))

    def neighbours(
        self,
        images: Iterable[ImageLike] | None = None,
        *,
        embeddings: np.ndarray | None = None,
        k: int | None = None,
    ) -> Neighbours:
        """The stored rows that are nearest to images, or to embeddings [N, d] of any length.

        `k` of them, or as many as the export gives, which is the most.
        """
        return self._run(self._operations.neighbours(images, embeddings, k))

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Outputs of any signature of any model, by alias; strings come as bytes."""
        return self._run(self._operations.predict(signature, inputs))

    def status(self) -> list[VersionStatus]:
        """The model's versions and their states."""
        return self._run(self._operations.status())

    def metadata(self) -> ModelMetadata:
        """The signatures of the version that answers."""
        return self._run(self._operations.metadata())

    def ready(self) -> bool:
        """Whether a version answers; asked once, without further attempts."""
        return self._run(self._operations.ready())

    def teach(
        self,
        images: Iterable[ImageLike],
        labels: Iterable[str],
        sources: Iterable[str | None] | None = None,
    ) -> list[int]:
        """Teaches labelled images to the embedded server; returns the rows' ids, all negative.

        Each request, of at most `batch_size` images, is taken whole or not at all. Teaching an image
        again is harmless: it stays one row. `sources` says where the images come from.
        """
        return self._run(self._operations.teach(images, labels, sources))

    def rows(self, label: str | None = None) -> list[TaughtRow]:
        """The rows that were taught, all or those of a label, without their images."""
        return self._run(self._operations.rows(PAGE, label))

    def row(self, row_id: int) -> TaughtRow:
        """One row that was taught, with its image."""
        return self._run(self._operations.row(row_id))

    def forget(self, row_id: int | None = None, *, label: str | None = None) -> int:
        """Deletes one taught row, or all of a label; returns how many were deleted."""
        return self._run(self._operations.forget(row_id, label))

    def export_rows(self, path: str | os.PathLike[str], label: str | None = None) -> int:
        """Writes taught rows with their images to a file, a line of JSON each; returns how many.

        The file appears when it is complete.
        """
        return self._run(self._operations.export_rows(path, label))

    def import_rows(self, path: str | os.PathLike[str]) -> list[int]:
        """Teaches the rows of a file as `export_rows` writes it; returns their ids here.

        As with `teach`, rows that are known already stay as they are.
        """
        return self._run(self._operations.import_rows(path))

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _awaited(
    method: Callable[Concatenate[Client, P], T],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A method of `Client` as a coroutine: what an AsyncClient runs is awaited."""

    @functools.wraps(method)
    async def call(self: AsyncClient, *arguments: P.args, **options: P.kwargs) -> T:
        client: Any = self
        result: Any = method(client, *arguments, **options)
        return await result

    return call


class AsyncClient:
    """`Client` for asyncio: the same arguments, and the same methods as coroutines."""

    def __init__(self, url: str, model: str, **options: Unpack[Options]) -> None:
        self._operations, _, transport = _prepared(url, model, options)
        self._transport = transport()

    async def _run(self, steps: Steps[T]) -> T:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._transport.send(step)

    embed = _awaited(Client.embed)
    classify = _awaited(Client.classify)
    neighbours = _awaited(Client.neighbours)
    predict = _awaited(Client.predict)
    status = _awaited(Client.status)
    metadata = _awaited(Client.metadata)
    ready = _awaited(Client.ready)
    teach = _awaited(Client.teach)
    rows = _awaited(Client.rows)
    row = _awaited(Client.row)
    forget = _awaited(Client.forget)
    export_rows = _awaited(Client.export_rows)
    import_rows = _awaited(Client.import_rows)

    async def close(self) -> None:
        """As `Client.close`."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
