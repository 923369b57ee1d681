"""Keras runs on TensorFlow, or whoever asked for another backend is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from and_tf.backend import require_tensorflow
from and_tf.errors import RunError


@pytest.mark.parametrize("module", ["and_tf", "and_tf.method.model"])
def test_another_backend_is_refused_before_keras_is_imported(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("and_tf.errors.RunError: and_tf needs Keras's TensorFlow backend.")
    assert message.endswith("Received: 'jax'")


def test_a_backend_that_is_in_use_already_is_refused(monkeypatch) -> None:
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(RunError, match="in a fresh process. Received: 'jax'"):
        require_tensorflow()


EMBED = """
import and_tf, keras, numpy as np
keras.utils.set_random_seed(0)
encoder = and_tf.encoders.resnet18((16, 16, 3), embedding_dim=4, width=0.05)
model = and_tf.AND(encoder, 2)
embeddings = model.predict(np.arange(1536, dtype="uint8").reshape(2, 16, 16, 3), verbose=0)
"""


def test_keras_json_changes_nothing_and_is_named(tmp_path) -> None:
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}
    (tmp_path / "keras.json").write_text(json.dumps(settings | {"backend": "jax"}))
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", EMBED + "print(embeddings.tolist())"],
        env=environment | {"KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    scope = result_of(EMBED)
    np.testing.assert_allclose(json.loads(done.stdout), scope["embeddings"], atol=1e-6)
    for name in ("image_data_format to 'channels_last'", "floatx to 'float32'", "epsilon to 1e-07"):
        assert f"sets Keras's {name}" in done.stderr


def result_of(code: str) -> dict:
    scope: dict = {}
    exec(code, scope)  # noqa: S102
    return scope
