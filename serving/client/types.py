"""What the client's calls return and raise, and how often they are tried."""

from __future__ import annotations

import dataclasses
import random
from typing import NamedTuple

import numpy as np


class ClientError(Exception):
    """A call that failed for good.

    `code` is gRPC's name of what went wrong ("NOT_FOUND", "UNAVAILABLE", ...), for both protocols;
    `status` is the HTTP status, or None where there was none.
    """

    def __init__(self, message: str, code: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Classes(NamedTuple):
    """Classes of N images, best first: `classes` str [N, k], `scores` float32 [N, k]."""

    classes: np.ndarray
    scores: np.ndarray


class Neighbours(NamedTuple):
    """Nearest rows of N images, nearest first; each field is [N, k].

    `ids` int64 (negative for rows that were taught), `similarities` float32 in [-1, 1], `labels`
    str, and `sources` str: the file or index that a row came from.
    """

    ids: np.ndarray
    similarities: np.ndarray
    labels: np.ndarray
    sources: np.ndarray


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """One version of a model: its state ("AVAILABLE", "LOADING", ...), and why if it failed."""

    version: int
    state: str
    error_code: str
    error_message: str


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output: TensorFlow's name of its dtype, its shape (None: any rank or size)."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a signature takes and gives, by alias."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """A loaded version and its signatures by name."""

    name: str
    version: int
    signatures: dict[str, Signature]


@dataclasses.dataclass(frozen=True)
class TaughtRow:
    """A row that was taught; `image` holds its bytes where they were asked for, else None."""

    id: int
    label: str
    source: str
    time: float
    image: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Retry:
    """How a call that the server could not take is tried again: exponential back-off with jitter.

    The n-th pause is drawn from [0, min(longest, first * 2**n)] seconds and never shorter than the
    server's Retry-After ("full jitter", AWS Architecture Blog, "Exponential Backoff And Jitter").
    """

    attempts: int = 6
    first: float = 0.1
    longest: float = 10.0

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after the attempt of that number, counted from 0."""
        drawn = random.uniform(0.0, min(self.longest, self.first * 2**attempt))
        return drawn if retry_after is None else max(drawn, retry_after)
