from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from and_tf.data import from_arrays
from and_tf.runs.config import load_config
from benchmarks import gpu

SMALL = [
    *("encoder.name=conv4", "encoder.width=0.1", "train.batch_size=4"),
    *("augment.hue=0", "augment.contrast=0", "augment.saturation=0"),
]


def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    assert gpu.main() == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: TensorFlow sees no GPU here") and complaint.count("\n") == 1


def test_each_configuration_is_measured_and_what_does_not_run_has_its_reason(monkeypatch):
    build = gpu.build_model

    def refuse_second(config, images):
        monkeypatch.setattr(gpu, "build_model", fail)
        return build(config, images)

    def fail(config, images):
        raise ValueError("\nnot implemented\nat all")

    monkeypatch.setattr(gpu, "build_model", refuse_second)
    images = from_arrays(np.zeros((8, 32, 32, 3), np.uint8))
    modes = [("float32", False), ("float32", True)]
    found = gpu.measure(load_config(gpu.CONFIG, SMALL), images, modes, count=1, repeats=2)
    assert found[modes[0]] > 0 and found[modes[1]] == "not implemented"
    assert gpu.table({modes[0]: 5000.0, modes[1]: found[modes[1]]}, 50_000).splitlines()[2:] == [
        "| float32 | no | 5,000 | 2.8 |",
        "| float32 | yes | - | not implemented |",
    ]


@pytest.mark.slow
def test_the_command_measures_every_precision_with_and_without_xla():
    overrides = [word for option in SMALL for word in ("--set", option)]
    sizes = ["--n", "32", "--steps", "1", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--json", *sizes, *overrides],
        capture_output=True,
        check=True,
        text=True,
    )
    fields = json.loads(done.stdout.splitlines()[-1])
    assert fields["device"] == "CPU" and len(fields["images_per_second"]) == 6
    assert all(speed > 0 for speed in fields["images_per_second"].values())
