"""A version as TensorFlow Serving loads it: the SavedModel and what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import keras

from and_tf.exporting.description import describe, export_card
from and_tf.exporting.prediction_logs import warm_up_logs, write_logs
from and_tf.exporting.projection import project
from and_tf.exporting.row_bank import RowBank
from and_tf.exporting.rows import Rows
from and_tf.exporting.signatures import Exported
from and_tf.exporting.verification import expected_answers, verify_saved_model
from and_tf.files import write_text
from and_tf.runs.config import RunConfig


def write_saved_model(
    folder: Path,
    config: RunConfig,
    encoder: keras.Model,
    rows: Rows,
    neighbours: int,
    top: int,
    run_card: str,
) -> None:
    """Fill a version's folder, and verify it.

    Args:
        folder: Empty.
        config: Of the run.
        encoder: The float32 model.
        rows: What images are compared with; where there are none, the encoder is exported alone, and
            where none has a label, everything but classes.
        neighbours, top: k of `neighbours` and of `classify`.
        run_card: The run's model card; empty where the run is not over.

    Raises:
        RunError: It does not answer as the model does.
        OSError, tf.errors.OpError: It cannot be written.
    """
    image_shape, image_size = encoder.input_shape[1:], config.data.image_size
    vote = (config.evaluation.knn_neighbours, config.evaluation.knn_temperature)
    bank = RowBank(rows, *vote) if len(rows) else None
    exported = Exported(encoder, image_size, bank, rows.num_labelled > 0, neighbours, top)
    exported.save(str(folder))

    extra = folder / "assets.extra"
    inputs = {name: signature.input_name for name, signature in exported.signatures.items()}
    write_logs(
        extra / "tf_serving_warmup_requests",
        warm_up_logs(inputs, image_shape, encoder.output_shape[-1]),
    )
    description = describe(config, encoder, exported, rows, folder)
    write_text(extra / "and_tf.json", json.dumps(description, indent=2) + "\n")
    if len(rows):
        write_text(extra / "projection.json", json.dumps(project(rows)) + "\n")
    write_text(folder / "model_card.md", export_card(description, run_card))

    answers = {name: signature.k for name, signature in exported.signatures.items()}
    logs = expected_answers(encoder, image_size, rows, answers, *vote)
    verify_saved_model(folder, logs, image_size)
