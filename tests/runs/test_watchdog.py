from __future__ import annotations

import keras
import numpy as np
import pytest

import and_tf
from and_tf.errors import NonFiniteError, NumbersError
from and_tf.runs.checkpoints import Checkpoints, SaveCheckpoints
from and_tf.runs.watchdog import Watchdog
from tests import trapped

N = 24
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3)).astype("uint8")


def make_model(learning_rate: float = 0.01) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    encoder = and_tf.encoders.conv4(input_shape=(16, 16, 3), embedding_dim=8, width=0.25)
    model = and_tf.AND(encoder, N)
    model.compile(and_tf.SGD(learning_rate))
    return model


class Spoil(keras.callbacks.Callback):
    """Spoils the bank after an epoch."""

    def __init__(self, epoch, bank):
        super().__init__()
        self.epoch, self.bank = epoch, bank

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.bank.assign(self.bank(self.model.bank.numpy()))


def collapsed(bank):
    return np.tile(bank[:1], (N, 1))


def off_the_sphere(bank):
    bank[7] *= 1.01
    return bank


def not_finite(bank):
    bank[3, 1] = np.nan
    return bank


def fit(model, spoiled, watchdog, *callbacks):
    return model.fit(
        IMAGES, np.arange(N), batch_size=4, epochs=3, verbose=0,
        callbacks=[Spoil(1, spoiled), watchdog, *callbacks],
    )  # fmt: skip


def test_a_healthy_run_is_left_alone(capsys):
    history = fit(make_model(), lambda bank: bank, Watchdog(collapse="stop"))
    assert len(history.history["embedding_spread"]) == 3
    assert 0.05 < history.history["embedding_spread"][-1] <= 1
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "action, spoiled, message",
    [
        ("collapse", collapsed, r"collapsed to one point \(spread 0.000 of 1\), at step 6 of epoch 2"),
        ("off_sphere", off_the_sphere, r"Row 7 of the bank .* \(length 1.01\), at step 6 of epoch 2"),
        ("off_sphere", not_finite, r"Row 3 of the bank .* \(length nan\), at step 6 of epoch 2"),
    ],
)  # fmt: skip
def test_it_stops_and_keeps_what_was_good(tmp_path, action, spoiled, message):
    saving = SaveCheckpoints(Checkpoints(tmp_path, batch_size=4))
    with pytest.raises(NumbersError, match=message):
        fit(make_model(), spoiled, Watchdog(**{action: "stop"}), saving)
    (path,) = saving.checkpoints.paths()
    assert path.name.startswith("epoch-000001-")


def test_it_warns(capsys):
    fit(make_model(), collapsed, Watchdog(collapse="warn"))
    assert "warning: The embeddings have collapsed" in capsys.readouterr().out
    fit(make_model(), off_the_sphere, Watchdog(off_sphere="warn"))
    assert capsys.readouterr().out.count("warning: Row 7 of the bank") == 1


def test_the_first_loss_that_is_not_finite_stops_or_is_called_out_once_an_epoch(capsys):
    with pytest.raises(
        NonFiniteError, match=r"at step \d of epoch 1\..* Try a lower learning rate"
    ):
        fit(make_model(learning_rate=1e30), lambda bank: bank, Watchdog())
    fit(make_model(1e30), lambda bank: bank, Watchdog(non_finite="warn", off_sphere="warn"))
    warnings = capsys.readouterr().out.splitlines()
    assert sum("The loss is not finite any more" in line for line in warnings) == 3


def fit_trapped(watchdog, *callbacks):
    model = trapped.make_model()
    model.fit(
        trapped.IMAGES, np.arange(trapped.N), batch_size=4, epochs=3, shuffle=False, verbose=0,
        callbacks=[watchdog, *callbacks],
    )  # fmt: skip
    return model


def test_a_gradient_that_is_not_finite_stops_at_its_step_and_is_named(tmp_path):
    saving = SaveCheckpoints(Checkpoints(tmp_path, batch_size=4))
    with pytest.raises(NonFiniteError, match="^A gradient is not finite, at step 3 of epoch 1. "
                       "Received: that of trap/scale. Try a lower learning rate"):  # fmt: skip
        fit_trapped(Watchdog(), saving)
    assert saving.checkpoints.paths() == []


def test_or_is_called_out_once_an_epoch_and_the_run_goes_on_without_it(tmp_path, capsys):
    saving = SaveCheckpoints(Checkpoints(tmp_path, batch_size=4))
    model = fit_trapped(Watchdog(non_finite="warn", collapse_spread=0), saving)
    warnings = capsys.readouterr().out.splitlines()
    assert [line.partition(", ")[2].partition(". ")[0] for line in warnings] == [
        f"at step 3 of epoch {epoch}" for epoch in (1, 2, 3)
    ]
    assert len(saving.checkpoints.paths()) == 2 and model.gradient_check.left_out == 3
