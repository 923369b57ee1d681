"""Train image encoders without labels by neighbourhood discovery, and serve them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Imported at first use, so that `--help` and a wrong config do not wait for TensorFlow.
_EXPORTS = {
    "AND": "and_tf.model",
    "Augment": "and_tf.data.augment",
    "Curriculum": "and_tf.curriculum",
    "KNNEvaluation": "and_tf.callbacks",
    "NeighbourhoodDiscovery": "and_tf.callbacks",
    "SGD": "and_tf.optimizer",
}
_SUBPACKAGES = ("data", "encoders", "evaluation")

__all__ = [*_EXPORTS, *_SUBPACKAGES]

if TYPE_CHECKING:
    from and_tf import data, encoders, evaluation
    from and_tf.callbacks import KNNEvaluation, NeighbourhoodDiscovery
    from and_tf.curriculum import Curriculum
    from and_tf.data.augment import Augment
    from and_tf.model import AND
    from and_tf.optimizer import SGD


def __getattr__(name: str):
    if name in _EXPORTS or name in _SUBPACKAGES:
        from and_tf.backend import require_tensorflow

        require_tensorflow()
        if name in _SUBPACKAGES:
            return importlib.import_module(f"and_tf.{name}")
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'and_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
