"""Figures: what stands in them is what was given."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from and_tf import figures
from and_tf.figures.style import AGREES, DIFFERS, INK, inline_svg, to_svg
from and_tf.figures.thumbnails import encoded, shrunk, sprite, sprite_columns


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 6, 6, 3)).astype(np.uint8)


def test_curves_hold_their_values_and_leave_gaps():
    figure = figures.curves({"a": ([1, 2, 3], [0.5, None, 0.7])}, "nats", round_starts=[1.5])
    (axes,) = figure.axes
    line, rule = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [0.5, np.nan, 0.7])
    assert list(rule.get_xdata()) == [1.5, 1.5]
    assert [text.get_text() for text in axes.texts] == ["round 1"]


def test_bars_are_as_high_as_their_values():
    (axes,) = figures.bars(["x", "y"], {"a": [1, 2], "b": [3, float("nan")]}, "").axes
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_array_equal(heights, [1, 2, 3, np.nan])
    (axes,) = figures.stacked_bars(["r1", "r2"], {"same": [5, 6], "other": [1, 0]}, "").axes
    assert [(bar.get_y(), bar.get_height()) for bar in axes.patches] == [
        (0, 5),
        (0, 6),
        (5, 1),
        (6, 0),
    ]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [AGREES] * 2 + [DIFFERS] * 2


def test_a_grid_shows_its_images_and_frames():
    given = images(2, 3)
    figure = figures.image_grid(
        given, np.array([[-1, 1, 0], [-1, -1, 1]]), ["a", "b"], ["x", "", "z"]
    )
    (axes,) = figure.axes
    (raster,) = [image.get_array() for image in axes.images]
    assert raster.shape == (14, 21, 4)  # six pixels, and one between them
    for row, column in np.ndindex(2, 3):
        cut = raster[7 * row : 7 * row + 7, 7 * column : 7 * column + 7]
        np.testing.assert_array_equal(cut[:6, :6, :3], given[row, column])
        assert cut[:6, :6, 3].min() == 255 and cut[6:].max() == cut[:, 6:].max() == 0
    frames = [to_hex(p.get_edgecolor()) for p in axes.patches if isinstance(p, Rectangle)]
    assert frames == [AGREES, DIFFERS, AGREES]
    assert [text.get_text() for text in axes.texts] == ["a", "b", "x", "", "z"]
    sheet = figures.image_sheet(images(5), captions=list("abcde"))
    assert [text.get_text() for text in sheet.axes[0].texts] == list("abcde")
    assert len(figures.image_sheet(images(0)).axes[0].images) == 0


def test_confusion_has_the_counts():
    (axes,) = figures.confusion_figure(np.array([[3, 1], [0, 4]]), ["cat", "dog"]).axes
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "3"), ((1, 0), "1"), ((1, 1), "4"),
    }  # fmt: skip
    many = figures.confusion_figure(np.eye(30, dtype=int), [str(i) for i in range(30)])
    assert not many.axes[0].texts


def test_heat_is_scaled_by_its_own_maximum():
    given = images(2)
    heat = np.zeros((2, 3, 3), np.float32)
    heat[1, 0, 0] = 7
    shown = figures.heat_overlay(given, heat)
    greys = np.rint(given.mean(axis=3, keepdims=True)).repeat(3, axis=3)
    np.testing.assert_array_equal(shown[0], greys[0])
    np.testing.assert_array_equal(shown, figures.heat_overlay(given, 3 * heat))
    assert (shown[1, 0, 0] != greys[1, 0, 0]).any()
    np.testing.assert_array_equal(shown[1, -2:, -2:], greys[1, -2:, -2:])


def test_a_map_shows_one_image_a_cell():
    positions = np.array([[0, 0], [0.01, 0], [1, 1], [1, 0.9]], float)
    figure = figures.thumbnail_map(positions, images(4), np.array([0, 0, 1, -1]), cells=3)
    (axes,) = figure.axes
    (raster,) = [image.get_array() for image in axes.images]
    assert raster.shape == (21, 21, 4)  # three cells of six pixels and one that is free
    np.testing.assert_array_equal(raster[14:20, :6, :3], images(4)[0])  # at the bottom left
    np.testing.assert_array_equal(raster[:6, 14:20, :3], images(4)[2])
    assert raster[..., 3].astype(int).sum() == 2 * 36 * 255
    assert len(axes.collections[0].get_offsets()) == 4


def test_a_sprite_has_each_image_at_its_place():
    given = images(5)
    whole, columns = sprite(given), sprite_columns(5)
    assert whole.shape == (12, 18, 3) and columns == 3
    for index, image in enumerate(given):
        row, column = divmod(index, columns)
        cut = whole[6 * row : 6 * row + 6, 6 * column : 6 * column + 6]
        np.testing.assert_array_equal(cut, image)


def test_small_pictures():
    assert shrunk(np.full((2, 40, 80, 3), 9, np.uint8), 20).shape == (2, 10, 20, 3)
    assert shrunk(images(2)).shape == (2, 6, 6, 3)
    assert encoded(np.zeros((8, 8, 3), np.uint8))[0] == "image/png"
    media, data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    assert media == "image/webp" and data[8:12] == b"WEBP"


def test_svg_is_the_same_each_time_and_takes_the_colours_of_a_page():
    def draw() -> str:
        return to_svg(figures.bars(["x"], {"a": [1]}, "share"))

    assert draw() == draw() and INK in draw()
    inline = inline_svg(draw(), 'a "b" <c>')
    assert inline.startswith("<svg ") and 'aria-label="a &quot;b&quot; &lt;c>"' in inline
    assert "var(--muted)" in inline and INK not in inline and 'id="axes_1"' not in inline
