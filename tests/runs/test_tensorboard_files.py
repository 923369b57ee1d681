from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import keras
import pytest
import tensorflow as tf

from and_tf.runs.tensorboard_files import as_text, rewind


def write(folder: pathlib.Path | str, epochs: range) -> None:
    """What Keras's callback writes of some epochs, in a file of its own."""
    callback = keras.callbacks.TensorBoard(folder, write_graph=False)
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.model.optimizer = keras.optimizers.SGD()
    callback.on_train_begin()
    for epoch in epochs:
        callback.on_epoch_end(epoch, {"loss": float(epoch)})
    callback.on_train_end()


def steps(folder: pathlib.Path) -> list[int]:
    return [
        event.step
        for path in sorted(folder.rglob("events.*"))
        for record in tf.data.TFRecordDataset(str(path))
        for event in [tf.compat.v1.Event.FromString(record.numpy())]
        if any(value.tag == "epoch_loss" for value in event.summary.value)
    ]


def test_every_epoch_is_there_once_after_a_run_went_on(tmp_path):
    rewind(tmp_path / "absent", 3)
    write(tmp_path, range(5))
    (path,) = tmp_path.rglob("events.*")
    whole = path.read_bytes()
    rewind(tmp_path, 5)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-3])  # killed in the middle of a record
    rewind(tmp_path, 3)
    assert steps(tmp_path) == [0, 1, 2]
    rewind(tmp_path, 3)
    write(tmp_path, range(3, 5))
    assert sorted(steps(tmp_path)) == [0, 1, 2, 3, 4]


def test_a_folder_of_any_name_takes_the_figures(tmp_path):
    assert as_text(tmp_path) == str(tmp_path)
    folder = tmp_path / os.fsdecode(b"r\xe9n")
    for epochs in (range(3), range(2, 3)):
        rewind(folder, epochs.start)
        write(as_text(folder), epochs)
    rewind(folder, 1)
    kept = [
        len(list(tf.data.TFRecordDataset(os.fsencode(path)))) for path in folder.rglob("events.*")
    ]
    assert len(kept) == 2 and min(kept) == 1 < max(kept)  # of the later file its head alone


def test_tensorboard_starts_in_the_environment_that_make_builds(tmp_path):
    lock = (pathlib.Path(__file__).resolve().parents[2] / "requirements.lock").read_text()
    if f"\nsetuptools=={importlib.metadata.version('setuptools')} " not in lock:
        pytest.skip("this environment is older than requirements.lock: run make")
    write(tmp_path, range(2))
    options = ["--logdir", str(tmp_path), "--port", "0", "--load_fast", "false"]
    with subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if address := re.search(r"http://\S+/", line):
                    break
            else:
                pytest.fail("".join(said))
            with urllib.request.urlopen(f"{address[0]}data/environment", timeout=60) as answer:
                assert json.load(answer)["version"].startswith("2.")
        finally:
            process.kill()
