from __future__ import annotations

import numpy as np
import pytest

from benchmarks import kernels


@pytest.mark.parametrize("stride", [1, 2])
def test_both_sides_of_the_filter_gradient_compute_the_same(stride):
    ours, native, gflop = kernels.filter_gradients(8, 3, 5, stride, batch=2, dtype="float32")
    np.testing.assert_allclose(ours(), native(), rtol=1e-4, atol=1e-4)
    places = 2 * (8 // stride) ** 2
    assert gflop == pytest.approx(2 * places * 3 * 3 * 3 * 5 / 1e9)


def test_both_sides_of_batch_norm_compute_the_same():
    ours, keras_layer = kernels.batch_norms(4, 3, batch=2, dtype="float32")
    for one, other in zip(ours(), keras_layer(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
