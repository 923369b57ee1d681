from __future__ import annotations

import numpy as np

import and_tf
from and_tf.data import from_arrays
from and_tf.method.curriculum import Curriculum
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
IMAGES = from_arrays(np.zeros((40, 8, 8, 3), np.uint8), np.zeros(40, int))


def test_the_table_has_a_line_for_every_round_that_is_over():
    assert result_table(ROWS, CURRICULUM).splitlines()[2:] == [
        "| untrained | 0 | - | - | 50.0% | - | - | - |",
        "| round 0 | 2 | 5.000 | 70.0% | 81.0% | - | - | - |",
        "| round 1 | 3 | 4.000 | 90.0% | 95.0% | 91.4% | 40.0% | 3.250 |",
    ]


def test_the_note_states_who_votes():
    note = evaluation_note(and_tf.KNNEvaluation(IMAGES, IMAGES, neighbours=50))
    assert "40 test images are classified by K=40 of the 40 training images" in note
    assert "temperature 0.1" in note
    assert "each by the others, by K=39" in evaluation_note(and_tf.KNNEvaluation(IMAGES))
    assert "no accuracy" in evaluation_note(None)


def test_the_card_says_what_the_model_is():
    card = model_card(load_config(None), IMAGES, None, ROWS, CURRICULUM)
    for part in (
        "conv4",
        "8x8",
        "128-d",
        "40 images",
        "with labels",
        result_table(ROWS, CURRICULUM),
    ):
        assert part in card
