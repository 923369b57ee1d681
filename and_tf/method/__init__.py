"""The paper: its objective, its memory bank, its curriculum, and the model that trains by them.

An equation is one function here, whose docstring cites it. Nothing here knows of configs, of run
directories or of the command line.

Other rooms use `callbacks`, `curriculum`, `model`, `model_checks`, `monitors`, `optimizer`, `replica_limits`
and `sharded_bank`.
"""

from __future__ import annotations

from and_tf.method.callbacks import KNNEvaluation, NeighbourhoodDiscovery
from and_tf.method.curriculum import Curriculum, select_anchors
from and_tf.method.memory import updated_rows
from and_tf.method.model import AND
from and_tf.method.monitors import BankMonitors
from and_tf.method.objective import neighbourhood_losses
from and_tf.method.optimizer import SGD

__all__ = [
    "AND",
    "SGD",
    "BankMonitors",
    "Curriculum",
    "KNNEvaluation",
    "NeighbourhoodDiscovery",
    "neighbourhood_losses",
    "select_anchors",
    "updated_rows",
]
