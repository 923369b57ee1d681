"""The Grad-CAM command."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from and_tf import gradcam


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_each_image_has_a_map_for_each_round_that_is_kept(trained_run, photos, tmp_path, capsys):
    output = tmp_path / "shown"
    arguments = [str(trained_run), "--images", str(photos), "--most", "2", "--output", str(output)]
    assert gradcam.main(arguments) == 0
    assert "gradcam.html" in capsys.readouterr().out
    svg = (output / "gradcam/grad-cam.svg").read_text()
    # Of three rounds the last one's checkpoint is there, among the latest two.
    assert ">round 2</text>" in svg and ">round 1</text>" not in svg
    text = (output / "gradcam.md").read_text()
    assert "2 of 3 images" in text and "0.png, 1.png" in text


def test_a_run_without_checkpoints_shows_its_model(trained_run, photos, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    output = tmp_path / "shown"
    assert gradcam.main([str(run), "--images", str(photos), "--output", str(output)]) == 0
    assert "train.keep_rounds=true keeps them" in capsys.readouterr().out
    assert ">trained</text>" in (output / "gradcam/grad-cam.svg").read_text()
    (run / "model.keras").unlink()
    assert gradcam.main([str(run), "--images", str(photos), "--output", str(output)]) == 2
    assert "neither checkpoints of rounds nor a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "message"),
    [("nowhere", "--images must be a folder of images. Received: nowhere"), (".", "image")],
)
def test_bad_input_is_one_line(images, message, trained_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gradcam.main([str(trained_run), "--images", images]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
