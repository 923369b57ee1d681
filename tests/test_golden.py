"""Agreement with the values computed by the authors' implementation.

`pytest tests/test_golden.py --golden DIR` checks every `*.npz` of DIR.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.discovery.neighbourhoods import discover
from and_tf.evaluation.knn import knn_scores
from and_tf.evaluation.neighbourhood_quality import consistency
from and_tf.method.curriculum import select_anchors
from and_tf.method.memory import updated_rows
from and_tf.method.objective import neighbourhood_losses

TOLERANCE = 1e-5
WEIGHT_DECAY = 5e-4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = metafunc.config.getoption("--golden")
    files = sorted(folder.glob("*.npz"))
    asked_for = any(
        "--golden" in str(argument) for argument in metafunc.config.invocation_params.args
    )
    if files:
        cases = [pytest.param(file, id=file.stem) for file in files]
    elif asked_for:
        raise pytest.UsageError(f"--golden: no *.npz file in {folder}")
    else:
        skip = pytest.mark.skip(reason=f"no golden files: {folder} has no *.npz")
        cases = [pytest.param(None, marks=skip, id="absent")]
    metafunc.parametrize("golden", cases, indirect=True, scope="module")


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    with np.load(request.param) as file:
        return {name: file[name][()] for name in file.files}


@pytest.fixture(scope="module")
def found(golden):
    return discover(golden["bank0"], int(golden["k"]), float(golden["tau"]))


def positives_of(golden: dict[str, np.ndarray], indices: np.ndarray) -> np.ndarray:
    table = np.full((len(golden["bank0"]), int(golden["k"])), -1)
    table[golden["anchors"]] = golden["anchor_neighbours"]
    return np.concatenate([indices[:, None], table[indices]], axis=1)


def test_entropy(golden, found):
    np.testing.assert_allclose(found.entropy, golden["entropy"], rtol=TOLERANCE, atol=TOLERANCE)


def test_anchors(golden, found):
    anchors = select_anchors(found.entropy, int(golden["round"]), int(golden["rounds"]))
    assert len(anchors) == len(golden["anchors"])
    # Two entropies nearer to each other than float32 can tell may stand in either order at the cut.
    swapped = np.setxor1d(anchors, golden["anchors"])
    cut = np.sort(golden["entropy"])[len(anchors) - 1 : len(anchors) + 1]
    np.testing.assert_allclose(
        golden["entropy"][swapped], np.resize(cut, len(swapped)), rtol=TOLERANCE, atol=TOLERANCE
    )


def test_neighbours(golden, found):
    neighbours = found.neighbours[golden["anchors"]]
    # As for the anchors, only a tie in float32 may stand in another order.
    differ = neighbours != golden["anchor_neighbours"]
    bank, anchors = golden["bank0"], np.repeat(golden["anchors"][:, None], differ.shape[1], axis=1)
    similarities = [
        np.einsum("nd,nd->n", bank[anchors[differ]], bank[ids[differ]])
        for ids in (neighbours, golden["anchor_neighbours"])
    ]
    np.testing.assert_allclose(*similarities, atol=TOLERANCE)
    assert np.count_nonzero(differ) <= 0.01 * differ.size


def test_consistency(golden, found):
    share = consistency(golden["anchors"], found.neighbours[golden["anchors"]], golden["labels"])
    np.testing.assert_allclose(share, golden["consistency"], atol=TOLERANCE)


def test_objective_and_gradient(golden):
    features = tf.constant(golden["step_features"], tf.float32)
    bank = tf.constant(golden["bank0"], tf.float32)
    positives = positives_of(golden, golden["step_index"])
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = tf.reduce_mean(neighbourhood_losses(features, bank, positives, float(golden["tau"])))
    np.testing.assert_allclose(loss, golden["step_loss"], rtol=TOLERANCE)
    np.testing.assert_allclose(
        tape.gradient(loss, features), golden["step_grad"], rtol=TOLERANCE, atol=TOLERANCE
    )


def test_bank_update(golden):
    bank = golden["bank0"].astype(np.float32)
    indices = golden["step_index"]
    bank[indices] = updated_rows(
        tf.constant(bank[indices]),
        tf.constant(golden["step_features"], tf.float32),
        float(golden["momentum_on_old_row"]),
    )
    np.testing.assert_allclose(bank, golden["step_bank_after"], atol=TOLERANCE)


def test_optimiser_trajectory(golden):
    inputs = golden["traj_inputs"].astype(np.float32)
    num_examples, embedding_dim = golden["bank0"].shape
    pixels = keras.Input((inputs.shape[1],))
    linear = keras.layers.Dense(embedding_dim, use_bias=False, name="linear")
    encoder = keras.Model(pixels, keras.layers.UnitNormalization()(linear(pixels)))
    model = and_tf.AND(
        encoder,
        num_examples,
        temperature=float(golden["tau"]),
        bank_momentum=float(golden["momentum_on_old_row"]),
        neighbours=int(golden["k"]),
    )
    model.compile(and_tf.SGD(0.03, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY))
    linear.set_weights([golden["traj_w0"]])
    model.bank.assign(golden["bank0"])
    model.set_neighbourhoods(int(golden["round"]), golden["anchors"], golden["anchor_neighbours"])

    train_step = tf.function(model.train_step, reduce_retracing=True)
    losses = []
    for batch, learning_rate in zip(golden["traj_batches"], golden["traj_lrs"], strict=True):
        model.optimizer.learning_rate = learning_rate
        model.reset_metrics()
        losses.append(train_step((tf.constant(inputs[batch]), tf.constant(batch)))["loss"])

    np.testing.assert_allclose(losses, golden["traj_losses"], rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(linear.get_weights()[0], golden["traj_w"], atol=TOLERANCE)
    np.testing.assert_allclose(model.bank, golden["traj_bank"], atol=TOLERANCE)


def test_weighted_knn(golden):
    scores = knn_scores(
        golden["knn_queries"],
        golden["bank0"],
        golden["labels"],
        neighbours=int(golden["knn_k"]),
        temperature=float(golden["knn_temperature"]),
        num_classes=golden["knn_scores"].shape[1],
    )
    np.testing.assert_allclose(scores, golden["knn_scores"], atol=TOLERANCE)
    np.testing.assert_array_equal(scores.argmax(axis=1), golden["knn_pred"])
