"""The training command, run as a command where the process matters and in this one otherwise."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import and_tf
from and_tf import train
from and_tf.distribution.cluster import Cluster
from and_tf.runs.run_directory import RunDirectory
from tests.threads import run_workers

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = [
    *("--set", "encoder.width=0.25"),
    *("--set", "encoder.embedding_dim=16"),
    *("--set", "curriculum.rounds=2"),
    *("--set", "curriculum.initial_epochs=2"),
    *("--set", "curriculum.epochs_per_round=2"),
    *("--set", "evaluation.every_epochs=2"),
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> pathlib.Path:
    """A small run on the digits, from beginning to end."""
    run = tmp_path_factory.mktemp("finished") / "run"
    assert train.main(["--run-dir", str(run), *SMALL]) == 0
    return run


def command(*arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "and_tf.train", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(run: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_times(found: list[dict]) -> list[dict]:
    times = ("seconds", "images_per_second")
    return [{name: row[name] for name in row if name not in times} for row in found]


def assert_same_model(one: pathlib.Path, other: pathlib.Path) -> None:
    models = [keras.models.load_model(run / "model.keras") for run in (one, other)]
    states = [model.variables + model.optimizer.variables for model in models]
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_leaves_everything_in_the_run_directory(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock", "config.json", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints",
        "model.keras", "model_card.md",
    }  # fmt: skip
    assert json.loads((finished / "config.json").read_text())["curriculum"]["rounds"] == 2
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["seed"] == 0 and environment["versions"]["keras"] == keras.__version__
    assert list((finished / "tensorboard").rglob("events.out.tfevents.*"))
    assert len(list((finished / "checkpoints").iterdir())) == 2
    assert "kNN" in (finished / "model_card.md").read_text()


def test_reports_rounds_and_epochs(finished):
    found = rows(finished)
    assert [row["event"] for row in found] == [
        "untrained", "epoch", "epoch", "round", "epoch", "epoch", "round", "epoch", "epoch",
    ]  # fmt: skip
    assert [row["round"] for row in found if row["event"] == "epoch"] == [0, 0, 1, 1, 2, 2]
    assert [row["anchors"] for row in found if row["event"] == "round"] == [718, 1437]
    assert all(0 <= row["consistency"] <= 1 for row in found if row["event"] == "round")
    evaluated = [row["epoch"] for row in found if "knn_bank" in row and "knn_features" in row]
    assert evaluated == [2, 4, 6]


def test_the_model_embeds_stored_images(finished):
    model = keras.models.load_model(finished / "model.keras")
    images, test = and_tf.data.load(source="digits")
    embeddings = model.predict(test.images, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    evaluation = and_tf.KNNEvaluation(images, test, 50, 0.1)
    evaluation.set_model(model)
    assert evaluation.evaluate() == {name: rows(finished)[-1][name] for name in
                                     ("knn_bank", "knn_features")}  # fmt: skip


def test_a_run_is_a_function_of_config_and_seed(finished, tmp_path):
    assert train.main(["--run-dir", str(tmp_path / "again"), *SMALL]) == 0
    assert_same_model(finished, tmp_path / "again")
    assert train.main(["--run-dir", str(tmp_path / "other"), *SMALL, "--set", "seed=1"]) == 0
    with pytest.raises(AssertionError):
        assert_same_model(finished, tmp_path / "other")


KILL_AND_RESUME = """
import os, pathlib, random, signal, sys, time
import and_tf, and_tf.runs.assembly, and_tf.runs.checkpoints, and_tf.runs.progress, and_tf.runs.summary  # once for all
from and_tf import train

kills, *arguments = sys.argv[1:]
metrics = pathlib.Path(arguments[1], "metrics.jsonl")
rows = lambda: len(metrics.read_text().splitlines()) if metrics.exists() else 0
rng = random.Random(0)
for kill in range(int(kills) + 1):
    child = os.fork()
    if child == 0:
        os._exit(train.main(arguments))
    if kill < int(kills):  # at a random moment of the first seconds, or soon after the next row or two
        ahead = rng.choice([0, 1, 1, 2])
        wanted, deadline = rows() + ahead, time.monotonic() + 60
        while rows() < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5 if ahead else 2))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(kill, os.WIFSIGNALED(status), rows())
