"""Embeddings of an ONNX or LiteRT file, in a process without Keras.

`python -m and_tf.exporting.portable_check FILE ARRAYS` embeds the `images` of an NPZ file, one at a
time and together, and prints the greatest difference to its `expected`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        Exit code: 0. Whatever is wrong with the file raises.
    """
    path, arrays = arguments
    for module in ("keras", "tf_keras"):
        sys.modules[module] = None  # type: ignore[assignment]  # to import it fails from now on
    embed = _onnx(path) if path.endswith(".onnx") else _litert(path)
    with np.load(arrays) as file:
        images, expected = file["images"], file["expected"]
    together, alone = embed(images), np.concatenate([embed(image[np.newaxis]) for image in images])
    print(max(float(np.max(np.abs(got - expected))) for got in (together, alone)))
    return 0


def _onnx(path: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: session.run(None, {given.name: images})[0]


def _litert(path: str) -> Callable[[np.ndarray], np.ndarray]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    signature = tf.lite.Interpreter(path).get_signature_runner()
    (given,) = signature.get_input_details()
    (result,) = signature.get_output_details()
    return lambda images: signature(**{given: images})[result]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
