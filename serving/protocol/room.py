"""How many bytes all requests in progress may have together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import grpc

from serving.errors import ServingError


class Room:
    """Room for so many bytes, which requests take and give back. Belongs to one event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.taken = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes so many bytes more for one request, until the block ends.

        It raises ServingError, UNAVAILABLE, if they are not free.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self.taken + count > self._size:
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The requests in progress have {self.taken} bytes, and at most {self._size} "
                    "are held; try again later",
                    retry_after=1,
                )
            self.taken += count
            taken += count

        try:
            yield take
        finally:
            self.taken -= taken
