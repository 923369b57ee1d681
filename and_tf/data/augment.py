"""Augmentation of a batch: random crop, colour jitter, grey and flip, each example on its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from and_tf.data import colour, compiling, crop, threefry

# Which of an example's draws serves what. The places are fixed, so that disabling one operation
# changes no number of another.
CROP_DRAWS = slice(0, 22)
BRIGHTNESS_DRAW, CONTRAST_DRAW, SATURATION_DRAW, HUE_DRAW = 22, 23, 24, 25
ORDER_DRAW = 26
GREYSCALE_DRAW = 27
FLIP_DRAW = 28
JITTER_DRAW = 29
DRAWS = 30


@keras.saving.register_keras_serializable(package="and_tf")
class Augment:
    """Random resized crop, colour jitter, random grey and flip, by torchvision's definitions.

    The crop covers a share `crop_scale` of the image's area at a ratio width / height within
    `crop_ratio`, resized back to the image's size (None: no crop). Brightness, contrast and
    saturation are multiplied by factors uniform in [max(0, 1 - x), 1 + x], the hue turned by
    uniform [-hue, hue] turns of the colour circle; the four come in a random order, and all of them
    with probability `jitter_probability` or none. Then grey with probability `greyscale`, and a mirror
    image with probability 1/2 if `flip`. What is 0, None or False is left out and costs nothing.

    Raises ValueError for values out of range.
    """

    def __init__(
        self,
        crop_scale: Sequence[float] | None = (0.2, 1.0),
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.4,
        greyscale: float = 0.2,
        flip: bool = False,
        jitter_probability: float = 1.0,
    ) -> None:
        self.crop_scale = None if crop_scale is None else _range("crop_scale", crop_scale, 1.0)
        self.crop_ratio = _range("crop_ratio", crop_ratio, math.inf)
        self.brightness = _amount("brightness", brightness, math.inf)
        self.contrast = _amount("contrast", contrast, math.inf)
        self.saturation = _amount("saturation", saturation, math.inf)
        self.hue = _amount("hue", hue, 0.5)
        self.greyscale = _amount("greyscale", greyscale, 1.0)
        if flip not in (True, False):
            raise ValueError(f"`flip` must be True or False. Received: {flip!r}")
        self.flip = bool(flip)
        self.jitter_probability = _amount("jitter_probability", jitter_probability, 1.0)
        self._compiled_recolour = compiling.compiled(self._recolour)

    def __call__(
        self,
        images: tf.Tensor,
        indices: tf.Tensor,
        epochs: int | tf.Tensor,
        seed: int | tf.Tensor,
    ) -> tf.Tensor:
        """Augmented images, float32 [B, H, W, 3] in 0 to 255.

        `images` [B, H, W, 3] in 0 to 255, uint8 or float; `indices` integers [B], the examples'
        places in the data set; `epochs`, an integer or integers [B], how often each was seen
        before; `seed` an integer of up to 64 bits. The draws of an example are a function of
        (seed, epoch, index) alone. Raises ValueError where shapes are not these.
        """
        images = tf.convert_to_tensor(images)
        if images.shape.rank != 4 or images.shape[3] not in (3, None):
            raise ValueError(f"`images` must be [B, H, W, 3]. Received shape: {images.shape}")
        indices = tf.convert_to_tensor(indices)
        if not indices.shape.is_compatible_with(images.shape[:1]):
            raise ValueError(
                f"`indices` must be [B], one an image. Received shape: {indices.shape} "
                f"with images of shape {images.shape}"
            )
        draws = threefry.uniform(seed, epochs, indices, DRAWS)
        planes = self._cut_planes(images, draws)
        planes = self._compiled_recolour(planes, draws)
        return tf.transpose(planes, [0, 3, 2, 1])

    def without_crop(self) -> Augment:
        """The same for images that were cut when they were decoded."""
        return Augment(**self.get_config() | {"crop_scale": None})

    def get_config(self) -> dict:
        return {
            "crop_scale": self.crop_scale,
            "crop_ratio": self.crop_ratio,
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
            "greyscale": self.greyscale,
            "flip": self.flip,
            "jitter_probability": self.jitter_probability,
        }

    @classmethod
    def from_config(cls, config: dict) -> Augment:
        return cls(**config)

    def _cut_planes(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Each image's crop, perhaps mirrored, float32 [B, 3, W, H]."""
        batch, height, width, _ = _shape(images)
        mirrored = draws[:, FLIP_DRAW, None] < 0.5
        if self.crop_scale is None:
            planes = tf.transpose(tf.cast(images, tf.float32), [0, 3, 2, 1])
            if self.flip:
                planes = tf.where(mirrored[..., None, None], tf.reverse(planes, [2]), planes)
            return planes
        top, left, crop_height, crop_width = crop.crop_boxes(
            draws[:, CROP_DRAWS], height, width, self.crop_scale, self.crop_ratio
        )
        rows = crop.positions(top, crop_height, height)
        columns = crop.positions(left, crop_width, width)
        if self.flip:
            columns = tf.where(mirrored, tf.reverse(columns, [1]), columns)
        lines = crop.interpolate(tf.reshape(images, [batch, height, width * 3]), rows)
        planes = tf.transpose(tf.reshape(lines, [batch, height, width, 3]), [0, 3, 2, 1])
        lines = tf.reshape(planes, [3 * batch, width, height])
        lines = crop.interpolate(lines, tf.repeat(columns, 3, axis=0))
        return tf.reshape(lines, [batch, 3, width, height])

    def _recolour(self, planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The colours of images [B, 3, ...] jittered, then some made grey."""
        shape = tf.shape(planes)
        planes = tuple(tf.unstack(tf.reshape(planes, [shape[0], 3, -1]), num=3, axis=1))
        jittered = self._jitter(planes, draws)
        if self.jitter_probability < 1:
            chosen = draws[:, JITTER_DRAW, None] < self.jitter_probability
            pairs = zip(jittered, planes, strict=True)
            jittered = tuple(tf.where(chosen, new, old) for new, old in pairs)
        planes = self._greyscale(jittered, draws)
        return tf.reshape(tf.stack(planes, axis=1), shape)

    def _jitter(self, planes: colour.Planes, draws: tf.Tensor) -> colour.Planes:
        blends = self._blends(draws)
        names = [*blends, *(["hue"] if self.hue else [])]
        if not names:
            return planes
        orders = list(itertools.permutations(names))
        order = tf.cast(draws[:, ORDER_DRAW] * len(orders), tf.int32)
        if blends:
            # Only blends, in each order, as rows of `coefficients`; the hue's place stands apart.
            places = list(blends)
            sequences = [[places.index(n) for n in o if n != "hue"] for o in orders]
            coefficients = tf.gather(
                tf.stack(list(blends.values()), axis=1), tf.gather(sequences, order), batch_dims=1
            )
        if not self.hue:
            for step in range(len(blends)):
                planes = _blend(planes, coefficients[:, step])
            return planes
        # Hue costs most, so it is computed once: all blends pass before it and again after it, and
        # each example takes a blend in one of the passes and leaves its pixels alone in the other.
        hue_place = tf.gather([o.index("hue") for o in orders], order)[:, None]
        unchanged = tf.constant([[1.0, 0.0, 0.0]])
        for step in range(len(blends)):
            chosen = tf.where(step < hue_place, coefficients[:, step], unchanged)
            planes = _blend(planes, chosen)
        turns = self.hue * (2.0 * draws[:, HUE_DRAW] - 1.0)
        planes = colour.shift_hue(planes, turns[:, None])
        for step in range(len(blends)):
            chosen = tf.where(step < hue_place, unchanged, coefficients[:, step])
            planes = _blend(planes, chosen)
        return planes

    def _blends(self, draws: tf.Tensor) -> dict[str, tf.Tensor]:
        """Coefficients [B, 3] for `colour.blend` of the enabled operations but hue."""

        def factor(amount: float, draw: int) -> tf.Tensor:
            low = max(0.0, 1.0 - amount)
            return low + (1.0 + amount - low) * draws[:, draw]

        zero = tf.zeros_like(draws[:, 0])
        blends = {}
        if self.brightness:
            b = factor(self.brightness, BRIGHTNESS_DRAW)
            blends["brightness"] = tf.stack([b, zero, zero], axis=1)
        if self.contrast:
            c = factor(self.contrast, CONTRAST_DRAW)
            blends["contrast"] = tf.stack([c, zero, 1.0 - c], axis=1)
        if self.saturation:
            s = factor(self.saturation, SATURATION_DRAW)
            blends["saturation"] = tf.stack([s, 1.0 - s, zero], axis=1)
        return blends

    def _greyscale(self, planes: colour.Planes, draws: tf.Tensor) -> colour.Planes:
        if not self.greyscale:
            return planes
        chosen = draws[:, GREYSCALE_DRAW, None] < self.greyscale
        greys = colour.grey(planes)
        return tuple(tf.where(chosen, greys, plane) for plane in planes)


def _blend(planes: colour.Planes, coefficients: tf.Tensor) -> colour.Planes:
    return colour.blend(planes, *tf.split(coefficients, 3, axis=1))


def _shape(tensor: tf.Tensor) -> list[int | tf.Tensor]:
    """The sides of a tensor, Python ints where they are known."""
    dynamic = tf.shape(tensor)
    return [dynamic[i] if side is None else side for i, side in enumerate(tensor.shape)]


def _range(name: str, values: Sequence[float], largest: float) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (0.0 < low <= high <= largest and math.isfinite(high)):
        bound = f"at most {largest:g}" if math.isfinite(largest) else "finite"
        raise ValueError(
            f"`{name}` must be two numbers, low <= high, above 0 and {bound}. Received: {values!r}"
        )
    return low, high


def _amount(name: str, value: float, largest: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and 0.0 <= value <= largest and math.isfinite(value)):
        bound = f"to {largest:g}" if math.isfinite(largest) else "upwards"
        raise ValueError(f"`{name}` must be a number from 0 {bound}. Received: {value!r}")
    return float(value)
