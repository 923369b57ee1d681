from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.serving_requests import array_inputs, json_body, png


def test_both_sides_get_the_same_image():
    image = png(8)
    body = json.loads(json_body("classify", image))
    (pixels,) = array_inputs("classify", image, 1)["images"]
    assert body == {"signature_name": "classify", "instances": [pixels.tolist()]}
    (contents,) = array_inputs("classify_bytes", image, 1)["image_bytes"]
    assert contents == image and pixels.shape == (8, 8, 3)


@pytest.mark.slow
def test_the_command_ends_with_the_figures():
    options = ["--encoder", "conv4", "--n", "50", "--seconds", "0.5", "--repeats", "2"]
    options += ["--clients", "1", "4", "--overload", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ours"] > figures["floor"] > 0
    assert figures["1 clients, p50 (ms)"] <= figures["1 clients, p99 (ms)"]
    assert figures["overload: answered/s"] > 0
