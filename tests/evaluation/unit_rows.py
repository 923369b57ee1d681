"""Random unit rows."""

from __future__ import annotations

import numpy as np


def unit_rows(seed: int, count: int, dim: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def classes_apart(seed: int, count: int, classes: int = 3, noise: float = 0.3, dim: int = 8):
    """Rows around one centre a class, unit [N, d], and their labels [N]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    centres = unit_rows(99, classes, dim)
    rows = centres[labels] + noise * generator.normal(size=(count, dim)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels
