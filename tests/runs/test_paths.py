from __future__ import annotations

import os

import pytest

from and_tf.errors import RunError
from and_tf.runs.paths import expanded, shown


@pytest.mark.parametrize(
    "path, reason",
    [
        ("a" * 300, "File name too long"),
        ("~nobody-of-this-name/images", "Could not determine home directory"),
        ("null\0byte", "embedded null byte"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(path, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=f"^data.path: {reason}. Received: ") as raised:
        expanded("data.path", path)
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 280


@pytest.mark.parametrize("kind", ["os.stat", "builtins.open"])
def test_what_may_not_be_read_is_said(kind, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(kind, refuse)
    with pytest.raises(RunError, match=f"^--rows: Permission denied. Received: {file}$"):
        expanded("--rows", file)


def test_paths_that_are_there_or_not_yet_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("x", "~") == tmp_path
    (tmp_path / "file").touch()
    for name in ("absent", "absent/deeper", "file/inside", os.fsdecode(b"photos_\xe9")):
        assert expanded("x", f"~/{name}") == tmp_path / name


def test_names_of_any_bytes_are_shown_escaped_on_one_line():
    assert shown(os.fsdecode(b"photos_\xe9t\xe9")) == r"photos_\xe9t\xe9"
    assert shown("two\nlines é") == r"two\nlines é"
