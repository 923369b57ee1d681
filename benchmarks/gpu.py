"""Training speed on a GPU: `python -m benchmarks.gpu`.

Images a second of the whole training step of `configs/cifar10.json` (ResNet18 on 32-pixel images,
batch 128, 50,000 rows of which half are anchors, input and augmentation included), in every
precision, with and without XLA (`jit_compile`). The configurations take turns in one process; one
that does not run is listed with the reason.

The command trains with `train.deterministic`; `--deterministic` measures that, where Keras leaves
XLA out. `--device cpu` tries the benchmark itself where there is no GPU.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from and_tf.backend import require_tensorflow

require_tensorflow()

import keras
import numpy as np
import tensorflow as tf

from and_tf.data import ImageSet, from_arrays
from and_tf.distribution.devices import choose_strategy
from and_tf.runs.assembly import build_model
from and_tf.runs.commands import fail
from and_tf.runs.config import RunConfig, load_config
from and_tf.runs.config_file import ConfigError
from and_tf.runs.precision import set_precision
from benchmarks.measuring import paired, parser

CONFIG = Path(__file__).resolve().parents[1] / "configs/cifar10.json"
PRECISIONS = ("float32", "bfloat16", "float16")


def steps(
    config: RunConfig, images: ImageSet, precision: str, xla: bool, count: int
) -> Callable[[], float]:
    """A callable that trains for `count` steps, as `fit` does, and returns the last loss."""
    keras.utils.set_random_seed(config.seed)
    set_precision(precision)
    model = build_model(config, images)
    model.compile(model.optimizer, jit_compile=xla)
    anchors = np.arange(0, images.num_examples - 1, 2)
    model.set_neighbourhoods(2, anchors, anchors[:, np.newaxis] + 1)
    batches = iter(images.training_batches(config.train.batch_size, config.seed).repeat())
    model.make_train_function()

    def run() -> float:
        for _ in range(count):
            loss = float(model.train_function(batches)["loss"])  # fit, too, waits for each
        return loss

    return run


def measure(
    config: RunConfig, images: ImageSet, modes: list[tuple[str, bool]], count: int, repeats: int
) -> dict[tuple[str, bool], float | str]:
    """Images a second of each (precision, XLA), or why it does not run."""
    found: dict[tuple[str, bool], float | str] = {}
    running = {}
    for mode in modes:
        try:
            running[mode] = steps(config, images, *mode, count)
            running[mode]()
        except (tf.errors.OpError, ValueError) as error:
            running.pop(mode, None)
            found[mode] = next(filter(None, str(error).splitlines()), repr(error))
    for mode, seconds in paired(running, repeats, warm_up=0).items():
        found[mode] = count * config.train.batch_size / statistics.median(seconds)
    return {mode: found[mode] for mode in modes}


def table(found: dict[tuple[str, bool], float | str], examples: int) -> str:
    """Markdown, a configuration a line, with the hours of 1,000 epochs of so many examples."""
    lines = [
        "| precision | XLA | images/s | hours of 1,000 epochs |",
        "| --- | --- | ---: | ---: |",
    ]
    for (precision, xla), speed in found.items():
        if isinstance(speed, str):
            figures = f"- | {speed[:100]}"
        else:
            figures = f"{speed:,.0f} | {examples * 1000 / speed / 3600:.1f}"
        lines.append(f"| {precision} | {'yes' if xla else 'no'} | {figures} |")
    return "\n".join(lines)


def main() -> int:
    """Exit code: 0 measured, 2 no GPU or a wrong key."""
    options = parser("gpu", __doc__, repeats=5)
    options.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    options.add_argument("--n", type=int, default=50_000, help="images")
    options.add_argument("--steps", type=int, default=50, help="steps of one run")
    options.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    options.add_argument("--deterministic", action="store_true", help="as train.deterministic")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                         help="change one key of the config")  # fmt: skip
    args = options.parse_args()
    gpus = tf.config.get_visible_devices("GPU")
    if args.device == "gpu" and not gpus:
        return fail("TensorFlow sees no GPU here; --device cpu tries the benchmark on the CPU", 2)
    choose_strategy(1 if args.device == "gpu" else "cpu")
    if args.deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        config = load_config(CONFIG, args.set)
    except ConfigError as error:
        return fail(str(error), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (args.n, 32, 32, 3), dtype=np.uint8)
    modes = list(
        itertools.product(args.precisions, (False,) if args.deterministic else (False, True))
    )
    found = measure(config, from_arrays(pixels), modes, args.steps, args.repeats)
    device = "CPU"
    if args.device == "gpu":
        device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    print(f"{table(found, args.n)}\n\n{device}, TensorFlow {tf.__version__}, "
          f"deterministic: {'yes' if args.deterministic else 'no'}")  # fmt: skip
    if args.json:
        speeds = {f"{p}{', XLA' * xla}": speed for (p, xla), speed in found.items()}
        print(json.dumps({"device": device, "images_per_second": speeds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
