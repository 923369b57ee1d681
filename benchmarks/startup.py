"""From the command to the first finished training step: `python -m benchmarks.startup`.

Ours: `python -m and_tf.train` on the embedded digits, until its progress bar shows a step. Peer: a
PyTorch program that takes one step of the same method. Floor: importing TensorFlow and Keras.
"""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import select
import statistics
import subprocess
import sys
import tempfile
import termios
import time

from benchmarks.measuring import Comparison, Seconds, paired, parser, report

# tqdm's "epoch 1:   8%|8         | 1/12 [00:02<..." once a step is done.
STEP_DONE = re.compile(rb"\b[1-9]\d*/\d+ \[")
# What the command prints on its way there.
LINES = {
    "before training": re.compile(rb"^digits: ", re.MULTILINE),
    "untrained": re.compile(rb"^untrained", re.MULTILINE),
}


def first_step() -> dict[str, float]:
    """Run the command until its first step is done.

    Returns:
        Seconds since its start: "before training" (imports, images, model), "untrained" (the
        evaluation of the untrained encoder) and "first step".

    Raises:
        RuntimeError: It ended before, with what it printed.
    """
    terminal, its_end = pty.openpty()  # The progress bar shows on a terminal alone,
    termios.tcsetwinsize(its_end, (24, 100))  # and counts where there is room.
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "and_tf.train", "--run-dir", f"{folder}/run"]
        process = subprocess.Popen(command, stdout=its_end, stderr=its_end, stdin=its_end)
        os.close(its_end)
        marks, printed = {}, b""
        try:
            while not STEP_DONE.search(printed):
                if not select.select([terminal], [], [], 600)[0]:
                    raise RuntimeError(f"no step in 600 seconds: {printed.decode()}")
                try:
                    printed += os.read(terminal, 4096)
                except OSError:  # Its end is closed.
                    raise RuntimeError(f"it ended before a step: {printed.decode()}") from None
                for name, line in LINES.items():
                    if name not in marks and re.search(line, printed.replace(b"\r", b"\n")):
                        marks[name] = time.perf_counter() - start
            marks["first step"] = time.perf_counter() - start
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
    return marks


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, capture_output=True)


def main() -> None:
    options = parser("startup", __doc__.splitlines()[0], repeats=3)
    args = options.parse_args()
    runs = []

    def ours() -> Seconds:
        runs.append(first_step())
        return Seconds(runs[-1]["first step"])

    has_torch = importlib.util.find_spec("torch") is not None
    contenders = {
        "ours": ours,
        "peer": (lambda: _run("-m", "benchmarks.peers.startup")) if has_torch else None,
        # Ours is stopped at its step; taking TensorFlow down again is left out here, too.
        "floor": lambda: _run("-c", "import os, tensorflow, keras; os._exit(0)"),
        "python -m and_tf --help": lambda: _run("-m", "and_tf", "--help"),
        "python -m and_tf.train --help": lambda: _run("-m", "and_tf.train", "--help"),
    }
    seconds = paired(contenders, args.repeats)

    def median(phase: str) -> float:
        return statistics.median(run[phase] for run in runs[-args.repeats :])

    before, untrained, step = (median(p) for p in ("before training", "untrained", "first step"))
    imports = statistics.median(seconds["floor"])
    report(
        Comparison.of(
            "Command to first training step, embedded digits",
            seconds,
            **{
                "phase: TensorFlow and Keras (s)": imports,
                "phase: own imports, images, model, callbacks (s)": before - imports,
                "phase: evaluation of the untrained encoder (s)": untrained - before,
                "phase: trace and first step (s)": step - untrained,
            },
        ),
        args.json,
    )


if __name__ == "__main__":
    main()
