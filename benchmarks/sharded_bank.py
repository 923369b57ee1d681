"""A bank whole on each of four devices, and in parts: `python -m benchmarks.sharded_bank`.

The devices are logical ones that share the CPU, so that one process's memory holds all their rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time

import keras
import numpy as np

from and_tf.distribution.devices import choose_strategy
from and_tf.encoders.blocks import normalised_pixels, unit_embedding
from and_tf.method.model import AND
from and_tf.method.optimizer import SGD
from benchmarks.measuring import parser
from benchmarks.memory import peak_megabytes, resident_megabytes

DEVICES = 4


@dataclasses.dataclass(frozen=True)
class Run:
    """A few steps of training with one kind of bank; memory in units of 10^6 bytes.

    Attributes:
        bank: What a device holds of the bank, the most of any.
        model: What the process holds when the model is made.
        peak: The most that it held while training.
        seconds: Of a step, the median of those after the first.
        cpu_seconds: Of a step, likewise; what other processes do does not count.
        losses: Of all steps.
    """

    bank: float
    model: float
    peak: float
    seconds: float
    cpu_seconds: float
    losses: list[float]


def train(kind: str, options: argparse.Namespace) -> Run:
    """The same steps on the same images, whatever the kind of bank."""
    keras.utils.set_random_seed(0)
    with choose_strategy(DEVICES).scope():
        pixels, x = normalised_pixels((8, 8, 3), [0.5] * 3, [0.25] * 3)
        encoder = keras.Model(pixels, unit_embedding(keras.layers.Flatten()(x), options.dim))
        model = AND(encoder, options.n, bank=kind)
        model.compile(SGD(0.03), jit_compile=False)
    if kind == "sharded":
        rows = max(len(rows) for _, rows in model.bank.shards())
    else:
        rows = max(copy.shape[0] for copy in model.bank.value.values)

    rng = np.random.default_rng(0)
    losses, seconds, cpu_seconds = [], [], []

    def steps() -> None:
        for _ in range(1 + options.repeats):
            images = rng.integers(0, 256, (options.batch, 8, 8, 3), dtype=np.uint8)
            indices = rng.choice(options.n, options.batch, replace=False)
            start, cpu_start = time.perf_counter(), time.process_time()
            history = model.fit(images, indices, batch_size=options.batch, verbose=0)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu_start)
            losses.extend(history.history["loss"])

    resident = resident_megabytes()
    return Run(
        bank=rows * options.dim * 4 / 1e6,
        model=resident,
        peak=resident + peak_megabytes(steps),
        seconds=statistics.median(seconds[1:]),  # the first one traces
        cpu_seconds=statistics.median(cpu_seconds[1:]),
        losses=losses,
    )


def in_a_process(kind: str, options: argparse.Namespace) -> Run:
    """`train` in a process of its own."""
    flags = [f"--{name}={getattr(options, name)}" for name in ("n", "batch", "dim", "repeats")]
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.sharded_bank", *flags, f"--only={kind}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Run(**json.loads(finished.stdout.splitlines()[-1]))


def table(mirrored: Run, sharded: Run) -> str:
    """Markdown, a figure a line."""
    lines = ["| figure | mirrored | sharded | ratio |", "| --- | ---: | ---: | ---: |"]
    for figure, name in (
        ("bank", "bank on a device (MB)"),
        ("model", "process, model made (MB)"),
        ("peak", "process, at most in training (MB)"),
        ("seconds", "step (s)"),
        ("cpu_seconds", "step, CPU time (s)"),
    ):
        one, other = getattr(mirrored, figure), getattr(sharded, figure)
        lines.append(f"| {name} | {one:,.4g} | {other:,.4g} | {other / one:.2f} |")
    difference = np.abs(np.subtract(sharded.losses, mirrored.losses)).max()
    lines.append(f"\nGreatest difference of the {len(sharded.losses)} losses: {difference:.1e}")
    return "\n".join(lines)


def main() -> None:
    options = parser("sharded_bank", "A bank whole on each of four devices, and in parts.", 5)
    options.add_argument("--n", type=int, default=1_000_000, help="rows of the bank")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--dim", type=int, default=128)
    options.add_argument("--only", choices=("mirrored", "sharded"), help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.only:
        print(json.dumps(dataclasses.asdict(train(arguments.only, arguments))))
        return
    runs = {kind: in_a_process(kind, arguments) for kind in ("mirrored", "sharded")}
    print(
        f"**N={arguments.n:,}, d={arguments.dim}, B={arguments.batch}, {DEVICES} logical devices**\n\n"
        f"{table(**runs)}"
    )
    if arguments.json:
        print(json.dumps({kind: dataclasses.asdict(run) for kind, run in runs.items()}))


if __name__ == "__main__":
    main()
