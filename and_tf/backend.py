"""The one Keras backend that the project runs on, and the settings of Keras that it computes with."""

from __future__ import annotations

import os
import sys
import warnings

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
            "and_tf needs Keras's TensorFlow backend. Unset KERAS_BACKEND or set it, and the "
            "backend in ~/.keras/keras.json, to 'tensorflow', in a fresh process. "
            f"Received: {backend!r}"
        )


def set_keras_defaults() -> None:
    """Have Keras compute as it does without a `keras.json`, whatever that says, and say so.

    The image format, the dtype and the epsilon of layers would otherwise depend on who runs them.
    Imports Keras. A dtype policy that was set by itself, such as mixed_bfloat16, stays.
    """
    import keras

    defaults = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}
    found = {name: getattr(keras.config, name)() for name in defaults}
    policy = keras.config.dtype_policy().name
    changed = {name: value for name, value in defaults.items() if found[name] != value}
    for name, value in changed.items():
        getattr(keras.config, f"set_{name}")(value)
        if name == "floatx" and policy == found[name]:
            keras.config.set_dtype_policy(value)
        warnings.warn(
            f"and_tf sets Keras's {name} to {value!r} in this process, which computes with it; "
            f"~/.keras/keras.json or the program says {found[name]!r}.",
            stacklevel=3,
        )
