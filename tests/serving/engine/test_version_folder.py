"""Numbered folders, and which of them to serve."""

from __future__ import annotations

import os
import pathlib

import pytest
from google.protobuf import text_format

from serving.engine import version_folder
from serving.engine.version_folder import Policy


def _version(base_path: pathlib.Path, name: str, text: str = "model") -> pathlib.Path:
    folder = base_path / name
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(text)
    return folder


def _choose(
    base_path: pathlib.Path,
    policy: str = "",
    served: tuple[pathlib.Path, ...] = (),
    refused: dict | None = None,
    last_look: dict | None = None,
) -> version_folder.Choice:
    return version_folder.choose(
        base_path, text_format.Parse(policy, Policy()), served, refused or {}, last_look
    )


def test_versions_are_folders_named_by_a_number(tmp_path: pathlib.Path):
    for name in ("1", "00021", "0", "3"):
        _version(tmp_path, name)
    for name in ("-1", "1.0", "v2", ".4", "٥", "²", "9" * 20, "tmp", " 5"):
        _version(tmp_path, name)
    (tmp_path / "7").write_text("a file")
    assert list(version_folder.version_folders(tmp_path)) == [21, 3, 1, 0]
    assert version_folder.version_folders(tmp_path)[21] == tmp_path / "00021"


def test_a_missing_folder_is_an_os_error(tmp_path: pathlib.Path):
    with pytest.raises(FileNotFoundError):
        version_folder.version_folders(tmp_path / "nope")


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("", [4]),
        ("latest {}", [4]),
        ("latest { num_versions: 2 }", [4, 3]),
        ("latest { num_versions: 9 }", [4, 3, 1]),
        ("all {}", [4, 3, 1]),
        ("specific { versions: 1 versions: 4 versions: 8 }", [4, 1]),
        ("specific { versions: 8 }", []),
    ],
)
def test_policies(tmp_path: pathlib.Path, policy: str, wanted: list[int]):
    for name in ("1", "3", "4"):
        _version(tmp_path, name)
    assert list(_choose(tmp_path, policy).wanted) == wanted


def test_a_refused_version_does_not_count_until_it_changes(tmp_path: pathlib.Path):
    _version(tmp_path, "1")
    broken = _version(tmp_path, "2")
    refused = {2: version_folder.contents_of(broken)}
    assert list(_choose(tmp_path, refused=refused).wanted) == [1]
    (broken / "variables/variables.index").write_text("there now")
    assert list(_choose(tmp_path, refused=refused).wanted) == [2]


def test_a_folder_that_grows_is_waited_for(tmp_path: pathlib.Path):
    served = (_version(tmp_path, "1"),)
    look = _choose(tmp_path, served=served)
    new = _version(tmp_path, "2")
    for text in ("half", "half and more"):
        (new / "saved_model.pb").write_text(text)
        look = _choose(tmp_path, served=served, last_look=look.contents)
        assert list(look.wanted) == [1]
        assert list(look.waiting) == [2]
    look = _choose(tmp_path, served=served, last_look=look.contents)
    assert list(look.wanted) == [2]
    assert not look.waiting


def test_a_change_that_keeps_the_size_is_seen(tmp_path: pathlib.Path):
    folder = _version(tmp_path, "1", "one")
    before = version_folder.contents_of(folder)
    (folder / "saved_model.pb").write_text("two")
    os.utime(folder / "saved_model.pb", ns=(1, 1))
    assert version_folder.contents_of(folder) != before


def test_served_folders_are_not_looked_into(tmp_path: pathlib.Path):
    served = (_version(tmp_path, "1"),)
    choice = _choose(tmp_path, served=served, last_look={})
    assert list(choice.wanted) == [1]
    assert not choice.contents
