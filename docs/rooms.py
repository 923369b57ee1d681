"""Writes the rooms and what they import of each other into docs/architecture.md: `make rooms`."""

from __future__ import annotations

import ast
import configparser
import pathlib
import sys

import grimp

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/architecture.md"


def rooms(package: str) -> list[str]:
    """The modules and packages right below `package`, from the top floor down, as setup.cfg has them."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for section in settings.sections():
        if settings[section].get("containers") == package:
            floors = settings[section]["layers"].split("\n")
            return [name for floor in floors for name in floor.replace("|", " ").split()]
    raise KeyError(package)


def imports_of_rooms(package: str) -> dict[str, dict[str, set[str]]]:
    """For each room, the rooms that it imports from, and their modules that it imports."""
    graph = grimp.build_graph(package, cache_dir=None)
    found: dict[str, dict[str, set[str]]] = {}
    for room in rooms(package):
        whole = f"{package}.{room}"
        uses = found.setdefault(room, {})
        for module in {whole} | graph.find_descendants(whole):
            for imported in graph.find_modules_directly_imported_by(module):
                other = imported.removeprefix(f"{package}.").split(".")[0]
                if other not in (package, room):
                    uses.setdefault(other, set()).add(imported)
    return found


def docstring(package: str, room: str) -> str:
    """What a room says of itself."""
    path = ROOT / package / room
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def listing(package: str) -> str:
    """A diagram of the rooms and a table of what each is and uses, as Markdown."""
    uses = imports_of_rooms(package)
    order = list(uses)
    below: dict[str, set[str]] = {}  # all rooms that a room reaches
    arrows = []
    for room in reversed(order):
        others = sorted(uses[room], key=order.index)
        reached = set().union(*(below[other] for other in others))
        below[room] = reached | set(others)
        # An arrow that follows from others would only be in their way.
        arrows += [f"    {room} --> {other}" for other in others if other not in reached]
    lines = ["```mermaid", "flowchart TD", *reversed(arrows), "```", ""]
    lines += ["| room | what it is | uses |", "| --- | --- | --- |"]
    for room in order:
        first = docstring(package, room).split("\n")[0]
        name = f"`{room}/`" if (ROOT / package / room).is_dir() else f"`{room}.py`"
        lines.append(f"| {name} | {first} | {', '.join(sorted(uses[room], key=order.index))} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with the listings of today between its marks."""
    for package in ("and_tf", "serving"):
        begin, end = f"<!-- rooms of {package} -->\n", f"\n<!-- end of {package} -->"
        head, rest = page.split(begin)
        page = head + begin + listing(package) + end + rest.split(end)[1]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
