"""A page of figures and tables: one HTML file that needs no other, the same as Markdown, and its pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from and_tf.figures.interactive_map import InteractiveMap, bokeh_script
from and_tf.figures.style import inline_svg, to_svg
from and_tf.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATOR = "and_tf report"
"""Marks a page as ours, which may be written anew."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure with its title.

    Attributes:
        name: Of its file, without an ending.
        title: What it shows, in a few words.
        figure: To be drawn.
        in_print_only: Whether the page shows something better on a screen.
    """

    name: str
    title: str
    figure: Figure
    in_print_only: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; all columns but the first and those of sentences are numbers.

    Attributes:
        title: What it shows, in a few words.
        header: One text a column.
        rows: Each as long as the header.
        sentences: Whether the last column has sentences.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: In a few words.
        look_for: One sentence that says what to look for.
        parts: A str is a paragraph.
    """

    title: str
    look_for: str
    parts: Sequence[Picture | Table | InteractiveMap | str]

    @property
    def anchor(self) -> str:
        """Of links to it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclasses.dataclass(frozen=True)
class Page:
    """All of a page.

    Attributes:
        title: Its heading.
        summary: One or two sentences.
        facts: (what, value) in a few words each, shown first.
        sections: In their order.
        notes: Sentences at the end.
    """

    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    notes: Sequence[str] = ()

    def pictures(self) -> list[Picture]:
        """All pictures, in their order."""
        return [p for section in self.sections for p in section.parts if isinstance(p, Picture)]


def write_page(page: Page, folder: Path, name: str = "report") -> Path:
    """Write `NAME.html`, `NAME.md` and the pictures `NAME/*.svg` into a folder that is there.

    Returns:
        The path of the HTML file.
    """
    pictures = folder / name
    pictures.mkdir(exist_ok=True)
    drawn = {picture.name: to_svg(picture.figure) for picture in page.pictures()}
    for old in pictures.glob("*.svg"):
        old.unlink()
    for title, svg in drawn.items():
        write_text(pictures / f"{title}.svg", svg)
    write_text(folder / f"{name}.md", as_markdown(page, name))
    path = folder / f"{name}.html"
    write_text(path, as_html(page, drawn))
    return path


def is_ours(path: Path) -> bool:
    """Whether a page may be written anew: it is not there, or was written by `write_page`."""
    if not path.exists():
        return True
    with path.open("rb") as file:
        return f'content="{GENERATOR}"'.encode() in file.read(1000)


def as_html(page: Page, drawn: Mapping[str, str]) -> str:
    """The page as one HTML file that needs no other.

    Args:
        page: Any.
        drawn: The name of each picture to its SVG.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("and_tf.figures", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["picture"] = lambda part: isinstance(part, Picture)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    environment.tests["map"] = lambda part: isinstance(part, InteractiveMap)
    environment.filters["svg"] = lambda picture: inline_svg(drawn[picture.name], picture.title)
    maps = [p for s in page.sections for p in s.parts if isinstance(p, InteractiveMap)]
    return environment.get_template("page.html").render(
        page=page,
        generator=GENERATOR,
        map=maps[0] if maps else None,
        bokeh=bokeh_script() if maps else "",
    )


def as_markdown(page: Page, folder: str) -> str:
    """The page as Markdown, with links to its pictures in a folder."""
    lines = [f"# {page.title}", "", page.summary, "", "| | |", "| --- | --- |"]
    lines += [f"| {_cell(what)} | {_cell(value)} |" for what, value in page.facts]
    for section in page.sections:
        lines += ["", f"## {section.title}", "", f"*Look for:* {section.look_for}"]
        for part in section.parts:
            if isinstance(part, str):
                lines += ["", part]
            elif isinstance(part, Picture):
                lines += ["", f"![{part.title}]({folder}/{part.name}.svg)"]
            elif isinstance(part, Table):
                rule = ["---"] + ["---:"] * (len(part.header) - 1)
                if part.sentences:
                    rule[-1] = "---"
                rows = (part.header, rule, *part.rows)
                lines += ["", f"{part.title}:", ""]
                lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if page.notes:
        lines += ["", "---", "", *(f"- {note}" for note in page.notes)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
