"""The training command, and what it leaves."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import and_tf
from and_tf import train
from and_tf.distribution.cluster import Cluster
from and_tf.runs.run_directory import RunDirectory
from tests.small_run import ROOT, SMALL, TINY, assert_same_model, fails, rows
from tests.threads import run_workers


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_leaves_everything_in_the_run_directory(trained_run):
    names = {path.name for path in trained_run.iterdir()}
    assert names == {
        ".lock", "config.json", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints",
        "model.keras", "model_card.md",
    }  # fmt: skip
    assert json.loads((trained_run / "config.json").read_text())["curriculum"]["rounds"] == 2
    environment = json.loads((trained_run / "environment.json").read_text())
    assert environment["seed"] == 0 and environment["versions"]["keras"] == keras.__version__
    assert list((trained_run / "tensorboard").rglob("events.out.tfevents.*"))
    assert len(list((trained_run / "checkpoints").iterdir())) == 2
    assert "kNN" in (trained_run / "model_card.md").read_text()


def test_reports_rounds_and_epochs(trained_run):
    found = rows(trained_run)
    assert [row["event"] for row in found] == [
        "untrained", "epoch", "epoch", "round", "epoch", "epoch", "round", "epoch", "epoch",
    ]  # fmt: skip
    assert [row["round"] for row in found if row["event"] == "epoch"] == [0, 0, 1, 1, 2, 2]
    assert [row["anchors"] for row in found if row["event"] == "round"] == [718, 1437]
    assert all(0 <= row["consistency"] <= 1 for row in found if row["event"] == "round")
    evaluated = [row["epoch"] for row in found if "knn_bank" in row and "knn_features" in row]
    assert evaluated == [1, 2, 4, 6]


def test_the_model_embeds_stored_images(trained_run):
    model = keras.models.load_model(trained_run / "model.keras")
    images, test = and_tf.data.load(source="digits")
    embeddings = model.predict(test.images, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    evaluation = and_tf.KNNEvaluation(images, test, 50, 0.1)
    evaluation.set_model(model)
    assert evaluation.evaluate() == {name: rows(trained_run)[-1][name] for name in
                                     ("knn_bank", "knn_features")}  # fmt: skip


def test_few_labels_give_figures_of_the_labelled_alone(tmp_path, capsys):
    for i in range(20):
        path = tmp_path / "photos" / ("train", "val")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, 9 * i, 255 - i)).save(path)
    (tmp_path / "labels.csv").write_text("file,label\ntrain/00.png,cat\nlost.png,dog\n")
    arguments = [
        *(
            "--config",
            str(ROOT / "configs/folder.json"),
            "--set",
            f"data.path={tmp_path / 'photos'}",
        ),
        *("--set", "data.image_size=16", "--set", "encoder.name=conv4"),
        *("--set", "train.batch_size=16", *SMALL),
    ]
    options = "--set", f"data.labels={tmp_path / 'labels.csv'}", "--run-dir", str(tmp_path / "one")
    assert train.main([*arguments, *options]) == 0
    out = capsys.readouterr().out
    assert "folder: 1 class (cat 1), from labels.csv; 19 of 20 images have no label" in out
    assert "1 name in labels.csv without an image, see" in out and "left out" not in out
    assert "no accuracy to state: one training image alone has a label" in out and "nan" not in out
    written = (tmp_path / "one/metrics.jsonl").read_text() + (
        tmp_path / "one/model_card.md"
    ).read_text()
    assert "NaN" not in written and "nan" not in written and "kNN" in written
    assert "lost.png\tlisted in labels.csv, not found" in (tmp_path / "one/skipped.tsv").read_text()


def test_a_run_is_a_function_of_config_and_seed(trained_run, tmp_path):
    assert train.main(["--run-dir", str(tmp_path / "again"), *SMALL]) == 0
    assert_same_model(trained_run, tmp_path / "again")
    other = ["--set", "seed=1", "--set", "curriculum.rounds=0"]
    assert train.main(["--run-dir", str(tmp_path / "other"), *SMALL, *other]) == 0
    first_rounds = [
        [row["loss"] for row in rows(run) if row.get("round") == 0 and row["event"] == "epoch"]
        for run in (trained_run, tmp_path / "again", tmp_path / "other")
    ]
    assert first_rounds[0] == first_rounds[1]
    assert len(set(first_rounds[0] + first_rounds[2])) == 4


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
    assert "left out 1 file," in out and "no accuracy" in out and "spread" in out
    assert "mutual neighbours" in out and "kNN bank 1" not in out
    assert "broken.png" in (tmp_path / "run/skipped.tsv").read_text()
    found = rows(tmp_path / "run")
    assert not any("knn_features" in row or "consistency" in row for row in found)
    assert keras.models.load_model(tmp_path / "run/model.keras").num_examples == 40
    (tmp_path / "photos" / "07.png").rename(tmp_path / "photos" / "99.png")
    assert train.main([*arguments, "--resume"]) == 2
    assert "not those that the run was begun with" in capsys.readouterr().err


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


def test_overwriting_waits_for_good_input(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    wrong = ["--overwrite", "--set", "train.batch_size=5000"]
    assert "train.batch_size" in fails(capsys, "--run-dir", str(run), *wrong)
    assert_same_model(trained_run, run)
    assert train.main(["--run-dir", str(run), "--overwrite", *TINY]) == 0
    assert [row["event"] for row in rows(run)] == ["untrained", "epoch"]
    assert keras.models.load_model(run / "model.keras").examples_seen == 1437


def test_what_is_to_go_on_or_to_start_is_begun_and_said(capsys):
    assert "or give --resume-or-start, which does either. Received: new" in fails(
        capsys, "--run-dir", "new", "--resume", *TINY
    )
    assert train.main(["--run-dir", "new", "--resume-or-start", *TINY]) == 0
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
