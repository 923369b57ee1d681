"""What is said inside an epoch, in a log and on a terminal."""

from __future__ import annotations

import types

import pytest

from and_tf.method.curriculum import Curriculum
from and_tf.runs import progress
from and_tf.runs.progress import Progress

STEP_SECONDS = 3.0


@pytest.fixture
def reporter(monkeypatch):
    """A `Progress` in an epoch of 100 steps of 10 images, each of 3 s, the first of 30 s."""
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    discovery = types.SimpleNamespace(curriculum=Curriculum(1, 2, 2), latest=None)
    reporter = Progress(None, discovery, None)
    model = types.SimpleNamespace(num_examples=1000, examples_seen=0)
    reporter.set_model(model)
    reporter.set_params({"steps": 100})
    reporter.on_train_begin()
    reporter.on_epoch_begin(0)

    def step(batch):
        clock[0] += 30 if batch == 0 else STEP_SECONDS
        model.examples_seen += 10
        reporter.on_train_batch_end(batch, {"loss": 2.5})

    return types.SimpleNamespace(step=step, progress=reporter)


def test_a_log_has_steps_and_the_time_of_the_whole_run(reporter, capsys):
    reporter.step(0)
    assert capsys.readouterr().out == "epoch 1/4  step 1/100  first step done\n"
    said = []
    for batch in range(1, 60):
        reporter.step(batch)
        said += [(batch * STEP_SECONDS, line) for line in capsys.readouterr().out.splitlines()]
    assert [seconds for seconds, _ in said] == [9, 69, 129]
    # 396 of 400 steps are left, of 3 s each.
    assert said[0][1] == "epoch 1/4  step 4/100  loss 2.5000  3 images/s  19:48 left in all"


def test_a_terminal_has_a_bar_with_the_time_of_the_whole_run(reporter, capsys):
    shown = []
    reporter.progress._bar = types.SimpleNamespace(
        disable=False, update=lambda: None, set_postfix_str=shown.append
    )
    for batch in range(5):
        reporter.step(batch)
    assert shown == ["19:48 left in all"] and capsys.readouterr().out == ""
