"""The objective and its gradient to the embeddings: `python -m benchmarks.objective`.

Ours, from a bank that is a variable with updated rows as in training; PyTorch with all B x N logits,
and in the authors' layout; the floor, the two matrix products alone.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from contextlib import ExitStack

import tensorflow as tf

from and_tf.method import objective
from benchmarks.measuring import Comparison, paired, parser, peer, report
from benchmarks.memory import peak_megabytes, peak_of

LAYOUTS = ("plain", "authors")
FORMS = {"auto": objective.PLAIN_LOGITS, "plain": 1 << 62, "fused": 0}


def make_bank(rows: int, dim: int) -> tf.Variable:
    """Unit rows, updated in place as training does.

    In small pieces: TensorFlow would keep the memory of larger ones, and use it again unseen.
    """
    bank = tf.Variable(tf.zeros([rows, dim]), trainable=False)
    for start in range(0, rows, 1024):
        ids = tf.range(start, min(start + 1024, rows))
        bank.scatter_update(tf.IndexedSlices(_unit_rows(start, len(ids), dim), ids))
    return bank


def make_ours(bank: tf.Variable, batch: int, temperature: float) -> Callable[[], object]:
    rows, dim = bank.shape
    embeddings = _unit_rows(-1, batch, dim)
    positives = tf.stack([tf.range(batch), tf.range(batch) + rows - batch], axis=1)

    @tf.function
    def loss_and_gradient(embeddings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = objective.neighbourhood_losses(embeddings, bank, positives, temperature)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, embeddings)

    return lambda: loss_and_gradient(embeddings)[1].numpy()


def make_floor(bank: tf.Variable, batch: int) -> Callable[[], object]:
    """The logits' product and the weighted sum's: 4 B N d operations."""
    rows = bank.read_value()
    embeddings = _unit_rows(-1, batch, bank.shape[1])

    @tf.function
    def products(embeddings: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.matmul(embeddings, rows, transpose_b=True), rows)

    return lambda: products(embeddings).numpy()


def measure(options: argparse.Namespace) -> Comparison:
    case = (options.n, options.batch, options.dim, options.temperature)
    bank = make_bank(options.n, options.dim)
    with ExitStack() as stack:
        peers = {}
        for layout in LAYOUTS:
            peers[layout] = stack.enter_context(peer("objective", *case, layout))
        seconds = paired(
            {
                "ours": make_ours(bank, options.batch, options.temperature),
                "floor": make_floor(bank, options.batch),
                **peers,
            },
            options.repeats,
        )
    more = {}
    layouts = [layout for layout in LAYOUTS if layout in seconds]
    if layouts:
        best = min(layouts, key=lambda layout: statistics.median(seconds[layout]))
        seconds["peer"] = seconds[best]
        more["peer is"] = f"PyTorch, {best}"
    operations = 4 * options.n * options.batch * options.dim
    more["floor (GFLOP/s)"] = operations / statistics.median(seconds["floor"]) / 1e9
    if options.memory:
        flags = (f"--{name}={getattr(options, name)}" for name in ("n", "batch", "dim"))
        flags = (*flags, f"--temperature={options.temperature}", f"--form={options.form}")
        more["ours, memory (MB)"] = peak_of("benchmarks.objective", *flags, "--only-memory")
        for layout in layouts:
            more[f"{layout}, memory (MB)"] = peak_of(
                "benchmarks.peers.objective", *case, layout, "--memory"
            )
    return Comparison.of(
        f"Objective ({options.form}), N={options.n:,}, B={options.batch}, d={options.dim}, "
        f"tau={options.temperature:g}",
        seconds,
        **more,
    )


def only_memory(options: argparse.Namespace) -> float:
    bank = make_bank(options.n, options.dim)
    # What TensorFlow loads and keeps for itself at its first call is no part of the objective's.
    make_ours(make_bank(2 * options.batch, options.dim), options.batch, options.temperature)()
    return peak_megabytes(make_ours(bank, options.batch, options.temperature))


def _unit_rows(seed: int, rows: int, dim: int) -> tf.Tensor:
    return tf.math.l2_normalize(tf.random.stateless_normal([rows, dim], [seed, 0]), axis=-1)


def main() -> None:
    options = parser("objective", "The objective and its gradient to the embeddings.", repeats=5)
    options.add_argument("--n", type=int, default=1_281_167, help="rows of the bank")
    options.add_argument("--batch", type=int, default=256)
    options.add_argument("--dim", type=int, default=128)
    options.add_argument("--temperature", type=float, default=0.1)
    options.add_argument("--form", choices=FORMS, default="auto", help="auto chooses by B x N")
    options.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also the peak memory beyond the bank of each, in a fresh process",
    )
    options.add_argument("--only-memory", action="store_true", help="only our peak, in megabytes")
    arguments = options.parse_args()
    objective.PLAIN_LOGITS = FORMS[arguments.form]
    if arguments.only_memory:
        print(only_memory(arguments))
    else:
        report(measure(arguments), arguments.json)


if __name__ == "__main__":
    main()
