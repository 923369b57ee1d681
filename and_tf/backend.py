"""The one Keras backend that the project runs on."""

from __future__ import annotations

import os
import sys

from and_tf.errors import RunError


def require_tensorflow() -> None:
    """Make Keras run on TensorFlow, or say why it does not.

    Must be called before the first `import keras`, which fixes the backend for the process.

    Raises:
        RunError: Another backend was asked for by `KERAS_BACKEND`, or is already in use.
    """
    if "keras" in sys.modules:
        backend = sys.modules["keras"].backend.backend()
    else:
        backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise RunError(
            "and_tf needs Keras's TensorFlow backend. Unset KERAS_BACKEND or set it to "
            f"'tensorflow', in a fresh process. Received: {backend!r}"
        )
