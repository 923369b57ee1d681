"""What the training command refuses, in one clear message."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest
import tensorflow as tf
from PIL import Image

from and_tf import export, train
from tests.small_run import ROOT, SMALL, command, fails


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_mistakes_in_a_config_are_listed_at_once(tmp_path, capsys):
    config = {"optimizer": {"learning_rte": 0.1}, "train": {"batch_size": "128"}, "sed": 1}
    (tmp_path / "wrong.json").write_text(json.dumps(config))
    message = fails(capsys, "--config", "wrong.json", "--set", "encoder.wdith=2")
    for part in ("optimizer.learning_rte", "Did you mean optimizer.learning_rate?",
                 "train.batch_size", "Did you mean seed?", "Did you mean encoder.width?"):  # fmt: skip
        assert part in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config", "absent.json"], "absent.json: no such config file"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--data-dir", "x"], 'data.data_dir: is read only when data.source is "tfds"'),
        (["--run-dir", ""], "--run-dir must name a directory"),
        (["--set", 'data.source="tfds"', "--set", "data.name=cifar10", "--data-dir", "absent"],
         "The data directory does not exist"),
        (["--set", "train.batch_size=1438"], "has only 1437 images"),
        (["--set", "curriculum.neighbours=1437"], "Received: neighbours=1437"),
        (["--set", 'data.source="folder"', "--set", "data.path=absent"], "absent"),
        (["--set", 'data.source="folder"', "--set", "data.path=."], "image"),
        (["--set", 'data.source="tfds"', "--set", "data.name=cifar11"], "cifar10"),
        (["--set", "encoder.name=resnet18", "--set", "optimizer.learning_rate=1e30",
          "--set", "encoder.width=0.1"], "The loss is not finite any more, at step"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_clear_message(arguments, message, capsys):
    assert message in fails(capsys, *arguments)


@pytest.mark.parametrize(
    "error, message",
    [
        (MemoryError(), "Not enough memory"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "Not enough memory"),
        (tf.errors.DataLossError(None, None, "truncated record"), "damaged: truncated record"),
        (tf.errors.UnknownError(None, None, "x; No space left on device"), "No space left"),
        (KeyError("a bug"), None),
    ],
)
def test_errors_of_the_machine_are_explained_and_bugs_are_not(error, message):
    found = train.explain(error)
    assert found is None if message is None else message in found


def test_images_of_different_sizes_are_refused(tmp_path, capsys):
    for side in (20, 24):
        Image.new("RGB", (side, side)).save(tmp_path / f"{side}.png")
    arguments = ["--set", 'data.source="folder"', "--set", f"data.path={tmp_path}"]
    assert "data.image_size" in fails(capsys, *arguments, "--run-dir", "elsewhere/run")


def test_another_backend_is_refused():
    process = command("--run-dir", "run", KERAS_BACKEND="jax")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("error: and_tf needs Keras's TensorFlow backend")
    assert "Received: 'jax'" in errors and "Traceback" not in errors


def test_a_run_is_neither_overwritten_nor_continued_as_another(trained_run, tmp_path, capsys):
    run = tmp_path / "run"  # a copy, since it is locked meanwhile
    shutil.copytree(trained_run, run)
    before = (run / "model.keras").read_bytes()
    assert "Use --resume" in fails(capsys, "--run-dir", str(run), *SMALL)
    changed = ["--resume", "--set", "objective.temperature=0.2"]
    message = fails(capsys, "--run-dir", str(run), *changed)
    assert "objective.temperature: the run was begun with 0.1" in message
    assert (run / "model.keras").read_bytes() == before


def test_bad_input_does_not_occupy_the_run_directory(capsys):
    fails(capsys, "--run-dir", "run", "--set", "train.batch_size=5000")
    assert not pathlib.Path("run").exists()


def test_a_damaged_set_of_records_is_explained(shared_tfds, tmp_path, capsys):
    shutil.copytree(shared_tfds / "svhn_cropped", tmp_path / "data" / "svhn_cropped")
    (records,) = (tmp_path / "data").rglob("svhn_cropped-train*")
    records.chmod(0o644)
    records.write_bytes(records.read_bytes()[:100_000])
    arguments = ["--config", str(ROOT / "configs/svhn.json"), "--data-dir", str(tmp_path / "data")]
    for in_memory in ("true", "false"):
        fails(capsys, *arguments, "--set", f"data.in_memory={in_memory}")


def test_abbreviated_options_are_refused(capsys):
    for program, option in ((train, "--res"), (train, "--over"), (export, "--lab")):
        with pytest.raises(SystemExit):
            program.main(["run", option] if program is export else [option])
        assert f"unrecognized arguments: {option}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key", ["data.path", "data.test_path", "data.labels", "--run-dir", "--config"]
)
def test_paths_that_cannot_be_had_are_said_with_their_option(key, capsys):
    long = "a" * 300
    given = [key, long] if key.startswith("--") else ["--set", f"{key}={long}"]
    folder = ["--set", 'data.source="folder"', "--set", "data.path=."]
    message = fails(capsys, *folder, *given)
    assert message.startswith(f"error: {key}: File name too long. Received: aaa")
    assert len(message.splitlines()) == 1 and not pathlib.Path("runs").exists()


def test_a_run_directory_that_may_not_be_written_to_is_said(tmp_path, capsys, monkeypatch):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    monkeypatch.setattr("os.access", lambda path, mode: "checkpoints" not in str(path))
    message = fails(capsys, "--run-dir", "run")
    assert message == "error: --run-dir cannot be written to: Permission denied. Received: run\n"


def test_a_failure_before_the_first_step_leaves_nothing(capsys, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("and_tf.runs.fitting.announce", fail)
    assert "Not enough memory" in fails(capsys, "--run-dir", "run", *SMALL)
    assert not pathlib.Path("run").exists()


@pytest.mark.parametrize("option", ["--resume", "--resume-or-start"])
def test_a_trained_run_without_checkpoints_is_not_begun_anew(trained_run, tmp_path, capsys, option):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    shutil.rmtree(run / "checkpoints")
    before = [path.read_bytes() for path in (run / "model.keras", run / "metrics.jsonl")]
    assert "The checkpoints of the run are gone" in fails(capsys, "--run-dir", "run", option)
    assert [path.read_bytes() for path in (run / "model.keras", run / "metrics.jsonl")] == before


@pytest.mark.parametrize("text", [None, "[]", "{", '{"data": {}}'])
def test_a_run_without_its_environment_does_not_go_on(trained_run, tmp_path, capsys, text):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    if text is None:
        (run / "environment.json").unlink()
    else:
        (run / "environment.json").write_text(text)
    message = fails(capsys, "--run-dir", "run", "--resume")
    assert "only with its environment.json" in message and len(message.splitlines()) == 1
    assert (run / "model.keras").exists()


def test_resuming_with_other_options_says_the_cure(trained_run, tmp_path, capsys):
    shutil.copytree(trained_run, tmp_path / "run")
    message = fails(
        capsys, "--config", str(ROOT / "configs/digits.json"), "--run-dir", "run", "--resume"
    )
    assert "curriculum.rounds: the run was begun with 2, which cannot change now" in message
    assert message.endswith("To go on with the run as it was begun: --run-dir run --resume\n")
