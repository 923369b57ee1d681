"""Layouts of a map: places that say who is alike."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from and_tf.reporting.layouts import neighbour_layout, pca_layout


def groups(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Three groups of unit vectors in eight dimensions, and which group each is of."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(3), count)
    rows = np.eye(8)[numbers] + 0.1 * rng.normal(size=(3 * count, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), numbers


def share_of_own_group(places: np.ndarray, numbers: np.ndarray) -> float:
    """How many have an example of their group as the nearest other."""
    distances = np.square(places[:, None] - places[None]).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(numbers[distances.argmin(axis=1)] == numbers))


def test_pca_is_the_plane_of_most_variance():
    rows, _ = groups()
    places = pca_layout(rows)
    centred = rows - rows.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(places, axis=0), values[:2], rtol=1e-4)
    assert pca_layout(rows[:, :1]).shape == (90, 2)


def test_tsne_keeps_neighbours_together_and_is_reproducible():
    rows, numbers = groups()
    name, places = neighbour_layout(rows, rows[:, :2], "t-SNE")
    assert name == "t-SNE" and share_of_own_group(places, numbers) == 1
    np.testing.assert_array_equal(places, neighbour_layout(rows, rows[:, :2], "t-SNE")[1])
    assert neighbour_layout(rows[:4], rows[:4, :2], "t-SNE")[1].shape == (4, 2)


def test_a_folder_that_umap_left_behind_is_not_umap(tmp_path, monkeypatch):
    if importlib.util.find_spec("umap") is not None:
        pytest.skip("umap-learn is installed")
    (tmp_path / "umap/__pycache__").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("umap") is not None
    rows, _ = groups()
    assert neighbour_layout(rows, rows[:, :2])[0] == "t-SNE"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="needs umap-learn")
def test_umap_keeps_neighbours_together():
    rows, numbers = groups()
    name, places = neighbour_layout(rows, rows[:, :2])
    assert name == "UMAP" and share_of_own_group(places, numbers) == 1
    np.testing.assert_array_equal(places, neighbour_layout(rows, rows[:, :2])[1])
