from __future__ import annotations

import os
import signal

import pytest

from and_tf.distribution.workers import ALONE
from and_tf.errors import Interrupted
from and_tf.runs.interrupts import StopWhenAsked


class Recorder:
    """Stands in for `Checkpoints`."""

    workers = ALONE

    def __init__(self):
        self.saved = []

    def save(self, model):
        self.saved.append(model)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_between_steps(number, code):
    checkpoints = Recorder()
    stop = StopWhenAsked(checkpoints)
    stop.set_model("the model")
    before = signal.getsignal(number)
    with stop.listening():
        stop.on_train_batch_begin(0)
        stop.on_epoch_end(0)
        assert not checkpoints.saved
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as raised:
            stop.on_train_batch_begin(1)
        with pytest.raises(Interrupted):
            stop.on_epoch_end(1)
    assert checkpoints.saved == ["the model"] * 2
    assert raised.value.exit_code == code and str(raised.value) == number.name
    assert signal.getsignal(number) is before


def test_a_second_signal_stops_at_once():
    stop = StopWhenAsked(Recorder())
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
