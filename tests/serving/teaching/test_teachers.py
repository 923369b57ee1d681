"""Taught rows and versions that come and go."""

from __future__ import annotations

import pathlib
import shutil
import time

import grpc
import pytest

from serving.client import Client
from serving.engine.servable import Servable
from serving.errors import ServingError
from serving.teaching.taught_rows import TaughtRows
from serving.teaching.teachers import Teachers
from tests.serving.running import Running, running

BLUE = (30, 30, 200)


def add_version(server: Running, export: pathlib.Path, version: pathlib.Path) -> None:
    """Copies a version in and has the server look until it has decided."""
    shutil.copytree(export, version)
    for _ in range(2):  # a folder that has just changed is left for the next look
        server.call(server.server.models.poll_once())


def test_new_version_has_the_rows_when_it_comes(
    exports: pathlib.Path, tmp_path: pathlib.Path, coloured_png, monkeypatch
) -> None:
    folder = tmp_path / "colours"
    shutil.copytree(exports / "colours" / "1", folder / "1")
    images = [coloured_png(BLUE, number) for number in range(5)]
    with (
        running({"colours": folder}, rows_dir=tmp_path / "rows") as server,
        Client(f"http://127.0.0.1:{server.server.rest_port}", "colours") as client,
    ):
        ids = client.teach(images[:4], ["blue"] * 4)
        before = client.embed(images[:1])
        add_version(server, exports / "colours" / "2", folder / "2")

        assert client.metadata().version == 2
        assert abs(client.embed(images[:1]) - before).max() > 0.01
        found = client.neighbours(images[:1])
        assert set(found.ids[0]) == set(ids)
        assert found.similarities[0, 0] == pytest.approx(1, abs=1e-5)
        # The old one is freed, and the new one goes on being taught.
        client.teach(images[4:], ["sky"])
        assert client.classify(images[4:]).classes[0, 0] in ("blue", "sky")

        # A version that cannot take the rows does not come.
        def refuse(*arguments: object) -> None:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "the disk is gone")

        monkeypatch.setattr("serving.teaching.teacher.Teacher.attach", refuse)
        add_version(server, exports / "colours" / "1", folder / "3")
        assert client.metadata().version == 2
        broken = next(one for one in client.status() if one.version == 3)
        assert (broken.state, broken.error_message) == ("END", "the disk is gone")


def test_a_model_whose_folder_has_gone_is_taught_and_shown(
    exports: pathlib.Path, tmp_path: pathlib.Path, coloured_png
) -> None:
    folder = tmp_path / "colours"
    shutil.copytree(exports / "colours" / "1", folder / "1")
    with (
        running({"colours": folder}, rows_dir=tmp_path / "rows", page=True) as server,
        Client(f"http://127.0.0.1:{server.server.rest_port}", "colours") as client,
    ):
        shutil.rmtree(folder)
        assert len(client.teach([coloured_png(BLUE, 0)], ["blue"])) == 1
        assert len(client.rows()) == 1
        shown = server.ask("GET", "/page/models").body
        assert b'"colours"' in shown and b'"teachable":true' in shown


def test_a_server_takes_over_when_the_other_one_has_stopped(
    exports: pathlib.Path, tmp_path: pathlib.Path, monkeypatch
) -> None:
    monkeypatch.setattr("serving.teaching.taught_rows.RETRY_SECONDS", 0.1)
    other = TaughtRows.of_model(tmp_path, "colours")
    folder = tmp_path / "colours"
    shutil.copytree(exports / "colours" / "1", folder / "1")
    with running({"colours": folder}, rows_dir=tmp_path) as server:
        models = server.server.models
        server.call(models.poll_once())
        assert not models.ready
        assert "Another server uses the taught rows" in models.status("colours")[0].error.message
        other.close()
        time.sleep(0.2)
        server.call(models.poll_once())
        assert models.ready


def test_model_that_cannot_be_taught_gets_no_file(
    saved_models: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    teachers = Teachers(tmp_path, max_rows=1)
    servable = Servable(saved_models / "half_plus_two" / "1")
    teachers.attach("half_plus_two", servable)()
    assert teachers.get("half_plus_two") is None
    assert list(tmp_path.iterdir()) == []
    teachers.close()
    servable.close()
