"""Which examples have a label: labels are any integers or strings."""

from __future__ import annotations

import numpy as np


def known(labels: np.ndarray) -> np.ndarray:
    """Which of the labels [N] are labels, bool [N]; negative integers, "" and None are none.

    Raises:
        ValueError: Labels that are neither integers nor strings.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind in "iub":
        return labels >= 0
    if labels.dtype.kind in "USTO" and all(isinstance(x, str | bytes | None) for x in labels):
        return np.array([bool(label) for label in labels], bool)
    raise ValueError(
        f"Labels must be integers or strings, one for each image. Received: dtype {labels.dtype}, "
        f"such as {labels[:1].tolist()}"
    )


def numbered(*sets: np.ndarray) -> list[np.ndarray]:
    """The labels of several sets as int64 from 0 on, in the order of the labels; -1 for none.

    Raises:
        ValueError: Labels that are neither integers nor strings, or integers here and strings there.
    """
    sets = tuple(np.asarray(labels) for labels in sets)
    masks = [known(labels) for labels in sets]
    present = [labels[mask] for labels, mask in zip(sets, masks, strict=True) if mask.any()]
    if len({labels.dtype.kind in "iub" for labels in present}) > 1:
        raise ValueError("Labels must be all integers or all strings. Received: both")
    classes = np.unique(np.concatenate(present)) if present else np.empty(0, np.int64)
    found = []
    for labels, mask in zip(sets, masks, strict=True):
        numbers = np.full(len(labels), -1, np.int64)
        numbers[mask] = np.searchsorted(classes, labels[mask])
        found.append(numbers)
    return found
