"""Encoders: Keras functional models from pixels to unit embeddings, with named stages.

One file an architecture, with the layers that they share. An encoder normalises pixels itself, and
knows nothing of how it is trained; of devices it knows what batch norm exchanges between them.

Other rooms use `batch_norm`, `convolution` and `grad_cam`.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from and_tf.encoders.alexnet import alexnet
from and_tf.encoders.backbone import from_backbone
from and_tf.encoders.conv4 import conv4
from and_tf.encoders.resnet import resnet18, resnet50, resnet101

ENCODERS: dict[str, Callable[..., keras.Model]] = {
    "conv4": conv4,
    "alexnet": alexnet,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet101": resnet101,
}
"""The encoders by the name a configuration gives them."""

__all__ = ["ENCODERS", "alexnet", "conv4", "from_backbone", "resnet18", "resnet50", "resnet101"]
