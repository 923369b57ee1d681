from __future__ import annotations

import pytest

from and_tf.judging.comparing import comparison_table, groups, paired_differences, summary
from and_tf.judging.evaluation import Evaluation
from and_tf.judging.findings import Figure, Findings
from and_tf.runs.config import load_config


def evaluation(name: str, seed: int, top1: float, rounds: int = 4, **more: float) -> Evaluation:
    config = load_config(
        None, [f"name={name}", f"seed={seed}", f"curriculum.rounds={rounds}"]
    ).model_dump(mode="json")
    figures = {"top-1": Figure(top1)} | {key: Figure(value) for key, value in more.items()}
    subject = {
        "name": name,
        "kind": "run",
        "path": name,
        "seed": seed,
        "epochs": 200,
        "config": config,
    }
    return Evaluation(subject, {"knn": Findings(figures)})


ONE = [evaluation("one", seed, value) for seed, value in ((0, 0.5), (1, 0.6), (2, 0.9))]
OTHER = [
    evaluation("other", seed, value, rounds=0) for seed, value in ((1, 0.7), (2, 0.8), (3, 0.1))
]


def test_runs_that_differ_by_their_seed_are_one_group():
    found = groups([ONE[0], OTHER[0], ONE[1], OTHER[1]])
    assert found == {"one": [ONE[0], ONE[1]], "other": [OTHER[0], OTHER[1]]}
    same_name = [evaluation("one", 0, 0.5, rounds=rounds) for rounds in range(3)]
    for each, path in zip(same_name, ("a", "b", "b"), strict=True):
        each.subject["path"] = path
    assert list(groups(same_name)) == ["one in a", "one in b", "one in b #3"]


def test_mean_and_spread_over_seeds():
    found = summary(ONE)["knn", "top-1"]
    assert found.value == pytest.approx(2 / 3)
    assert found.spread == pytest.approx(0.2081666)  # of the sample
    assert summary(ONE[:1])["knn", "top-1"] == Figure(0.5)
    partly = [*ONE, evaluation("one", 3, 0.5, more=1.0)]
    assert ("knn", "more") not in summary(partly)


def test_differences_are_paired_by_equal_seeds():
    found = paired_differences(ONE, OTHER)["knn", "top-1"]
    assert found.value == pytest.approx(0.0) and found.spread == pytest.approx(0.1414214)
    assert paired_differences(ONE[:1], OTHER) == {}


def test_the_table_has_a_column_for_each_group_and_one_for_the_difference():
    lines = comparison_table([*ONE, *OTHER]).splitlines()
    assert lines[0] == "| | | one (3 runs) | other (3 runs) | difference (2 equal seeds) |"
    assert lines[2] == "| kNN | top-1 | 66.7 ± 20.8% | 53.3 ± 37.9% | 0.0 ± 14.1% |"


def test_verdicts_come_first():
    runs = [evaluation("one", 0, 0.5), evaluation("other", 1, 0.5, rounds=1)]
    for each, verdict in zip(runs, ("healthy", "collapsed"), strict=True):
        each.parts["without_labels"] = Findings(details={"verdict": verdict})
    lines = comparison_table(runs).splitlines()
    assert lines[2] == "| Without labels | verdict | healthy | collapsed |"
