from __future__ import annotations

import os
import signal
import threading

import pytest

from and_tf.distribution.workers import ALONE
from and_tf.errors import Interrupted
from and_tf.runs import interrupts
from and_tf.runs.interrupts import StopWhenAsked


class Recorder:
    """Stands in for `Checkpoints`."""

    workers = ALONE

    def __init__(self):
        self.saved = []

    def save(self, model):
        self.saved.append(model)

    def paths(self):
        return self.saved


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
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


def test_a_terminal_that_is_to_close_unheard_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup sets it
    try:
        with StopWhenAsked(Recorder()).listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_does_not_wait_for_a_long_step(monkeypatch, capfd):
    ended = threading.Event()
    codes = []
    monkeypatch.setattr(interrupts.os, "_exit", lambda code: (codes.append(code), ended.set()))
    monkeypatch.setattr(interrupts, "_PATIENCE_SECONDS", 0.1)
    checkpoints = Recorder()
    with StopWhenAsked(checkpoints).listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert ended.wait(20)
    assert codes == [130]
    assert "error: stopped at once\n" in capfd.readouterr().err  # there is no checkpoint
    stop = StopWhenAsked(checkpoints)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            stop.on_epoch_end(0)
    assert not stop._deadline.is_alive() or stop._deadline.finished.is_set()


def test_in_another_thread_nothing_is_listened_to():
    heard = []

    def run():
        with StopWhenAsked(Recorder()).listening():
            heard.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [before]
