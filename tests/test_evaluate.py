from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from and_tf import evaluate
from tests.evaluation.unit_rows import classes_apart


def saved(path: pathlib.Path, seed: int = 0, **arrays: np.ndarray) -> pathlib.Path:
    rows, labels = classes_apart(seed, 80)
    np.savez(path, **({"embedding": rows, "label": labels} | arrays))
    return path


def fails(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one line of a command that must end with exit code 2."""
    assert evaluate.main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and captured.count("\n") == 1
    return captured


def test_the_command_judges_a_run(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    command = [sys.executable, "-m", "and_tf.evaluate", str(run), "--only", "without_labels,knn"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2/2 kNN: " in done.stdout and "| kNN | kNN bank, top-1" in done.stdout
    assert done.stderr == ""
    found = json.loads((run / "evaluation.json").read_text())
    assert list(found["parts"]) == ["without_labels", "knn"]
    assert found["parts"]["knn"]["settings"]["paper"] == {"neighbours": 200, "temperature": 0.1}


def test_where_evaluations_go(tmp_path):
    path = tmp_path / "some.npz"
    assert evaluate.output_of(path, "embeddings", None) == tmp_path / "some.evaluation.json"
    export = tmp_path / "export/digits/3"
    assert evaluate.output_of(export, "export", None).name == "digits-3.evaluation.json"
    assert evaluate.output_of(export, "export", None).parent == tmp_path / "export"
    chosen = tmp_path / "x.json"
    assert evaluate.output_of(path, "embeddings", str(chosen)) == chosen


def test_embeddings_are_compared(tmp_path, capsys):
    one, other = saved(tmp_path / "one.npz"), saved(tmp_path / "other.npz", 1)
    assert evaluate.main([str(one), str(other), "--only", "knn", "--compare"]) == 0
    table = capsys.readouterr().out
    assert "| | | one (1 run) | other (1 run) |" in table
    assert (tmp_path / "one.evaluation.json").exists()
    assert evaluate.main([str(one), "--only", "few_labels"]) == 0
    table = capsys.readouterr().out
    assert "| Few labels | " in table and "| kNN | " not in table  # though it is kept
    parts = json.loads((tmp_path / "one.evaluation.json").read_text())["parts"]
    assert list(parts) == ["knn", "few_labels"]


def test_an_untrained_encoder_is_judged_beside_its_run(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    assert evaluate.main([str(run), "--only", "knn", "--untrained", "--compare"]) == 0
    table = capsys.readouterr().out
    assert "| digits untrained (1 run) | digits (1 run) | difference (1 equal seeds) |" in table
    found = json.loads((run / "untrained.evaluation.json").read_text())
    knn = found["parts"]["knn"]
    assert "bank" not in knn["details"]
    before = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["knn_features"]
    row = knn["settings"]["neighbours"].index(50), knn["settings"]["temperatures"].index(0.1)
    top1 = knn["details"]["embeddings"]["top1"][row[0]][row[1]]
    assert top1 == pytest.approx(before, abs=0.003)
    assert "goes with a run" in fails(capsys, saved(tmp_path / "x.npz"), "--untrained")


def test_refuses_bad_input(tmp_path, capsys, trained_run):
    path = saved(tmp_path / "some.npz")
    assert "no such file" in fails(capsys, tmp_path / "none")
    assert "Parts are" in fails(capsys, path, "--only", "nkk")
    assert "two runs or more" in fails(capsys, path, "--compare")
    assert "for one path" in fails(capsys, path, path, "--output", tmp_path / "x.json")
    assert "must name a file" in fails(capsys, path, "--output", tmp_path / "no/x.json")
    assert "leave --config and --set out" in fails(capsys, path, "--set", "seed=1")
    assert "goes with a file" in fails(capsys, trained_run, "--test", path)
    wrong = saved(tmp_path / "nan.npz", embedding=np.full((80, 4), np.nan))
    assert "not finite" in fails(capsys, wrong)
    assert "curriculum.rounds" in fails(capsys, trained_run, "--set", "curriculum.rounds=9")
    assert not list(tmp_path.glob("*.json"))


def test_a_run_that_is_not_over_is_judged_as_it_stands(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / "model.keras").unlink()
    assert evaluate.main([str(run), "--only", "knn"]) == 0
    said = capsys.readouterr().out
    assert "the run is not over: judging its last checkpoint, after 6 epochs" in said
    shutil.rmtree(run / "checkpoints")
    assert "neither a model nor a checkpoint yet" in fails(capsys, run)


def test_says_what_has_changed_in_a_folder(tmp_path, capsys):
    import PIL.Image

    from and_tf import train
    from tests.small_run import TINY

    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    for index, image in enumerate(pixels):
        path = tmp_path / "photos" / ("cat", "dog")[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path)
    run, images = tmp_path / "run", f"data.path={tmp_path / 'photos'}"
    options = ["data.source=folder", images, "train.batch_size=4"]
    settings = [word for option in options for word in ("--set", option)]
    assert train.main(["--run-dir", str(run), *TINY, *settings]) == 0
    assert evaluate.main([str(run), "--only", "knn"]) == 0
    path.rename(path.with_name("99.png"))
    assert "Received: dog/ has others" in fails(capsys, run)
    path.with_name("99.png").unlink()
    assert "11 images, before 12; dog/ has 5, before 6" in fails(capsys, run)
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert "--set data.path=FOLDER" in fails(capsys, run)
