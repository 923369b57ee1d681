"""What was saved before the modules moved into rooms loads: registered names identify classes.

`before_rooms/` is a run directory of two epochs, stopped after the first, and holds a model whose
classes name modules that are gone, such as `and_tf.model`.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np

import and_tf
from and_tf import train

BEFORE = pathlib.Path(__file__).with_name("before_rooms")
MODEL = BEFORE / "checkpoints/epoch-000001-step-00000000.keras"

# Of the first three digits, by the version that saved them.
EMBEDDINGS = [
    [0.594163, 0.714181, 0.247614, 0.27496],
    [0.585252, 0.762075, 0.193896, 0.197804],
    [0.605739, 0.748245, 0.178936, 0.202958],
]
BANK = [
    [-0.588046, 0.669959, 0.192595, -0.4102],
    [-0.351112, -0.118085, 0.76767, -0.522933],
    [0.582315, -0.478654, 0.654079, -0.063084],
]


def test_a_model_loads() -> None:
    config = json.loads(zipfile.ZipFile(MODEL).read("config.json"))
    assert config["module"] == "and_tf.model"
    assert config["registered_name"] == "and_tf>AND"
    model = keras.models.load_model(MODEL)
    assert isinstance(model, and_tf.AND)
    assert isinstance(model.augment, and_tf.Augment)
    assert isinstance(model.optimizer, and_tf.SGD)
    images = and_tf.data.load("digits")[0].images[:3]
    np.testing.assert_allclose(model.predict(images, verbose=0), EMBEDDINGS, atol=1e-5)
    np.testing.assert_allclose(model.bank.numpy()[:3], BANK, atol=1e-6)
    assert model.examples_seen == 1437
    assert model.optimizer.iterations.numpy() == 12


def test_a_run_goes_on(tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BEFORE, run)
    assert train.main(["--run-dir", str(run), "--resume", "--set", "train.report=false"]) == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows] == ["untrained", "epoch", "round", "epoch"]
    assert rows[2]["anchors"] == 1437
    np.testing.assert_allclose(rows[2]["entropy"], 5.582951, rtol=1e-4)
    np.testing.assert_allclose(rows[3]["loss"], 8.925610, rtol=1e-3)
