"""One training step: `python -m benchmarks.step --precision float32`.

What `fit` does for a batch of ResNet18 on 32-pixel images, as in the paper's experiments. The peer
is PyTorch at its best, channels last, without augmentation; the floor is the arithmetic of the
encoder's convolutions at the speed of a matrix product in the same precision.
`share_outside_encoder` is what all else takes of our step (augmentation, bank, objective, metrics),
found by running the encoder, its gradients and its optimiser alone. Other encoders and sizes have
no peer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import nullcontext

from and_tf.backend import require_tensorflow

require_tensorflow()

import keras
import numpy as np
import tensorflow as tf

import and_tf
from and_tf.encoders import ENCODERS
from and_tf.runs.precision import set_precision
from benchmarks.measuring import Comparison, paired, parser, peer, report

GEMM = 2048  # rows and columns of the matrices whose product sets the floor


def build(encoder_name: str, size: int, precision: str, n: int) -> and_tf.AND:
    """A model with a bank of n rows, in the second round: half of the examples are anchors."""
    keras.utils.set_random_seed(0)
    set_precision(precision)
    encoder = ENCODERS[encoder_name](input_shape=(size, size, 3))
    model = and_tf.AND(encoder, n, augment=and_tf.Augment())
    model.compile(and_tf.SGD(), jit_compile=False)
    anchors = np.arange(0, n, 2)
    model.set_neighbourhoods(2, anchors, (anchors[:, np.newaxis] + 1) % n)
    return model


def convolution_flops(encoder: keras.Model, batch: int) -> int:
    """Operations of a step's convolutions: forward, and twice as many backward.

    The first layer's inputs are pixels, which need no gradient.
    """
    total = 0
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, filters = layer.output.shape
            forward = 2 * batch * height * width * filters * int(np.prod(layer.kernel.shape[:3]))
            total += forward * (2 if layer.kernel.shape[2] == 3 else 3)
    return total


def steps(model: and_tf.AND, batch: int) -> tuple[Callable, Callable]:
    """Two callables: the whole training step, and the encoder's part of it alone."""
    shape = (batch, *model.encoder.input_shape[1:])
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape), tf.uint8)
    batches = iter(tf.data.Dataset.from_tensors((images, tf.range(batch))).repeat())
    model.make_train_function()
    target = tf.math.l2_normalize(tf.random.stateless_normal((batch, 128), (0, 0)), axis=-1)

    @tf.function
    def encoder_alone():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_sum(tf.cast(model(images, training=True), tf.float32) * target)
            loss = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: float(model.train_function(batches)["loss"]), lambda: encoder_alone().numpy()


def main() -> None:
    options = parser("step", __doc__, repeats=7)
    options.add_argument("--n", type=int, default=50_000, help="examples in the bank")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--encoder", choices=sorted(ENCODERS), default="resnet18")
    options.add_argument("--size", type=int, default=32, help="pixels a side")
    options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options.add_argument(
        "--peer-layout", choices=("authors", "channels_last"), default="channels_last"
    )
    args = options.parse_args()

    model = build(args.encoder, args.size, args.precision, args.n)
    whole, encoder_alone = steps(model, args.batch)
    dtype = tf.dtypes.as_dtype(args.precision)
    matrix = tf.cast(tf.random.stateless_normal((GEMM, GEMM), (0, 0)), dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)[0]))

    arguments = ("--precision", args.precision, "--layout", args.peer_layout)
    sizes = ("--n", args.n, "--batch", args.batch)
    has_peer = (args.encoder, args.size) == ("resnet18", 32)
    with peer("step", *arguments, *sizes) if has_peer else nullcontext() as torch_step:
        seconds = paired(
            {
                "ours": whole,
                "peer": torch_step,
                "encoder alone": encoder_alone,
                "matrix product": lambda: product().numpy(),
            },
            args.repeats,
            warm_up=2,
        )
    flops = convolution_flops(model.encoder, args.batch)
    product_seconds = seconds.pop("matrix product")
    seconds["floor"] = [flops / (2 * GEMM**3) * one for one in product_seconds]
    outside = statistics.median(
        1 - alone / ours
        for ours, alone in zip(seconds["ours"], seconds["encoder alone"], strict=True)
    )
    report(
        Comparison.of(
            f"training step of {args.encoder}, {args.size} px, batch {args.batch}, N {args.n:,}, "
            f"{args.precision}",
            seconds,
            images_per_second=args.batch / statistics.median(seconds["ours"]),
            gflop=flops / 1e9,
            share_outside_encoder=outside,
        ),
        args.json,
    )


if __name__ == "__main__":
    main()
