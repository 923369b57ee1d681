"""The encoder alone in other formats; ONNX is skipped where its packages are not installed."""

from __future__ import annotations

import importlib.util
import os

import keras
import pytest

from and_tf import export
from and_tf.errors import RunError
from and_tf.exporting import portable
from and_tf.exporting.portable import PACKAGES, check_packages


@pytest.mark.parametrize("file_format", ["litert", "onnx"])
def test_another_runtime_embeds_as_the_model_does(trained_run, tmp_path, file_format):
    for package in PACKAGES[file_format]:
        pytest.importorskip(package)
    output = tmp_path / "out"
    arguments = [str(trained_run), "--output", str(output), "--format", file_format]
    assert export.main(arguments) == 0
    files = {"litert": "encoder.tflite", "onnx": "encoder.onnx"}
    assert set(os.listdir(output / "1")) == {files[file_format], "model_card.md"}
    card = (output / "1/model_card.md").read_text()
    assert f"`{files[file_format]}`: float32 pixels [B, 16, 16, 3]" in card


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="not installed: pip install tf2onnx onnx onnxruntime$"):
        check_packages("onnx")
    check_packages("litert")


def test_another_answer_is_refused(trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **_: open(path, "w").close())
    monkeypatch.setattr(portable, "check_output_of", lambda *_: "0.01")
    arguments = [str(trained_run), "--output", str(tmp_path / "out"), "--format", "litert"]
    assert export.main(arguments) == 2
    assert "the embedding is not what the model gives. Received: a difference of 0.01" in (
        capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == []


def test_an_encoder_that_keras_cannot_convert(trained_run, tmp_path, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise NotImplementedError("no such layer\nand more")

    monkeypatch.setattr(keras.Model, "export", refuse)
    arguments = [str(trained_run), "--output", str(tmp_path / "out"), "--format", "litert"]
    assert export.main(arguments) == 2
    error = capsys.readouterr().err
    assert error == "error: Keras cannot export this encoder as litert: no such layer\n"
