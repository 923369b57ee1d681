"""A tiny export to serve and to teach."""

from __future__ import annotations

import io
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from and_tf.config import RunConfig
from and_tf.exporting.description import describe
from and_tf.exporting.row_bank import RowBank
from and_tf.exporting.rows import Rows
from and_tf.exporting.signatures import Exported

EXPORT_SIDE = 8
EXPORT_COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30)}


def coloured(colour: tuple[int, int, int], number: int) -> np.ndarray:
    """The image of that number in about this colour, uint8 [8, 8, 3]; no two are equal."""
    noise = np.random.default_rng(number).integers(-25, 26, (EXPORT_SIDE, EXPORT_SIDE, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def save_export(path: pathlib.Path, seed: int) -> None:
    """Exports the mean colours turned by random weights, with six labelled rows of two classes."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((EXPORT_SIDE, EXPORT_SIDE, 3))
    colours = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 100, -1)(pixels))
    turned = keras.layers.Dense(4, kernel_initializer="orthogonal", use_bias=False)(colours)
    encoder = keras.Model(pixels, keras.layers.UnitNormalization()(turned), name=f"seed{seed}")
    images = [coloured(colour, n) for colour in EXPORT_COLOURS.values() for n in range(3)]
    rows = Rows(
        encoder.predict(np.stack(images), verbose=0),
        np.repeat([0, 1], 3).astype(np.int32),
        list(EXPORT_COLOURS),
        [f"{name}/{n}.png" for name in EXPORT_COLOURS for n in range(3)],
    )
    exported = Exported(encoder, None, RowBank(rows, 5, 0.1), True, neighbours=4, top=3)
    exported.save(str(path))
    facts = describe(RunConfig(), encoder, exported, rows, path)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "and_tf.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two versions, `colours/1` and `colours/2`, whose encoders differ.

    It is shared by all tests: copy what you mean to change.
    """
    root = tmp_path_factory.mktemp("exports")
    for version in (1, 2):
        save_export(root / "colours" / str(version), version)
    return root


@pytest.fixture(scope="session")
def coloured_png():
    """Makes the PNG of the image of that number in a colour, 8 x 8."""

    def make(colour: tuple[int, int, int], number: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(coloured(colour, number)).save(buffer, "PNG")
        return buffer.getvalue()

    return make
