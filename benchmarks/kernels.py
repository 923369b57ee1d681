"""The encoder's own layers beside Keras's, map by map: `python -m benchmarks.kernels`.

For the maps of ResNet18 at 32 pixels: the gradient of a convolution's filters as
`and_tf.encoders.convolution.filter_gradient` computes it beside oneDNN's kernel for it, and batch
norm with its ReLU, forward and backward, as `and_tf.encoders.batch_norm` does it beside Keras's
layer.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from and_tf.backend import require_tensorflow

require_tensorflow()

import keras
import tensorflow as tf

from and_tf.encoders.batch_norm import BatchNormalization
from and_tf.encoders.convolution import filter_gradient
from and_tf.runs.precision import set_precision
from benchmarks.measuring import paired, ratio

MAPS = (
    (32, 64, 64, 1),
    (16, 128, 128, 1),
    (16, 128, 256, 2),
    (8, 256, 256, 1),
    (8, 256, 512, 2),
    (4, 512, 512, 1),
)
"""Side of the input, channels, filters and stride of the 3x3 convolutions."""


def filter_gradients(
    side: int, channels: int, filters: int, stride: int, batch: int, dtype: str
) -> tuple[Callable, Callable, float]:
    """Ours, oneDNN's, and how many operations (GFLOP) both make."""
    border = 1 if stride == 1 else 0  # a strided convolution gets its border as pixels
    inputs = _random(batch, side + 2 - 2 * border, side + 2 - 2 * border, channels, dtype=dtype)
    upstream = _random(batch, side // stride, side // stride, filters, dtype=dtype)
    shape = (3, 3, channels, filters)

    @tf.function
    def ours():
        return filter_gradient(inputs, upstream, shape, (stride, stride), (border, border))

    @tf.function
    def native():
        return tf.raw_ops.Conv2DBackpropFilter(
            input=inputs,
            filter_sizes=shape,
            out_backprop=upstream,
            strides=[1, stride, stride, 1],
            padding="SAME" if border else "VALID",
        )

    return ours, native, 18 * batch * (side // stride) ** 2 * channels * filters / 1e9


def batch_norms(side: int, channels: int, batch: int, dtype: str) -> list[Callable]:
    """Ours and Keras's, each with a ReLU, forward and backward."""
    inputs = _random(batch, side, side, channels, dtype=dtype)
    upstream = _random(batch, side, side, channels, dtype=dtype)

    def contender(layer: keras.layers.Layer) -> Callable:
        layer.build(inputs.shape)

        @tf.function
        def forward_and_backward():
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = tf.nn.relu(layer(inputs, training=True))
            return tape.gradient(outputs, [inputs, layer.gamma.value, layer.beta.value], upstream)

        return forward_and_backward

    return [contender(layer()) for layer in (BatchNormalization, keras.layers.BatchNormalization)]


def _random(*shape: int, dtype: str) -> tf.Tensor:
    return tf.cast(tf.random.stateless_normal(shape, (0, 0)), dtype)


def _compare(ours: Callable, other: Callable, repeats: int) -> tuple[float, float, float]:
    """Milliseconds of both, and how many times as fast ours is."""
    seconds = paired(
        {"ours": lambda: ours()[0].numpy(), "other": lambda: other()[0].numpy()}, repeats, 2
    )
    medians = (1000 * statistics.median(seconds[name]) for name in ("ours", "other"))
    return *medians, ratio(seconds["other"], seconds["ours"])


def tables(options: argparse.Namespace) -> str:
    """Both tables, in markdown."""
    lines = [
        "| filter gradient | ours | oneDNN's | ratio | GFLOP/s, ours | oneDNN's |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for side, channels, filters, stride in MAPS:
        *pair, gflop = filter_gradients(
            side, channels, filters, stride, options.batch, options.precision
        )
        ours, other, faster = _compare(*pair, options.repeats)
        lines.append(
            f"| {channels} to {filters}, {side}x{side}, stride {stride} | {ours:.1f} ms "
            f"| {other:.1f} ms | {faster:.2f} | {1000 * gflop / ours:.0f} | "
            f"{1000 * gflop / other:.0f} |"
        )
    lines += [
        "",
        "| batch norm and ReLU | ours | Keras's | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    for side, _, filters, stride in MAPS:
        if stride == 1:
            pair = batch_norms(side, filters, options.batch, options.precision)
            ours, other, faster = _compare(*pair, options.repeats)
            lines.append(
                f"| {filters} maps of {side}x{side} | {ours:.1f} ms | {other:.1f} ms "
                f"| {faster:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    options.add_argument("--repeats", type=int, default=9, help="counted runs of each side")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    arguments = options.parse_args()
    set_precision(arguments.precision)
    print(tables(arguments))


if __name__ == "__main__":
    main()
