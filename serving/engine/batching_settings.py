"""How requests are joined."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """Sizes, waits and limits. In brackets the name in TensorFlow Serving's batching file.

    max_batch_size: most rows in a batch; larger requests are split, 1 turns joining off
        (max_batch_size).
    batch_timeout: seconds that a batch that is not full waits for company. At 0 a batch starts
        when a thread is free and holds what came while none was (batch_timeout_micros).
    gather_share: clients that were answered together mostly ask again together. The next batch
        waits for as many rows as were answered or wait already, but no longer than this share of
        the time that the last batch took; a request that nobody else is near to never waits. At 0
        it does not, and the clients fall apart into groups of half the size.
    allowed_batch_sizes: ascending, the last one max_batch_size; batches are padded to the next of
        them. Empty: any size runs (allowed_batch_sizes).
    num_batch_threads: batches of one version that run at the same time. TensorFlow uses all cores
        for one already (num_batch_threads).
    max_queued_rows: rows that may wait, of one version; what comes on top is refused
        (max_enqueued_batches times max_batch_size).
    """

    max_batch_size: int = 32
    batch_timeout: float = 0.0
    gather_share: float = 0.2
    allowed_batch_sizes: tuple[int, ...] = ()
    num_batch_threads: int = 1
    max_queued_rows: int = 512

    def __post_init__(self) -> None:
        """Raises ValueError for settings that contradict each other."""
        for field in ("max_batch_size", "num_batch_threads", "max_queued_rows"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1. Received: {getattr(self, field)}")
        for field in ("batch_timeout", "gather_share"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must not be negative. Received: {getattr(self, field)}")
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted({*sizes}) or sizes[0] < 1):
            raise ValueError(f"allowed_batch_sizes must be positive and ascend. Received: {sizes}")
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError(
                f"The last of allowed_batch_sizes must be max_batch_size, {self.max_batch_size}. "
                f"Received: {sizes}"
            )

    def padded_size(self, rows: int) -> int:
        """The allowed size that so many rows run at."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)
