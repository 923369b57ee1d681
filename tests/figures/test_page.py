"""The page: one file that needs no other, its Markdown, and the data of its map."""

from __future__ import annotations

import base64
import gzip
import re

import numpy as np

from and_tf.figures import curves
from and_tf.figures.interactive_map import SHOWN, bokeh_script, interactive_map
from and_tf.figures.page import (
    Page,
    Picture,
    Section,
    Table,
    as_html,
    as_markdown,
    is_ours,
    write_page,
)
from and_tf.figures.style import to_svg
from tests.figures.map_data import columns_of

PAGE = Page(
    "A <run> & more",
    "What it is.",
    [("kNN", "97.5%")],
    [
        Section(
            "First part",
            "this & that.",
            [
                Picture("loss", 'The "loss"', curves({"loss": ([1, 2], [3, 4])}, "nats")),
                Table("Figures", ("", "a|b"), [("round 0", "1"), ("<i>", "2")]),
                "A paragraph.",
            ],
        )
    ],
    ["A note."],
)


def test_a_page_needs_no_other_file():
    html = as_html(PAGE, {"loss": to_svg(PAGE.pictures()[0].figure)})
    assert "<h1>A &lt;run&gt; &amp; more</h1>" in html and "&lt;i&gt;" in html
    assert '<section id="first-part">' in html and 'href="#first-part"' in html
    assert (
        "this &amp; that." in html
        and html.count("<svg ") == 1
        and "DecompressionStream" not in html
    )
    linked = re.findall(r'(?:src|href)="([^"#]*)', html)
    assert all(link.startswith("data:") or link == "" for link in linked)
    assert not re.findall(r"url\((?!#|data:)", html) and "@import" not in html


def test_markdown_has_the_same_tables():
    text = as_markdown(PAGE, "report")
    assert "|  | a\\|b |\n| --- | ---: |\n| round 0 | 1 |" in text
    assert "*Look for:* this & that." in text and '![The "loss"](report/loss.svg)' in text


def test_what_is_written_and_what_may_be_overwritten(tmp_path):
    path = write_page(PAGE, tmp_path)
    assert path == tmp_path / "report.html" and is_ours(path) and is_ours(tmp_path / "none")
    assert (tmp_path / "report/loss.svg").read_text().startswith("<?xml")
    write_page(PAGE, tmp_path)
    (tmp_path / "other.html").write_text("<html>mine</html>")
    assert not is_ours(tmp_path / "other.html")


def test_the_map_holds_the_arrays():
    rng = np.random.default_rng(0)
    ones, others = rng.normal(size=(2, 7, 2))
    labels = np.array([0, 1, -1, 1, 0, 2, 2])
    images = rng.integers(0, 256, (7, 8, 4, 3)).astype(np.uint8)
    layouts, groups = {"UMAP": ones, "PCA": others}, {"label": (labels, ["a</script>", "b", "c"])}
    drawn = interactive_map(layouts, groups, images, list("abcdefg"))
    assert "</script" not in drawn.item
    data = columns_of(drawn.item)
    np.testing.assert_array_equal(np.stack([data["x0"], data["y0"]], 1), ones.astype(np.float32))
    np.testing.assert_array_equal(np.stack([data["x1"], data["y1"]], 1), others.astype(np.float32))
    np.testing.assert_array_equal(data["g0"], labels)
    assert list(data["name"]) == list("abcdefg")
    # Seven thumbnails in rows of three, each 72 pixels high and half as wide.
    np.testing.assert_array_equal(data["sx"], np.array([0, 1, 2, 0, 1, 2, 0]) * SHOWN // 2)
    np.testing.assert_array_equal(data["sy"], np.array([0, 0, 0, 1, 1, 1, 2]) * SHOWN)
    assert [name for name, _ in drawn.legends[0]] == ["a</script>", "b", "c"]


def test_bokeh_comes_along_in_less_than_half_of_its_size():
    packed = bokeh_script()
    script = gzip.decompress(base64.b64decode(packed))
    assert b"Bokeh" in script and len(packed) < len(script) / 2