print("exit code:", os.WEXITSTATUS(status))
"""


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, kills):
    more = ["--set", "curriculum.initial_epochs=8", "--set", "curriculum.epochs_per_round=6"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main(["--run-dir", str(whole), *SMALL, *more]) == 0
    arguments = ["--run-dir", str(killed), *SMALL, *more, "--resume"]
    found = subprocess.run(
        [sys.executable, "-c", KILL_AND_RESUME, str(kills), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.count("True") == kills, found.stdout + found.stderr
    assert found.stdout.endswith("exit code: 0\n"), found.stdout + found.stderr
    assert_same_model(whole, killed)
    assert without_times(rows(whole)) == without_times(rows(killed))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_the_middle_of_an_epoch_and_nothing_is_lost(
    finished, tmp_path, number, capsys, monkeypatch
):
    from and_tf.runs.progress import Progress

    steps, original = [0], Progress.on_train_batch_end

    def signal_at_step_17(self, batch, logs=None):
        original(self, batch, logs)
        steps[0] += 1
        if steps[0] == 17:  # epochs have 12 steps
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Progress, "on_train_batch_end", signal_at_step_17)
    arguments = ["--run-dir", str(tmp_path / "run"), *SMALL]
    assert train.main(arguments) == 128 + number
    captured = capsys.readouterr().err
    assert "the checkpoint is written: go on with --resume" in captured
    assert (tmp_path / "run/checkpoints/epoch-000001-step-00000005.keras").exists()
    assert train.main([*arguments, "--resume"]) == 0
    assert "resuming after epoch 1, step 5" in capsys.readouterr().out
    assert_same_model(finished, tmp_path / "run")


def test_ctrl_c_on_the_command_line(tmp_path):
    process = command("--run-dir", "run", "--set", "encoder.width=0.25")
    for line in process.stdout:
        if "epoch 2/" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped by SIGINT; the checkpoint is written" in errors and "Traceback" not in errors


def test_images_without_labels_show_what_can_be_known(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(40):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i:02}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG but no more")
    arguments = [
        *("--config", str(ROOT / "configs/folder.json"), "--set", "data.path=photos"),
        *("--set", "data.image_size=16", "--set", "encoder.name=conv4"),
        *("--set", "train.batch_size=16", "--run-dir", "run", *SMALL),
    ]
    assert train.main(arguments) == 0
    out = capsys.readouterr().out
    assert "left out 1 files" in out and "no accuracy" in out and "spread" in out
    assert "mutual neighbours" in out and "kNN bank 1" not in out
    assert "broken.png" in (tmp_path / "run/skipped.tsv").read_text()
    found = rows(tmp_path / "run")
    assert not any("knn_features" in row or "consistency" in row for row in found)
    assert keras.models.load_model(tmp_path / "run/model.keras").num_examples == 40
    (tmp_path / "photos" / "07.png").rename(tmp_path / "photos" / "99.png")
    assert train.main([*arguments, "--resume"]) == 2
    assert "not those that the run was begun with" in capsys.readouterr().err


def fails(capsys, *arguments: str) -> str:
    """The one message of a command that must end with exit code 2."""
    assert train.main(list(arguments)) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and "Traceback" not in captured
    return captured


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


def test_a_run_is_neither_overwritten_nor_continued_as_another(finished, capsys):
    before = (finished / "model.keras").read_bytes()
    assert "Use --resume" in fails(capsys, "--run-dir", str(finished), *SMALL)
    message = fails(
        capsys, "--run-dir", str(finished), "--resume", "--set", "objective.temperature=0.2"
    )
    assert "objective.temperature: the run was begun with 0.1" in message
    assert (finished / "model.keras").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(finished, capsys):
    found = rows(finished)
    assert train.main(["--run-dir", str(finished), "--resume"]) == 0
    assert "| round 2 | 6 |" in capsys.readouterr().out
    assert rows(finished) == found


@pytest.mark.parametrize("bytes_left", [0, 300_000])
def test_a_full_disk_loses_nothing(tmp_path, bytes_left):
    """Files beyond a size cannot be written, as on a disk that is full from there on."""
    start = "import resource, sys, tempfile\nfrom and_tf import train\ntempfile.gettempdir()\n"
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_left}, {bytes_left}))\n"
    go = "sys.exit(train.main(sys.argv[1:]))"
    arguments = ["--run-dir", str(tmp_path / "run"), *SMALL]

    def run(code: str, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments, *more],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    for more in ([], ["--resume"]):  # again while it is still full
        full = run(start + limit + go, *more)
        assert full.returncode == 2, full.stdout + full.stderr
        assert "error: No space left" in full.stderr and "Traceback" not in full.stderr
    assert run(start + go, "--resume").returncode == 0


def test_real_images(shared_tfds, tmp_path, capsys):
    arguments = [
        *("--config", str(ROOT / "configs/svhn.json"), "--data-dir", str(shared_tfds)),
        *("--set", "data.train_split=train[:256]", "--set", "data.test_split=test[:64]"),
        *("--set", "train.batch_size=64", "--run-dir", str(tmp_path / "run"), *SMALL),
        *("--set", "encoder.width=0.1", "--set", "curriculum.rounds=1"),
        *("--set", "curriculum.initial_epochs=1", "--set", "curriculum.epochs_per_round=1"),
    ]
    assert train.main(arguments) == 0
    assert "64 test images are classified by K=200 of the 256" in capsys.readouterr().out
    assert keras.models.load_model(tmp_path / "run/model.keras").encoder.name == "resnet18"


def test_overwriting_waits_for_good_input(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    wrong = ["--overwrite", "--set", "train.batch_size=5000"]
    assert "train.batch_size" in fails(capsys, "--run-dir", str(run), *wrong)
    assert_same_model(finished, run)
    assert train.main(["--run-dir", str(run), "--overwrite", *SMALL]) == 0
    assert_same_model(finished, run)


def test_bad_input_does_not_occupy_the_run_directory(capsys):
    fails(capsys, "--run-dir", "run", "--set", "train.batch_size=5000")
    assert not pathlib.Path("run").exists()


def test_a_diverged_run_goes_on_at_a_lower_rate(finished, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    arguments = ["--run-dir", str(run), *SMALL]
    original, steps = and_tf.runs.watchdog.Watchdog.on_train_batch_end, [0]

    def diverge_at_step_30(self, batch, logs=None):
        steps[0] += 1
        original(self, batch, {"loss": float("nan")} if steps[0] == 30 else logs)

    monkeypatch.setattr(and_tf.runs.watchdog.Watchdog, "on_train_batch_end", diverge_at_step_30)
    message = fails(capsys, *arguments)
    assert "at step 6 of epoch 3" in message
    assert "--resume --set optimizer.learning_rate=0.003 goes on from it" in message
    more = ["--resume", "--set", "optimizer.learning_rate=0.003"]
    assert train.main([*arguments, *more]) == 0
    assert rows(run)[-2]["learning_rate"] == pytest.approx(0.003)
    assert json.loads((run / "config.json").read_text())["optimizer"]["learning_rate"] == 0.003


def test_a_damaged_set_of_records_is_explained(shared_tfds, tmp_path, capsys):
    shutil.copytree(shared_tfds / "svhn_cropped", tmp_path / "data" / "svhn_cropped")
    (records,) = (tmp_path / "data").rglob("svhn_cropped-train*")
    records.chmod(0o644)
    records.write_bytes(records.read_bytes()[:100_000])
    arguments = ["--config", str(ROOT / "configs/svhn.json"), "--data-dir", str(tmp_path / "data")]
    for in_memory in ("true", "false"):
        fails(capsys, *arguments, "--set", f"data.in_memory={in_memory}")


def test_beginning_with_resume_is_said(capsys):
    assert train.main(["--run-dir", "new", "--resume", *SMALL]) == 0
    assert "there is no run in new yet: beginning it" in capsys.readouterr().out


def test_workers_that_do_not_see_the_run_directory_are_named(tmp_path, capsys):
    cluster = Cluster(("one:1", "two:2", "three:3"))
    seen = RunDirectory(tmp_path / "seen")
    seen.path.mkdir()
    seen.begin("{}", {})
    hidden = RunDirectory(tmp_path / "hidden")
    run_workers(3, lambda workers: train.warn_of_hidden(seen, cluster, workers))
    assert capsys.readouterr().out == ""
    run_workers(
        3,
        lambda workers: train.warn_of_hidden(
            hidden if workers.rank == 2 else seen, cluster, workers
        ),
    )
    assert "seen where all machines see it, to go on after a stop: worker 2 (three:3)" in (
        capsys.readouterr().out
    )
