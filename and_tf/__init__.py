"""Train image encoders without labels by neighbourhood discovery, and serve them."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "AND",
    "SGD",
    "Augment",
    "Curriculum",
    "KNNEvaluation",
    "NeighbourhoodDiscovery",
    "data",
    "discover",
    "discovery",
    "encoders",
    "evaluation",
    "method",
]

# While Python locates `python -m and_tf` or `and_tf.COMMAND`, sys.argv[0] is "-m". A command imports
# what it needs once its arguments are read, so that `--help` and a wrong config need not wait for
# TensorFlow. Everybody else gets everything, and with it what `keras.models.load_model` looks up.
_is_command = getattr(sys, "argv", [])[:1] == ["-m"] and any(
    argument.removeprefix("-m").split(".")[0] == "and_tf" for argument in sys.orig_argv
)
if _is_command:
    # Until it listens (`and_tf.runs.commands.lasting_output`), Ctrl-C ends it without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
else:
    from and_tf.backend import require_tensorflow, set_keras_defaults

    require_tensorflow()
    set_keras_defaults()

    from and_tf import data, discovery, encoders, evaluation, method
    from and_tf.data.augment import Augment
    from and_tf.discovery import discover
    from and_tf.method import AND, SGD, Curriculum, KNNEvaluation, NeighbourhoodDiscovery


def __getattr__(name: str) -> Any:
    """`and_tf.judging` as well, which takes seconds to import, once it is asked for."""
    if name == "judging":
        return importlib.import_module("and_tf.judging")
    raise AttributeError(f"module 'and_tf' has no attribute {name!r}")
