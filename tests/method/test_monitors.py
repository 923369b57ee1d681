from __future__ import annotations

import keras
import numpy as np
import pytest

from and_tf.encoders import conv4
from and_tf.evaluation.label_free import effective_rank, uniformity
from and_tf.method import AND, BankMonitors, Curriculum


@pytest.mark.parametrize("bank", ["mirrored", "sharded"])
def test_figures_are_those_of_the_bank(bank):
    model = AND(conv4((8, 8, 3), 8, width=0.125), 30, bank=bank)
    monitors = BankMonitors()
    monitors.set_model(model)
    found = monitors.measure()
    rows = model.bank.numpy()
    assert found["effective_rank"] == pytest.approx(effective_rank(rows))
    assert found["uniformity"] == pytest.approx(uniformity(rows))
    assert np.isfinite(found["hubness"])


def test_they_come_with_the_epochs_that_are_evaluated():
    model = AND(conv4((8, 8, 3), 8, width=0.125), 12)
    model.compile("sgd")
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    seen = []
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append("effective_rank" in logs)
    )
    callbacks = [BankMonitors(4, Curriculum(0, 6)), tell]
    model.fit(images, np.arange(12), epochs=6, callbacks=callbacks, verbose=0)
    assert seen == [True, False, False, True, False, True]
