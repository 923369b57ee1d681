"""Keras's convolution without two weaknesses of TensorFlow's kernels: one slow, one that corrupts memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

# Up to which size of the output map the forward kernel is the faster one: docs/performance.md.
LARGEST_MAP = {"float32": 4 * 4, "bfloat16": 8 * 8}

SAFE_CHANNELS = 16
"""From so many input channels on, a 1x1 convolution with a stride is safe: docs/upstream.md."""


def corrupts_memory(
    kernel_size: Sequence[int], strides: Sequence[int], input_channels: int
) -> bool:
    """Whether oneDNN's gradient of such a convolution may write outside of its memory, on a CPU."""
    return math.prod(kernel_size) == 1 and math.prod(strides) > 1 and input_channels < SAFE_CHANNELS


@keras.saving.register_keras_serializable(package="and_tf")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a faster gradient for the small maps deep in a network, on CPUs.

    Takes the arguments of Keras's layer, and is Keras's layer wherever `filter_gradient` would not
    be the faster way: on a GPU, for large maps, windows of one pixel, and in inference. Where the
    gradient `corrupts_memory`, the pixels that the stride leaves out are cut away first, which
    computes the same. From `SAFE_CHANNELS` on, that would take twice the time.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        channels_last = self.data_format == "channels_last"
        channels = inputs.shape[-1 if channels_last else 1]
        if not corrupts_memory(self.kernel_size, self.strides, channels):
            return super().convolution_op(inputs, kernel)
        down, right = self.strides
        inputs = inputs[:, ::down, ::right] if channels_last else inputs[:, :, ::down, ::right]
        return keras.ops.conv(inputs, kernel, 1, self.padding, self.data_format)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or not self._gains(inputs):
            return super().call(inputs)
        strides, padding = self.strides, self.padding.upper()
        border = [side // 2 if padding == "SAME" else 0 for side in self.kernel_size]

        @tf.custom_gradient
        def convolution(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_inputs = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(inputs),
                    filter=kernel,
                    out_backprop=upstream,
                    strides=[1, *strides, 1],
                    padding=padding,
                )
                return of_inputs, filter_gradient(inputs, upstream, kernel.shape, strides, border)

            return tf.nn.conv2d(inputs, kernel, strides, padding), gradients

        return convolution(inputs, tf.convert_to_tensor(self.kernel))

    def _gains(self, inputs: tf.Tensor) -> bool:
        rows, columns = self.compute_output_shape(inputs.shape)[1:3]
        same_is_symmetric = self.strides == (1, 1) and all(side % 2 for side in self.kernel_size)
        return (
            not tf.config.get_visible_devices("GPU")
            and self.data_format == "channels_last"
            and None not in (rows, columns)
            and rows * columns <= LARGEST_MAP.get(inputs.dtype.name, 0)
            and math.prod(self.kernel_size) > 1
            and (self.padding == "valid" or same_is_symmetric)
            and (self.dilation_rate, self.groups) == ((1, 1), 1)
            and not self.use_bias
            and self.activation is keras.activations.linear
        )


def filter_gradient(
    inputs: tf.Tensor,
    upstream: tf.Tensor,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    border: Sequence[int],
) -> tf.Tensor:
    """Gradient of a convolution's filters, computed as a convolution itself.

    The gradient of filter weight (u, v, c, f) sums `inputs[b, s y + u, s x + v, c] upstream[b, y, x, f]`
    over batch and place. That is a convolution of the inputs, the examples taken for its channels, with
    the upstream gradient for its filters, dilated by the stride s. Between small maps oneDNN's own
    kernel for filter gradients reaches a quarter of the processor's speed in bfloat16, and its forward
    kernel most of it.

    Args:
        inputs: float [B, H, W, C], what the convolution was applied to.
        upstream: float [B, H', W', F], the gradient of its output.
        kernel_shape: (height, width, C, F) of the filters.
        strides: Of the convolution, (vertical, horizontal).
        border: Zeros that it added above and below, left and right.

    Returns:
        float [height, width, C, F].
    """
    (top, left), (height, width) = border, kernel_shape[:2]
    # A stride may leave the last rows and columns unread.
    rows = (upstream.shape[1] - 1) * strides[0] + height - 2 * top
    columns = (upstream.shape[2] - 1) * strides[1] + width - 2 * left
    by_channel = tf.transpose(inputs[:, :rows, :columns], [3, 1, 2, 0])
    by_channel = tf.pad(by_channel, [[0, 0], [top, top], [left, left], [0, 0]])
    by_place = tf.transpose(upstream, [1, 2, 0, 3])
    gradient = tf.nn.conv2d(by_channel, by_place, 1, "VALID", dilations=list(strides))
    return tf.transpose(gradient, [1, 2, 0, 3])
