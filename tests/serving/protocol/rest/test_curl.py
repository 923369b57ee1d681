"""The `curl` lines of the pages, as they stand there."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.serving.running import Running

ROOT = pathlib.Path(__file__).resolve().parents[4]


@pytest.fixture
def answers(colours_server: Running, coloured_png, tmp_path: pathlib.Path):
    """What `curl` answers to a page's lines, in their order, for the model `colours`."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    # As large as a photograph: too much for an argument of a command.
    png = coloured_png((30, 30, 200), 0)
    (tmp_path / "digit.png").write_bytes(png + bytes(200_000))
    (tmp_path / "house.jpg").write_bytes(png)

    def run(page: str) -> list[dict]:
        text = (ROOT / page).read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = re.findall(
            r"^curl .*<<END\n(?:.*\n)*?END$|^curl .*$", "\n".join(blocks), re.MULTILINE
        )
        found = []
        for line in lines:
            for name in ("digits", "svhn"):
                line = line.replace(f"models/{name}", "models/colours")
            line = line.replace("localhost:8501", f"127.0.0.1:{colours_server.server.rest_port}")
            line = line.replace("curl ", "curl --silent --fail --noproxy '*' ", 1)
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False
            )
            assert done.returncode == 0, (line, done.stderr)
            found.append(json.loads(done.stdout))
        return found

    return run


def test_readme(answers) -> None:
    classified, status, metadata, embedded = answers("README.md")
    assert {"classes", "scores"} == classified["predictions"][0].keys()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert "embed_bytes" in metadata["metadata"]["signature_def"]["signature_def"]
    assert len(embedded["predictions"]) == 1


def test_serving(answers, colours_server: Running) -> None:
    embedded, nearest, taught = answers("docs/serving.md")
    assert ["embedding"] == list(embedded["results"][0])
    assert len(nearest["results"]) == 1
    (row,) = taught["ids"]
    shown = json.loads(colours_server.ask("GET", f"/v1/models/colours/rows/{row}").body)
    assert (shown["label"], shown["source"]) == ("house", "house.jpg")
    assert colours_server.ask("DELETE", f"/v1/models/colours/rows/{row}").status == 200
