"""Why a run ends before its end."""

from __future__ import annotations

import signal


class RunError(RuntimeError):
    """A run cannot begin or go on, for a reason that its user can mend."""


class NumbersError(RunError):
    """The numbers of a run have gone wrong; what was saved before is good."""


class NonFiniteError(NumbersError):
    """The loss or a weight is no longer a finite number."""


class CheckpointError(RunError):
    """A run cannot go on from what is left of its checkpoints."""


class Interrupted(Exception):
    """The run was asked to stop, and did so between two steps."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


def stopped_at_once(has_checkpoint: bool) -> str:
    """What is said where a run was stopped and did not wait for the end of a step."""
    rest = "; go on from the last checkpoint with --resume" if has_checkpoint else ""
    return f"stopped at once{rest}"
