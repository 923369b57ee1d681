from __future__ import annotations

import numpy as np
import pytest

from and_tf.method.curriculum import Curriculum, select_anchors


def test_the_papers_schedule():
    curriculum = Curriculum(rounds=4, epochs_per_round=200)
    assert curriculum.total_epochs == 1000
    assert [curriculum.round_of(e) for e in (0, 199, 200, 399, 400, 999, 1000)] == [
        0, 0, 1, 1, 2, 4, 4,
    ]  # fmt: skip
    rates = [curriculum.learning_rate(e, 0.03) for e in range(1000)]
    expected = [0.03] * 120 + [0.003] * 40 + [0.0003] * 40
    np.testing.assert_allclose(rates, expected * 5)


def test_a_first_round_of_another_length():
    curriculum = Curriculum(rounds=2, epochs_per_round=5, initial_epochs=15)
    assert curriculum.total_epochs == 25
    assert [curriculum.first_epoch(r) for r in range(3)] == [0, 15, 20]
    assert [e for e in range(25) if curriculum.ends_round(e)] == [14, 19, 24]
    assert list(curriculum.ends_of_rounds()) == [15, 20, 25]
    rates = [curriculum.learning_rate(e, 1.0) for e in range(25)]
    np.testing.assert_allclose(rates[:15], [1] * 9 + [0.1] * 3 + [0.01] * 3)
    np.testing.assert_allclose(rates[15:20], [1, 1, 1, 0.1, 0.01])


def test_no_rounds_is_instance_learning():
    curriculum = Curriculum(rounds=0, epochs_per_round=1, initial_epochs=7)
    assert {curriculum.round_of(e) for e in range(9)} == {0}
    assert curriculum.total_epochs == 7


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses_empty_rounds(wrong):
    with pytest.raises(ValueError, match="Received: rounds="):
        Curriculum(*wrong)


@pytest.mark.parametrize("num_examples", [1, 7, 100])
def test_anchors_are_the_lowest_entropies(num_examples):
    entropy = np.random.default_rng(0).random(num_examples)
    for round_index in range(4):
        anchors = select_anchors(entropy, round_index, 3)
        count = int(np.floor(num_examples * round_index / 3))
        assert sorted(anchors) == list(anchors) and len(anchors) == count
        rest = np.delete(entropy, anchors)
        assert not count or not len(rest) or entropy[anchors].max() <= rest.min()


def test_equal_entropies_are_taken_in_order():
    np.testing.assert_array_equal(select_anchors(np.ones(8), 1, 2), [0, 1, 2, 3])


def test_refuses_a_round_that_does_not_exist():
    with pytest.raises(ValueError, match="Received: round_index=5"):
        select_anchors(np.ones(8), 5, 4)


def test_a_cosine_over_all_rounds():
    curriculum = Curriculum(rounds=1, epochs_per_round=2)
    rates = [curriculum.cosine_learning_rate(epoch, 2.0) for epoch in range(6)]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rates, [2, 1 + half, 1, 1 - half, 0, 0], atol=1e-12)
    rates = [curriculum.cosine_learning_rate(epoch, 2.0, warmup_epochs=2) for epoch in range(4)]
    np.testing.assert_allclose(rates, [2 / 3, 4 / 3, 2, 1])
