"""One version while it is served: who uses it, and how requests reach it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.engine.batching import Batcher, BatchRecord
from serving.engine.batching_settings import BatchingSettings
from serving.engine.servable import Servable


class ServedVersion:
    """A loaded version of a model, kept loaded for as long as it is in use.

    Belongs to the event loop; only `servable` may be used from other threads.
    """

    def __init__(
        self,
        name: str,
        version: int,
        servable: Servable,
        batching: BatchingSettings,
        on_batch: Callable[[ServedVersion, BatchRecord], None] | None = None,
        before_close: Callable[[], None] | None = None,
    ) -> None:
        """`on_batch` is called on the event loop after each run, `before_close` in a thread."""
        self.name = name
        self.version = version
        self.servable = servable
        self._before_close = before_close
        observe = None if on_batch is None else lambda record: on_batch(self, record)
        self._batcher = Batcher(servable, batching, observe)
        # What takes long row by row would hold up whoever is in the same batch, and all rows at
        # once would take their memory at once.
        slowly = dataclasses.replace(
            batching, max_batch_size=1, allowed_batch_sizes=(), num_batch_threads=1
        )
        self._slow_batcher = Batcher(servable, slowly, observe, slow=True)
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

    @property
    def description(self) -> bytes | None:
        """What the version's folder said of it when it was loaded; see `Servable`."""
        return self.servable.description

    @property
    def queued_rows(self) -> int:
        """Rows of requests that wait for a batch."""
        return self._batcher.queued_rows + self._slow_batcher.queued_rows

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
        *,
        slow: bool = False,
    ) -> dict[str, np.ndarray]:
        """As Batcher.run: a signature's answer, computed in a batch with other requests'.

        A `slow` request is computed row by row, beside the others and behind them.
        """
        batcher = self._slow_batcher if slow else self._batcher
        return await batcher.run(signature_name, inputs, outputs, deadline)

    async def drain(self) -> None:
        """Waits until nobody uses the version, then frees it."""
        await self._unused.wait()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._batcher.close()
        self._slow_batcher.close()
        if self._before_close is not None:
            self._before_close()
        self.servable.close()
