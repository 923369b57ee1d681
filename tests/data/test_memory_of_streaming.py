"""Streaming keeps a bounded number of photographs in memory, however many there are."""

from __future__ import annotations

import os

import pytest

from and_tf.data.folder import load_folder
from benchmarks.photographs import write_photographs


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(
    "epochs, bound",
    [(4, 60), pytest.param(40, 60, marks=pytest.mark.slow)],
)
def test_memory_is_flat_over_epochs_of_photographs(tmp_path, epochs, bound):
    count = 64
    write_photographs(tmp_path / "photographs", count)
    images, _ = load_folder(tmp_path / "photographs", image_size=224, in_memory=False)
    batches = iter(images.training_batches(16, seed=0))
    for _ in range(8):  # Two epochs fill the buffers.
        next(batches)
    before = resident_mb()
    for _ in range(epochs * 4):
        assert next(batches)[0].shape == (16, 224, 224, 3)
    # An epoch kept in memory would be 9.2 MiB of pixels resized, 34 MiB of pixels decoded.
    assert resident_mb() - before < bound
