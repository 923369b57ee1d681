"""The encoder alone for other runtimes: ONNX and LiteRT files, written and verified."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import keras
import numpy as np

from and_tf.errors import RunError
from and_tf.exporting.description import with_served
from and_tf.exporting.fresh_process import check_difference, check_output_of
from and_tf.exporting.verification import TOLERANCE, sample_images
from and_tf.exporting.version_folder import MARKS
from and_tf.files import write_text
from and_tf.runs.config import RunConfig

# LiteRT's converter, and an interpreter to verify with, come with TensorFlow.
PACKAGES = {"onnx": ("tf2onnx", "onnx", "onnxruntime"), "litert": ()}


def check_packages(file_format: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        RunError: With the command that installs them.
    """
    missing = [name for name in PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(
            f"--format {file_format} needs packages that are not installed: "
            f"pip install {' '.join(missing)}"
        )


def write_portable(
    encoder: keras.Model, folder: Path, file_format: str, config: RunConfig, run_card: str
) -> None:
    """Write an encoder's file with its model card, and verify it in a fresh process without Keras.

    Args:
        encoder: The float32 model; pixels float32 [B, H, W, 3], 0 to 255, to float32 [B, d].
        folder: Where.
        file_format: "onnx" or "litert".
        config: Of the run.
        run_card: The run's model card; empty where the run is not over.

    Raises:
        RunError: A package is missing, Keras cannot convert this encoder, or the file answers
            something else.
        OSError: It cannot be written.
    """
    check_packages(file_format)
    path = folder / MARKS[file_format]
    images = sample_images(encoder.input_shape[1:]).astype(np.float32)
    expected = encoder.predict(images, verbose=0)  # Keras exports only what was called once
    # LiteRT's own operations alone: others would need TensorFlow's beside the runtime.
    options = {"target_spec": {"supported_ops": _builtin_ops()}} if file_format == "litert" else {}
    try:
        encoder.export(str(path), format=file_format, verbose=False, **options)
    except OSError:
        raise
    except Exception as error:  # The converters raise nearly every type.
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise RunError(f"Keras cannot export this encoder as {file_format}: {reason}") from error
    _verify(path, images, expected)
    height, width = encoder.input_shape[1:3]
    served = f"""`{path.name}`: float32 pixels [B, {height}, {width}, 3], RGB, 0 to 255, to unit vectors float32
[B, {encoder.output_shape[-1]}]. Images must be resized before, as `and_tf.data.resizing` does."""
    write_text(folder / "model_card.md", with_served(config.name, run_card, served))


def _builtin_ops() -> list:
    import tensorflow as tf

    return [tf.lite.OpsSet.TFLITE_BUILTINS]


def _verify(path: Path, images: np.ndarray, expected: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        arrays = Path(temporary) / "arrays.npz"
        np.savez(arrays, images=images, expected=expected)
        difference = check_output_of("and_tf.exporting.portable_check", str(path), str(arrays))
    check_difference("the embedding", float(difference), TOLERANCE)
