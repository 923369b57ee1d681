"""Several devices give the results of one: weights, bank, neighbours, losses, evaluation."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.distribution.outcomes import LONG_TOLERANCE, assert_same

pytestmark = pytest.mark.parity

HERE = pathlib.Path(__file__).resolve().parent


def run(folder: pathlib.Path, part: str) -> pathlib.Path:
    finished = subprocess.run(
        [sys.executable, str(HERE / "parity.py"), str(folder), part],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        check=False,
        text=True,
        timeout=1800,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("parity"), "some")


@pytest.fixture(scope="module")
def rest(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("rest"), "rest")


def test_the_run_that_the_others_are_held_to_had_rounds_and_neighbours(folder):
    with np.load(folder / "1 mirrored.npz") as one:
        assert set(one["and/times_seen"]) == {3}
        assert one["and/round"] == 2 and (one["and/neighbourhoods"] >= 0).all()


OTHERS = [f"{replicas} {bank}" for bank in ("mirrored", "sharded") for replicas in (2, 3, 4)]


@pytest.mark.parametrize("others", ["2 mirrored", "4 sharded"])
def test_replicas_train_as_one_device(folder, others):
    assert_same(folder, "1 mirrored", others)


@pytest.mark.parametrize("others", ["2 mirrored", "4 sharded"])
def test_replicas_compare_two_views_as_one_device(folder, others):
    with np.load(folder / "views 1 mirrored.npz") as one:
        assert (one["and/neighbourhoods"] >= 0).any()
    assert_same(folder, "views 1 mirrored", f"views {others}")


@pytest.mark.slow
@pytest.mark.parametrize("others", ["3 mirrored", "4 mirrored", "2 sharded", "3 sharded"])
def test_so_do_other_numbers_of_them(rest, others):
    assert_same(rest, "1 mirrored", others)


def test_a_run_goes_on_on_other_devices_and_with_another_bank(folder):
    assert_same(folder, "1 mirrored", "1 mirrored, then 2 sharded")


@pytest.mark.slow
@pytest.mark.parametrize("run", ["2 mirrored, then 1 mirrored", "2 sharded, then 1 mirrored"])
def test_and_on_one_device_again(rest, run):
    assert_same(rest, "1 mirrored", run)


@pytest.mark.parametrize("temperature", [0.1, 0.02])
def test_the_objective_of_a_bank_in_parts(folder, temperature):
    with np.load(folder / f"parts {temperature}.npz") as found:
        bank, x, positives = (found[name] for name in ("before", "embeddings", "positives"))
        rows = np.where(positives[..., None] >= 0, bank[positives], 0)
        for of_replica in found["rows"]:
            np.testing.assert_array_equal(of_replica, rows)

        exponentials = np.exp(x.astype(np.float64) @ bank.T / temperature)
        p = exponentials / exponentials.sum(axis=1, keepdims=True)
        is_positive = (positives[..., None] == np.arange(5)).any(axis=1)
        np.testing.assert_allclose(
            found["losses"], -np.log((p * is_positive).sum(axis=1)), rtol=1e-5, atol=1e-5
        )
        among = p * is_positive / (p * is_positive).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(
            found["gradients"], (p - among) @ bank / temperature, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("form", ["blocks", "at once"])
def test_the_objective_of_a_whole_bank(folder, form):
    assert_same(folder, "objective whole", f"objective {form}")


def test_each_replica_writes_its_own_rows(folder):
    with np.load(folder / "parts 0.02.npz") as found:
        np.testing.assert_array_equal(found["shards"], [(0, 2), (2, 2), (4, 1), (5, 0)])
        signs = np.array([-1, 1, -1, 1, -1])[:, None]
        np.testing.assert_array_equal(found["after"], signs * found["before"])


def test_gradients_that_are_not_finite_are_left_out_on_all_replicas(folder):
    assert_same(folder, "left out 1", "left out 2")
    with np.load(folder / "left out 2.npz") as found:
        assert found["left out"] == 2 and found["culprit"] == 2 and np.isfinite(found["loss"]).all()


def test_batch_norm_and_its_gradients_are_those_of_the_whole_batch(folder):
    with np.load(folder / "batch norm 1.npz") as one, np.load(folder / "batch norm 3.npz") as three:
        for name in one.files:
            np.testing.assert_allclose(three[name], one[name], rtol=1e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    "what, reason",
    [
        ("encoder", "make it within the strategy's scope"),
        ("batch norm", "Received: layer 'alone'"),
        ("model", "make encoder, model and optimiser within"),
        ("optimizer", "make it within the strategy's scope"),
        ("clipnorm", "Received: clipnorm=1.0"),
        ("global_clipnorm", "Received: global_clipnorm=1.0"),
        ("clipvalue", "Received: clipvalue=1.0"),
        ("accumulation", "Received: gradient_accumulation_steps=2"),
        ("steps", "use steps_per_execution=1. Received: 2"),
        ("jit_compile", "use jit_compile=False"),
        ("float16", "use bfloat16 or float32"),
        ("command", "error: float16 needs its loss scaled"),
    ],
)
def test_what_differs_on_several_devices_is_refused(folder, what, reason):
    assert reason in json.loads((folder / "refusals.json").read_text())[what]


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory) -> pathlib.Path:
    return run(tmp_path_factory.mktemp("long"), "long")


@pytest.mark.slow
@pytest.mark.parametrize("others", [*OTHERS, "1 sharded"])
def test_fifty_steps_are_those_of_one_device(long_folder, others):
    assert_same(long_folder, "1 mirrored", others, LONG_TOLERANCE)


@pytest.mark.slow
def test_fit_on_arrays_in_a_notebook(long_folder):
    assert_same(long_folder, "float32 one", "float32 two")


@pytest.mark.slow
def test_mixed_precision(long_folder):
    names = ("mixed_bfloat16 one", "mixed_bfloat16 two")
    one, two = (np.load(long_folder / f"{name}.npz") for name in names)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-2)
    np.testing.assert_allclose(two["and/bank"], one["and/bank"], atol=0.1)


@pytest.mark.slow
def test_a_run_by_command_goes_on_on_other_devices(long_folder):
    runs = [
        [json.loads(line) for line in (long_folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("3", "3, then 2")
    ]
    assert [row["event"] for row in runs[0]] == ["untrained", "epoch", "round", "epoch"]
    for row, resumed in zip(*runs, strict=True):
        for key in {"loss", "knn_features", "consistency", "anchor_entropy"} & set(row):
            assert resumed[key] == pytest.approx(row[key], rel=1e-3), key
