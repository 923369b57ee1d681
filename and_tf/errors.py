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
