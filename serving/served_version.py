"""One version while it is served: who uses it, and how requests reach it."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.servable import Servable


class ServedVersion:
    """A loaded version of a model, kept loaded for as long as it is in use.

    Belongs to the event loop; only `servable` may be used from other threads.
    """

    def __init__(
        self,
        name: str,
        version: int,
        servable: Servable,
        before_close: Callable[[], None] | None = None,
    ) -> None:
        """`before_close` is called, in a thread, before the servable is freed."""
        self.name = name
        self.version = version
        self.servable = servable
        self._before_close = before_close
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""
        return self.servable.signatures

    @property
    def path(self) -> pathlib.Path:
        """The version's folder."""
        return self.servable.path

    @contextlib.contextmanager
    def in_use(self) -> Iterator[ServedVersion]:
        """Keeps the version loaded until the block ends."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> dict[str, np.ndarray]:
        """As Servable.run, without blocking the event loop."""
        return await asyncio.to_thread(self.servable.run, signature_name, inputs, outputs)

    async def drain(self) -> None:
        """Waits until nobody uses the version, then frees it."""
        await self._unused.wait()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._before_close is not None:
            self._before_close()
        self.servable.close()
