"""Keras runs on TensorFlow, or whoever asked for another backend is told."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

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
