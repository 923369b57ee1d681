"""Compares what came of training on one device with what came of it on others."""

from __future__ import annotations

import pathlib

import numpy as np

TOLERANCE = 1e-5
# After 56 steps, of which a processor with AVX2 makes up to 2e-5.
LONG_TOLERANCE = 5e-5


def assert_same(folder: pathlib.Path, one: str, other: str, tolerance: float = TOLERANCE) -> None:
    with np.load(folder / f"{one}.npz") as expected, np.load(folder / f"{other}.npz") as found:
        assert set(found.files) == set(expected.files)
        for name in expected.files:
            if expected[name].dtype.kind == "i":  # neighbours and anchors, how often seen, round
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
            else:
                np.testing.assert_allclose(
                    found[name], expected[name], rtol=tolerance, atol=tolerance, err_msg=name
                )
