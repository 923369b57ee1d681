"""Whether an export answers as the model does, found out before anybody can see it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.resizing import CROPPED_FROM, resize_array
from and_tf.errors import RunError
from and_tf.evaluation.knn import knn_scores
from and_tf.exporting.fresh_process import check_difference, check_output_of
from and_tf.exporting.prediction_logs import prediction_log, write_logs
from and_tf.exporting.rows import Rows

TOLERANCE = 1e-5
# Where images are resized, a pixel whose value falls on a half may differ by one of 255; where rows
# vote, the last of them may be another one that is as near.
LOOSE_TOLERANCE = 1e-2


def sample_images(image_shape: tuple[int, int, int], number: int = 3) -> np.ndarray:
    """Images to verify with: smooth patterns and noise, uint8 [number, H, W, 3]."""
    random = np.random.default_rng(0)
    height, width, _ = image_shape
    waves = np.sin(np.arange(height)[:, None] / 5) * np.cos(np.arange(width) / 7)
    strength = random.uniform(20, 100, [number, 1, 1, 3])
    noise = random.normal(0, 20, [number, *image_shape])
    return np.clip(128 + strength * waves[..., None] + noise, 0, 255).astype(np.uint8)


def expected_answers(
    encoder: keras.Model,
    image_size: int | None,
    rows: Rows,
    signatures: dict[str, int | None],
    vote_neighbours: int,
    vote_temperature: float,
) -> list:
    """Requests with the answers that Keras and the evaluation's kNN give, as PredictionLogs.

    Args:
        encoder: The float32 model.
        image_size: The run's `data.image_size`.
        rows: What is stored.
        signatures: Name to k.
        vote_neighbours, vote_temperature: Of the vote.
    """
    images = sample_images(encoder.input_shape[1:])
    files = np.array([tf.io.encode_png(image).numpy() for image in images], object)
    resized = np.stack([resize_array(image, image_size) for image in images])
    logs = []
    for name, k in signatures.items():
        of_bytes = name.endswith("_bytes")
        embeddings = encoder.predict(resized if of_bytes else images, verbose=0)
        alias, given = ("image_bytes", files) if of_bytes else ("images", images)
        if name.endswith("_embedding"):
            alias, given = "embedding", embeddings
        for size in (1, len(images)):
            answers = _answers(name, embeddings[:size], rows, k, vote_neighbours, vote_temperature)
            logs.append(prediction_log(name, {alias: given[:size]}, answers))
    return logs


def _answers(
    name: str,
    embeddings: np.ndarray,
    rows: Rows,
    k: int | None,
    vote_neighbours: int,
    vote_temperature: float,
) -> dict[str, np.ndarray]:
    kind = name.removesuffix("_bytes").removesuffix("_embedding")
    if kind == "neighbours":
        similarities = np.sort(embeddings @ rows.embeddings.T, axis=1)[:, ::-1]
        return {"similarities": similarities[:, :k]}
    if kind == "classify":
        scores = knn_scores(
            embeddings,
            rows.embeddings,
            rows.labels,
            vote_neighbours,
            vote_temperature,
            len(rows.class_names),
        )
        return {"scores": np.sort(scores, axis=1)[:, ::-1][:, :k]}
    return {"embedding": embeddings}


def verify_saved_model(folder: Path, logs: list, image_size: int | None) -> None:
    """Check a SavedModel in a fresh process, against `expected_answers`.

    Raises:
        RunError: It cannot be loaded, a signature fails, calls Python, or answers something else.
    """
    with tempfile.TemporaryDirectory() as temporary:
        records = Path(temporary) / "expected"
        write_logs(records, logs)
        found = json.loads(
            check_output_of("and_tf.exporting.saved_model_check", str(folder), str(records))
        )
    if found["python_ops"]:
        raise RunError(f"The export would call Python. Received: {found['python_ops']}")
    cropped = image_size is not None and image_size >= CROPPED_FROM
    for signature, alias, difference in found["differences"]:
        loose = alias == "scores" or cropped and signature.endswith("_bytes")
        tolerance = LOOSE_TOLERANCE if loose else TOLERANCE
        check_difference(f"`{alias}` of {signature}", difference, tolerance)
