from __future__ import annotations

import os

import pytest

from and_tf.data.folder_listing import list_files
from and_tf.files import printable


def test_sorted_whatever_the_depth(tmp_path):
    names = ["b.png", "a/z.png", "a/b/c.png", "a.png", "é.png", "a/10.png", "a/9.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, skipped = list_files(tmp_path)
    expected = ["a.png", "a/10.png", "a/9.png", "a/b/c.png", "a/z.png", "b.png", "é.png"]
    assert files == expected
    assert skipped == []


def test_hidden_entries_are_left_out_by_name(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "image.png").touch()
    (tmp_path / "._image.png").touch()
    files, skipped = list_files(tmp_path)
    assert files == []
    assert skipped == [("._image.png", "hidden"), (".git", "hidden")]


def test_links(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "image.png").touch()
    (tmp_path / "file").symlink_to("a/image.png")
    (tmp_path / "folder").symlink_to("a")
    (tmp_path / "a" / "broken").symlink_to("nowhere")
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    (tmp_path / "a" / "itself").symlink_to("itself")
    files, skipped = list_files(tmp_path)
    assert files == ["a/image.png", "file", "folder/image.png"]
    reasons = dict(skipped)
    assert "broken link" in reasons["a/broken"]
    assert "broken link" in reasons["a/itself"]
    assert "a folder that holds it" in reasons["a/b/up"]
    assert "a folder that holds it" in reasons["folder/b/up"]
    assert len(skipped) == 6


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert list_files(tmp_path) == ([], [("pipe.png", "neither a file nor a folder")])


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "image.png").touch()
    list_folder = os.listdir

    def refuse(folder):
        if os.path.basename(folder) == "closed":
            raise PermissionError(13, "Permission denied")
        return list_folder(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert list_files(tmp_path) == (["image.png"], [("closed/", "folder: permission denied")])


def test_names_that_are_not_utf8(tmp_path):
    try:
        open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb").close()
    except OSError:
        pytest.skip("this file system refuses such names")
    (file,), _ = list_files(tmp_path)
    assert (tmp_path / file).exists()
    assert printable(file) == r"caf\xe9.png"


def test_printable_names():
    assert printable("café au lait.png") == "café au lait.png"
    assert printable("two\nlines\t.png") == r"two\nlines\t.png"
