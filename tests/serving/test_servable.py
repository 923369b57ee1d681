"""Loading a SavedModel, running its signatures, assigning its variables, freeing it."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from serving.servable import Servable


@pytest.fixture(scope="module")
def kinds(saved_models: pathlib.Path) -> Servable:
    return Servable(saved_models / "kinds/1")


def test_runs_a_signature(kinds: Servable):
    answer = kinds.run("serving_default", {"x": np.array([[3, 0, 4, 0]], np.float32)})
    np.testing.assert_allclose(answer["embedding"], [[0.6, 0, 0.8, 0]], rtol=1e-6)
