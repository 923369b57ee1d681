from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest

from and_tf.data import from_arrays
from and_tf.errors import RunError
from and_tf.exporting.trained_encoder import fingerprint_of, load_encoder
from and_tf.runs.assembly import build_model
from and_tf.runs.config import load_config
from and_tf.runs.precision import set_precision
from and_tf.runs.run_directory import RunDirectory

IMAGES = from_arrays(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    set_precision("float32")


def run_in(precision: str, path) -> tuple[RunDirectory, keras.Model]:
    """A run directory with an untrained model of a precision, and that model."""
    overrides = ["encoder.width=0.25", "encoder.embedding_dim=8", f"train.precision={precision}"]
    config = load_config(None, overrides)
    path.mkdir()
    run = RunDirectory(path)
    run.config.write_text(config.to_json())
    set_precision(precision)
    model = build_model(config, IMAGES)
    model.save(run.model)
    return run, model


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_exported_in_float32(tmp_path, precision):
    run, model = run_in(precision, tmp_path / "run")
    assert model.encoder.get_layer("conv1").compute_dtype == precision
    encoder = load_encoder(run, load_config(run.config))
    assert {layer.compute_dtype for layer in encoder.layers} == {"float32"}
    assert {weight.dtype for weight in encoder.weights} == {"float32"}
    exact, rounded = (m.predict(IMAGES.images, verbose=0) for m in (encoder, model))
    assert 1e-5 < np.abs(exact - rounded).max() < 0.1
    for ours, trained in zip(encoder.get_weights(), model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, trained)


def test_a_fingerprint_tells_encoders_apart(tmp_path):
    run, model = run_in("float32", tmp_path / "run")
    config = load_config(run.config)
    fingerprint = fingerprint_of(load_encoder(run, config))
    assert fingerprint == fingerprint_of(load_encoder(run, config))
    model.encoder.set_weights([weights + 1e-6 for weights in model.encoder.get_weights()])
    model.save(run.model)
    assert fingerprint_of(load_encoder(run, config)) != fingerprint


def test_refuses_a_model_that_is_not_the_configs(tmp_path):
    run, _ = run_in("float32", tmp_path / "run")
    config = json.loads(run.config.read_text())
    config["encoder"]["width"] = 0.5
    run.config.write_text(json.dumps(config))
    with pytest.raises(RunError, match="is not the one that its config describes"):
        load_encoder(run, load_config(run.config))


def test_damage_is_noticed(tmp_path):
    run, _ = run_in("float32", tmp_path / "run")
    damaged = bytearray(run.model.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    run.model.write_bytes(damaged)
    with pytest.raises(RunError, match="The model cannot be read; .* writes it anew"):
        load_encoder(run, load_config(run.config))
    shutil.rmtree(run.path)
