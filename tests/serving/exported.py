"""A tiny export, made without training."""

from __future__ import annotations

import io
import json
import pathlib

import keras
import numpy as np
from PIL import Image

from and_tf.data.in_memory import InMemoryImageSet
from and_tf.exporting.description import describe
from and_tf.exporting.projection import project
from and_tf.exporting.row_bank import RowBank
from and_tf.exporting.rows import Rows
from and_tf.exporting.signatures import Exported
from and_tf.exporting.thumbnails import write_thumbnails
from and_tf.runs.config import RunConfig

EXPORT_SIDE = 8
EXPORT_COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30)}


def coloured(colour: tuple[int, int, int], number: int) -> np.ndarray:
    """The image of that number in about this colour, uint8 [8, 8, 3]; no two are equal."""
    noise = np.random.default_rng(number).integers(-25, 26, (EXPORT_SIDE, EXPORT_SIDE, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def coloured_png(colour: tuple[int, int, int], number: int) -> bytes:
    """`coloured` as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(coloured(colour, number)).save(buffer, "PNG")
    return buffer.getvalue()


def save_export(path: pathlib.Path, seed: int) -> None:
    """Exports the mean colours turned by random weights, with six labelled rows of two classes."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((EXPORT_SIDE, EXPORT_SIDE, 3))
    colours = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 100, -1)(pixels))
    turned = keras.layers.Dense(4, kernel_initializer="orthogonal", use_bias=False)(colours)
    encoder = keras.Model(pixels, keras.layers.UnitNormalization()(turned), name=f"seed{seed}")
    images = np.stack([coloured(rgb, n) for rgb in EXPORT_COLOURS.values() for n in range(3)])
    rows = Rows(
        encoder.predict(images, verbose=0),
        np.repeat([0, 1], 3).astype(np.int32),
        list(EXPORT_COLOURS),
        [f"{name}/{n}.png" for name in EXPORT_COLOURS for n in range(3)],
    )
    exported = Exported(encoder, None, RowBank(rows, 5, 0.1), True, neighbours=4, top=3)
    exported.save(str(path))
    facts = describe(RunConfig(), encoder, exported, rows, path)
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "and_tf.json").write_text(json.dumps(facts), encoding="utf-8")
    (extra / "projection.json").write_text(json.dumps(project(rows)), encoding="utf-8")
    write_thumbnails(extra / "thumbnails", [InMemoryImageSet("colours", images)], 4)
