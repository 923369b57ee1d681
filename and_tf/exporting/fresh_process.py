"""Checks that need a process of their own, where nothing was imported that serving will not have."""

from __future__ import annotations

import subprocess
import sys

from and_tf.errors import RunError


def check_output_of(module: str, *arguments: str) -> str:
    """The last line that a module prints, run as a command.

    Raises:
        RunError: It failed; with the last line of its error.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(f"The export failed its verification: {lines[-1]}")
    return done.stdout.splitlines()[-1]


def check_difference(what: str, difference: float | None, tolerance: float) -> None:
    """Refuse answers that are too far from the model's.

    Args:
        what: That differs.
        difference: None where they cannot be compared, for instance two shapes.
        tolerance: The greatest difference that is let pass.

    Raises:
        RunError: It is greater, or no number.
    """
    if difference is None or not difference <= tolerance:
        raise RunError(
            f"The export failed its verification: {what} is not what the model gives. "
            f"Received: a difference of {difference}, at most {tolerance:g}"
        )
