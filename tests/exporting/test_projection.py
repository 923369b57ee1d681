"""The rows' embeddings in the plane."""

from __future__ import annotations

import json

import numpy as np
import pytest

from and_tf.exporting.projection import project
from and_tf.exporting.rows import Rows


def rows(embeddings: np.ndarray) -> Rows:
    count = len(embeddings)
    labels = np.arange(count, dtype=np.int32) % 2
    return Rows(embeddings, labels, ["a", "b"], [str(index) for index in range(count)])


@pytest.fixture
def bank() -> Rows:
    random = np.random.default_rng(0)
    return rows((random.normal(size=(50, 6)) * [1, 5, 1, 0.1, 3, 1]).astype(np.float32))


def test_places_are_those_of_a_singular_value_decomposition(bank: Rows) -> None:
    found = project(bank)
    centred = bank.embeddings - bank.embeddings.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    points = np.array(found["points"])
    signs = np.sign((expected * points).sum(axis=0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-3)
    np.testing.assert_allclose(found["explained"], (sizes**2 / (sizes**2).sum())[:2], atol=1e-4)


def test_a_row_is_placed_by_mean_and_components_as_it_stands(bank: Rows) -> None:
    found = project(bank)
    placed = np.array(found["components"]) @ (bank.embeddings[7] - np.array(found["mean"]))
    np.testing.assert_allclose(placed, found["points"][7], atol=1e-3)


def test_sample_of_many_rows_reaches_from_the_first_to_the_last(bank: Rows) -> None:
    found = project(bank, most_points=8)
    assert (found["rows"][0], found["rows"][-1], len(set(found["rows"]))) == (0, 49, 8)
    assert found["labels"] == [row % 2 for row in found["rows"]]
    assert len(found["points"]) == 8


@pytest.mark.parametrize("shape", [(1, 4), (3, 1)])
def test_too_few_rows_or_dimensions_have_places_still(shape: tuple[int, int]) -> None:
    found = json.loads(json.dumps(project(rows(np.ones(shape, np.float32)))))
    assert np.isfinite(found["points"]).all()
    assert np.shape(found["components"]) == (2, shape[1])
    assert found["explained"] == [0, 0]
