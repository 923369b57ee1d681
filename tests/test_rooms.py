"""The rooms: what they say of themselves is so. `make lint` holds the order of their imports."""

from __future__ import annotations

import re

import pytest

from docs import rooms


@pytest.mark.parametrize("package", ["and_tf", "serving"])
def test_a_room_names_what_others_use_of_it(package: str) -> None:
    used: dict[str, set[str]] = {}
    for uses in rooms.imports_of_rooms(package).values():
        for room, modules in uses.items():
            prefix = f"{package}.{room}"
            used.setdefault(room, set()).update(
                module.removeprefix(prefix + ".") for module in modules if module != prefix
            )
    folders = [room for room in rooms.rooms(package) if (rooms.ROOT / package / room).is_dir()]
    said = {}
    for room in folders:
        text = rooms.docstring(package, room).replace("\n", " ")
        sentence = re.search(r"Other rooms use (.*?)\.(?: |$)", text)
        said[room] = set(re.findall(r"`([\w.]+)`", sentence[1])) if sentence else set()
    assert said == {room: used.get(room, set()) for room in folders}


def test_the_listing_is_that_of_the_imports() -> None:
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.written(page) == page, "`make rooms` writes it anew"
