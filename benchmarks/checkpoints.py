"""Saving a checkpoint: `python -m benchmarks.checkpoints --n 50000`.

What `Checkpoints.save` does for ResNet18 with its optimiser and a bank of n rows, by its parts:

    check: whether all numbers are finite
    write: Keras's file, to the operating system
    flush: from there to the disk

"copy" is what a save in the background would leave to the training thread, a copy of all state in
memory; beside it stands the memory that a save takes. The floor is writing and flushing as many
bytes. Shares are those of runs that save at the end of epochs of so many seconds.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from and_tf.backend import require_tensorflow

require_tensorflow()

import keras
import numpy as np

from and_tf.files import flush
from and_tf.runs.watchdog import check_finite
from benchmarks.measuring import Comparison, paired, parser, report
from benchmarks.memory import peak_megabytes
from benchmarks.step import build

EPOCHS = (10, 60, 600)
"""Seconds: CIFAR-10 on a fast GPU, the same on a slower one, ImageNet or a CPU."""


def copy_of(model: keras.Model) -> list[np.ndarray]:
    """All state, in memory that later steps do not write to."""
    return [v.numpy() for v in model.variables + model.optimizer.variables]


def main() -> None:
    options = parser("checkpoints", __doc__, repeats=5)
    options.add_argument("--n", type=int, default=50_000, help="examples in the bank")
    options.add_argument("--encoder", default="resnet18")
    options.add_argument("--size", type=int, default=32, help="pixels a side")
    options.add_argument("--dir", type=Path, help="folder of the disk to write to")
    args = options.parse_args()

    model = build(args.encoder, args.size, "float32", args.n)
    model.optimizer.build(model.trainable_variables)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        path, plain = Path(folder) / "model.keras", Path(folder) / "bytes"
        memory = peak_megabytes(lambda: model.save(path))
        content = path.read_bytes()
        seconds = paired(
            {
                "check": lambda: check_finite(model),
                "write": lambda: model.save(path),
                "flush": lambda: flush(path),
                "copy": lambda: copy_of(model),
                "plain write": lambda: plain.write_bytes(content),
                "plain flush": lambda: flush(plain),
            },
            args.repeats,
        )
    seconds["ours"] = _sums(seconds, "check", "write", "flush")
    seconds["floor"] = _sums(seconds, "plain write", "plain flush")
    del seconds["plain write"], seconds["plain flush"]
    ours = statistics.median(seconds["ours"])
    shares = {f"share of epochs of {epoch} s": f"{ours / (ours + epoch):.2%}" for epoch in EPOCHS}
    report(
        Comparison.of(
            f"checkpoint of {args.encoder}, N {args.n:,}",
            seconds,
            megabytes=len(content) / 1e6,
            megabytes_of_memory=memory,
            **shares,
        ),
        args.json,
    )


def _sums(seconds: dict[str, list[float]], *names: str) -> list[float]:
    return [sum(runs) for runs in zip(*(seconds[name] for name in names), strict=True)]


if __name__ == "__main__":
    main()
