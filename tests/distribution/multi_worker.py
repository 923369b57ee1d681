"""Trains as one of several workers, or alone, and writes what came of it.

`python tests/distribution/multi_worker.py FOLDER some|rest|long`, with TF_CONFIG set.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import tensorflow as tf

import and_tf
from and_tf.distribution import multi_worker
from and_tf.distribution.cluster import Cluster
from and_tf.distribution.devices import choose_strategy
from and_tf.distribution.workers import Workers
from and_tf.method.sharded_bank import ShardedBank
from tests.distribution import parity
from tests.method import test_prediction_check


def data() -> and_tf.data.ImageSet:
    return and_tf.data.from_arrays(parity.IMAGES, parity.LABELS)


def fit(model: and_tf.AND, batches, epochs: int, first_epoch: int = 0) -> list[float]:
    rounds = and_tf.NeighbourhoodDiscovery(rounds=2, epochs_per_round=1, labels=parity.LABELS)
    history = model.fit(
        batches,
        steps_per_epoch=data().steps_per_epoch(parity.BATCH),
        initial_epoch=first_epoch,
        epochs=epochs,
        callbacks=[rounds],
        shuffle=False,
        verbose=0,
    )
    return history.history["loss"]


def own_batches(strategy: tf.distribute.Strategy, first_epoch: int):
    """What `and_tf.train` trains on."""
    if Workers(strategy).count == 1:
        return data().training_batches(parity.BATCH, 3, first_epoch)
    rows = multi_worker.rows_of_worker(strategy, parity.BATCH)
    batches = data().training_batches(parity.BATCH, 3, first_epoch, rows=rows)
    return multi_worker.distributed(strategy, batches, parity.BATCH)


def outcome(strategy: tf.distribute.Strategy, bank: str) -> dict:
    model = parity.make_model(strategy, bank=bank)
    loss = fit(model, data().training_batches(parity.BATCH, 3), 2)
    loss += fit(model, own_batches(strategy, 2), 3, first_epoch=2)
    evaluation = and_tf.KNNEvaluation(data(), neighbours=3, batch_size=4)
    evaluation.set_model(model)
    listed = tf.data.Dataset.from_tensor_slices((parity.IMAGES, np.arange(parity.N)))
    return parity.state(model) | {
        "loss": loss,
        "evaluate": model.evaluate(listed.batch(parity.BATCH), verbose=0),
        "predict": model.predict(data().ordered_batches(4), verbose=0),
        "accuracy": list(evaluation.evaluate().values()),
        "predict arrays": model.predict(parity.IMAGES[:9], batch_size=4, verbose=0),
    }


def told(strategy: tf.distribute.Strategy) -> dict:
    """What workers tell each other, which has no counterpart on one."""
    workers = Workers(strategy)
    rank = workers.rank
    with strategy.scope():
        lagging = test_prediction_check.make_model(0.999, bank="sharded")
        bank = ShardedBank(4, 2)
    rows = bank.numpy()
    rows[3] = np.nan  # worker 1 has it
    bank.assign(rows)
    try:
        workers.check_same({"this": 1, "that": rank, "these": 2, "those": -rank})
        complaint = ""
    except and_tf.errors.RunError as error:
        complaint = str(error)
    workers.check_same({"this": 1})
    return {
        "uneven": workers.gathered(np.full((2 * rank, 3), rank, np.float64)),
        "nothing": workers.gathered(np.zeros((0, 2), np.float32)),
        "nobody": workers.anyone(False),
        "somebody": workers.anyone(rank == 1),
        "complaint": complaint,
        "finite": bank.is_finite(),
        "lags": test_prediction_check.said(
            lagging, and_tf.data.from_arrays(test_prediction_check.IMAGES), batch_size=20
        ),
    }


def refusals(strategy: tf.distribute.Strategy) -> dict:
    model = parity.make_model(strategy)
    attempts = {
        "arrays": lambda: model.fit(parity.IMAGES, np.arange(parity.N), verbose=0),
        "validation": lambda: model.fit(
            own_batches(strategy, 0), validation_data=(parity.IMAGES, np.arange(parity.N))
        ),
    }
    return parity.complaints(attempts)


def main(folder: pathlib.Path, part: str) -> None:
    strategy = choose_strategy("auto", Cluster.of_environment())
    tf.config.experimental.enable_op_determinism()
    workers = Workers(strategy)
    name = f"{workers.rank} of {workers.count}"
    banks = {"some": ["sharded"], "rest": ["mirrored"], "long": ["mirrored", "sharded"]}[part]
    if workers.count == 1:  # what is expected of the others
        banks = ["mirrored"]
    elif part == "some":
        np.savez(folder / f"{name} told.npz", **told(strategy), **refusals(strategy))
    for bank in banks:
        found = (parity.long_outcome if part == "long" else outcome)(strategy, bank)
        np.savez(folder / f"{name} {bank}.npz", **found)
    workers.leave()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
