"""The description of the REST port: what it says is there."""

from __future__ import annotations

import json
import pathlib
import re

from serving.protocol.rest.openapi import describe
from serving.settings import Settings
from tests.serving.running import Running

PLACES = {"model": "colours", "version": "2", "label": "stable", "row": "-2"}


def test_every_path_that_it_names_is_answered(colours_server: Running) -> None:
    described = json.loads(colours_server.ask("GET", "/openapi.json").body)
    assert described["openapi"] == "3.1.0"
    assert "/v1/models/{model}/rows" in described["paths"] and "security" not in described
    for path, operations in described["paths"].items():
        asked = re.sub(r"\{(\w+)\}", lambda match: PLACES[match[1]], path)
        for method, operation in operations.items():
            named = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert sorted(named) == sorted(re.findall(r"\{(\w+)\}", path))
            for kind in operation.get("requestBody", {"content": {"": {}}})["content"]:
                headers = {"Content-Type": kind.replace("*", "png")}
                answer = colours_server.ask(method.upper(), asked, b"{}", headers)
                assert answer.status != 405 and b"Malformed request" not in answer.body, path
                told = operation["responses"]["200" if answer.status == 200 else "default"]
                assert answer.headers["content-type"] in told["content"]


def test_it_knows_the_settings() -> None:
    paths = describe(Settings())["paths"]
    assert not any("rows" in path for path in paths)
    described = describe(Settings(tokens=("one",), rows_dir=pathlib.Path("rows")))
    assert described["security"] == [{"bearer": []}]
