from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from and_tf import judging
from and_tf.errors import RunError
from and_tf.evaluation.knn import knn_accuracy
from and_tf.judging.evaluating import ASKED_FOR, PARTS, evaluate, evaluate_subject
from and_tf.judging.evaluation import Evaluation
from and_tf.judging.loading import load_subject
from and_tf.judging.subject import Part, Subject
from tests.evaluation.unit_rows import classes_apart


def subject(train_labels=True, test_labels=True, test=True, count=120, classes=3) -> Subject:
    rows, labels = classes_apart(0, count, classes)
    queries, truth = classes_apart(1, 40, classes)
    sources = [f"{index}.png" for index in range(count)]
    train = Part("train", rows, labels if train_labels else None, sources)
    held_out = Part("test", queries, truth if test_labels else None, sources[:40])
    names = [str(label) for label in range(classes)]
    return Subject("some", "embeddings", None, train, held_out if test else None, names)


def test_every_part_of_a_run(trained_run, tmp_path):
    path = tmp_path / "evaluation.json"
    judged = load_subject(trained_run)
    found = evaluate_subject(judged, path=path)
    assert list(found.parts) == [part for part in PARTS if part not in ASKED_FOR]
    assert not [part for part, findings in found.parts.items() if findings.skipped]
    figures = {name: figure.value for _, name, figure in found.figures()}
    own = knn_accuracy(
        judged.test.embeddings, judged.test.labels, judged.train.embeddings, judged.train.labels
    )
    assert figures["kNN embeddings, top-1 (K=200, T=0.1)"] == pytest.approx(own)
    for stage in ("conv1", "conv2", "conv3", "conv4", "embedding"):
        assert 0.5 < figures[f"linear on {stage}"] <= 1
    assert figures["logistic regression on the embedding"] == pytest.approx(
        figures["linear on embedding"], abs=0.05
    )
    rounds = found.parts["neighbourhoods"].details["rounds"]
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[1]["consistent"] + rounds[1]["inconsistent"] == 1437
    assert 0 < figures["alignment"] < 2
    table = found.parts["knn"].details["embeddings"]["confusion"]["table"]
    assert np.sum(table) == 360 and np.trace(table) == round(own * 360)

    again = Evaluation.load(path)
    assert again == found
    assert "| kNN | kNN embeddings, top-1 (K=200, T=0.1) |" in found.table()
    assert "<table>" in found._repr_html_() and "conv4" in found._repr_html_()


def test_finished_parts_are_kept_and_others_come_beside_them(tmp_path, monkeypatch):
    path, said = tmp_path / "evaluation.json", []

    def stopped(context):
        raise KeyboardInterrupt

    monkeypatch.setitem(PARTS, "clusters", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate_subject(subject(), path=path)
    assert list(json.loads(path.read_text())["parts"]) == ["without_labels", "knn"]
    monkeypatch.undo()
    found = evaluate_subject(subject(), ["knn", "clusters"], path, say=said.append)
    assert said[0] == "1/2 kNN: measured before" and said[1].startswith("2/2 Clusters")
    assert set(found.parts) == {"without_labels", "knn", "clusters"}
    evaluate_subject(subject(), ["knn"], path, anew=True, say=said.append)
    assert "measured before" not in said[2]
    other = evaluate_subject(subject(count=110), ["knn"], path)
    assert set(other.parts) == {"knn"}
    path.write_text("{}")
    assert set(evaluate_subject(subject(), ["knn"], path).parts) == {"knn"}


def test_refuses_a_part_that_does_not_exist():
    with pytest.raises(RunError, match="Parts are .*knn.* Received: nkk"):
        evaluate_subject(subject(), ["nkk"])


@pytest.mark.parametrize(
    ("options", "skipped", "reason"),
    [
        (
            {"train_labels": False, "test_labels": False},
            {"knn", "few_labels", "linear"},
            "no training",
        ),
        ({"test_labels": False}, {"knn", "few_labels", "linear"}, "no test image has a label"),
        ({"classes": 1}, {"knn", "few_labels", "linear"}, "of one class"),
    ],
)
def test_what_has_nothing_to_measure_says_why(options, skipped, reason):
    found = evaluate_subject(subject(**options))
    without = {name for name, part in found.parts.items() if part.skipped}
    assert without - {"neighbourhoods"} == skipped
    assert reason in found.parts["knn"].skipped
    assert found.verdict == "healthy"
    assert found.parts["clusters"].details["outliers"]


def test_fewer_rows_than_neighbours_is_said():
    found = evaluate_subject(subject(), ["knn"]).parts["knn"]
    assert "kNN embeddings, top-1 (K=120, T=0.1)" in found.figures
    assert "K is 120 at most" in found.notes[0]
    alone = evaluate_subject(subject(test=False), ["knn"]).parts["knn"]
    assert "kNN embeddings, top-1 (K=119, T=0.1)" in alone.figures
    assert alone.settings["exclude_self"]


def test_few_labels_say_how_far_the_draws_differ():
    found = evaluate_subject(subject(), ["few_labels"]).parts["few_labels"]
    for method in ("kNN", "prototypes", "logistic"):
        assert found.figures[f"1 a class, {method}"].spread > 0
    assert len(found.details["10%"]) == 5


def test_a_model_in_memory(trained_run):
    from and_tf.data import load

    train, test = load("digits")
    model = keras.models.load_model(trained_run / "model.keras")
    arrays = [(images.images, images.labels) for images in (train, test)]
    found = judging.evaluate(model, *arrays, only=["knn"])
    expected = evaluate_subject(load_subject(trained_run), ["knn"])
    for part, name, figure in expected.figures():
        assert found.parts[part].figures[name].value == pytest.approx(figure.value, abs=0.003)
    encoder = evaluate(model.encoder, train, only=["knn"])
    assert "bank" not in encoder.parts["knn"].details


def test_fine_tuning_trains_a_copy_on_few_labels(trained_run, monkeypatch):
    from and_tf.judging import fine_tuning

    monkeypatch.setattr(fine_tuning, "EPOCHS", 3)
    monkeypatch.setattr(fine_tuning, "FEWEST_STEPS", 60)
    judged = load_subject(trained_run)
    before = judged.encoder.get_weights()
    found = evaluate_subject(judged, ["fine_tuning"]).parts["fine_tuning"].figures
    assert found["fine-tuned on 10%"].value > 0.4
    assert found["fine-tuned on 1%"].value > 0.2
    for weights, same in zip(judged.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, same)
    skipped = evaluate_subject(subject(), ["fine_tuning"]).parts["fine_tuning"].skipped
    assert "needs the encoder" in skipped
