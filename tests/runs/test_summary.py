from __future__ import annotations

import numpy as np
import pytest

import and_tf
from and_tf.data import from_arrays
from and_tf.method.curriculum import Curriculum
from and_tf.runs.assembly import build_discovery, build_evaluation
from and_tf.runs.config import load_config
from and_tf.runs.summary import evaluation_note, model_card, result_table

ROWS = [
    {"event": "untrained", "epoch": 0, "knn_features": 0.5},
    {"event": "epoch", "epoch": 1, "round": 0, "loss": 9.0},
    {"event": "epoch", "epoch": 2, "round": 0, "loss": 5.0, "knn_bank": 0.7, "knn_features": 0.81},
    {
        "event": "round",
        "epoch": 2,
        "round": 1,
        "anchors": 20,
        "consistency": 0.914,
        "mutual_neighbours": 0.4,
        "anchor_entropy": 3.25,
    },
    {"event": "epoch", "epoch": 3, "round": 1, "loss": 4.0, "knn_bank": 0.9, "knn_features": 0.95},
]
CURRICULUM = Curriculum(rounds=2, epochs_per_round=1, initial_epochs=2)
PIXELS = np.zeros((40, 8, 8, 3), np.uint8)
TWO = np.arange(40) % 2
IMAGES = from_arrays(PIXELS, TWO)


def test_the_table_has_a_line_for_every_round_that_is_over():
    assert result_table(ROWS, CURRICULUM).splitlines()[2:] == [
        "| untrained | 0 | - | - | 50.0% | - | - | - |",
        "| round 0 | 2 | 5.000 | 70.0% | 81.0% | - | - | - |",
        "| round 1 | 3 | 4.000 | 90.0% | 95.0% | 91.4% | 40.0% | 3.250 |",
    ]


def test_the_note_states_who_votes():
    note = evaluation_note(and_tf.KNNEvaluation(IMAGES, IMAGES, neighbours=50), IMAGES, IMAGES)
    assert "40 test images are classified by K=40 of the 40 training images" in note
    assert "temperature 0.1" in note
    note = evaluation_note(and_tf.KNNEvaluation(IMAGES), IMAGES, None)
    assert "each by the others, by K=39" in note


def test_the_note_counts_the_labelled_alone():
    few = from_arrays(PIXELS, np.where(np.arange(40) < 7, np.arange(40) % 2, -1))
    note = evaluation_note(and_tf.KNNEvaluation(few), few, None)
    assert "7 labelled of 40 training images are classified, each by the others, by K=6" in note
    note = evaluation_note(and_tf.KNNEvaluation(IMAGES, few, 5), IMAGES, few)
    assert "7 labelled of 40 test images are classified by K=5 of the 40 training images" in note


@pytest.mark.parametrize(
    ("labels", "test_labels", "reason"),
    [
        (None, None, "no training image has a label"),
        (np.full(40, -1), np.zeros(40, int), "no training image has a label"),
        (np.where(np.arange(40) == 3, 0, -1), None, "one training image alone has a label"),
        (np.zeros(40, int), TWO, "all labelled training images are of one class"),
        (np.where(TWO, 3, -1), None, "all labelled training images are of one class"),
        (TWO, np.full(40, -1), "no test image has a label"),
        (TWO, TWO + 2, "no test image is of a class that a training image"),
    ],
)
def test_no_figure_where_nothing_can_be_measured(labels, test_labels, reason):
    images = from_arrays(PIXELS, labels)
    test = None if test_labels is None else from_arrays(PIXELS, test_labels)
    with pytest.raises(ValueError, match="needs labels|nothing to measure"):
        and_tf.KNNEvaluation(images, test)
    discovery = build_discovery(load_config(None), images)
    assert build_evaluation(load_config(None), images, test, discovery) is None
    assert evaluation_note(None, images, test).startswith(
        f"There is no accuracy to state: {reason}"
    )


def test_the_card_says_what_the_model_is():
    card = model_card(load_config(None), IMAGES, None, None, ROWS, CURRICULUM)
    for part in (
        "conv4",
        "8x8",
        "128-d",
        "40 images",
        "2 classes (0 20, 1 20), from the arrays; labels serve to evaluate only",
        result_table(ROWS, CURRICULUM),
    ):
        assert part in card
