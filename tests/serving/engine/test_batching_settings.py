"""Sizes, waits and limits of batching."""

from __future__ import annotations

import pytest

from serving.engine.batching_settings import BatchingSettings


def test_padded_size_is_the_next_allowed_one():
    settings = BatchingSettings(max_batch_size=8, allowed_batch_sizes=(1, 4, 8))
    assert [settings.padded_size(rows) for rows in (1, 2, 4, 5, 8)] == [1, 4, 4, 8, 8]
    assert BatchingSettings().padded_size(5) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be at least 1. Received: 0"),
        ({"num_batch_threads": 0}, "num_batch_threads must be at least 1"),
        ({"max_queued_rows": 0}, "max_queued_rows must be at least 1"),
        ({"batch_timeout": -1.0}, "must not be negative"),
        ({"gather_share": -0.1}, "gather_share must not be negative"),
        ({"allowed_batch_sizes": (4, 2, 32)}, "must be positive and ascend"),
        ({"allowed_batch_sizes": (0, 32)}, "must be positive and ascend"),
        ({"allowed_batch_sizes": (4, 16)}, "must be max_batch_size, 32"),
    ],
)
def test_contradictions_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        BatchingSettings(**settings)
