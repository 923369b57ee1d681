"""Element-wise work on pixels in few passes over them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def compiled(function: Callable) -> Callable:
    """A function of tensors, compiled by XLA for each shape that it meets, where that pays.

    On the CPU it does: op by op the colours alone take some fifty passes over the pixels, and
    memory sets the pace. An accelerator's memory is fast enough for fifty, and compiling for it
    needs tools that are not everywhere.
    """
    by_xla = tf.function(function, jit_compile=True, autograph=False)

    def call(*tensors: tf.Tensor) -> tf.Tensor:
        return (function if tf.config.get_visible_devices("GPU") else by_xla)(*tensors)

    return call
