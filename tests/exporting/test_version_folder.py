from __future__ import annotations

import os
import re

import pytest

from and_tf.errors import RunError
from and_tf.exporting.version_folder import check_output, versions, write_next_version


def fill(folder):
    (folder / "deep").mkdir()
    (folder / "deep/file").write_text("whole")


def test_versions_count_on(tmp_path):
    output = tmp_path / "not/there/yet"
    assert write_next_version(output, fill) == output / "1"
    assert write_next_version(output, fill) == output / "2"
    (output / "7").mkdir()
    (output / "notes").mkdir()
    assert write_next_version(output, fill) == output / "8"
    assert (output / "8/deep/file").read_text() == "whole"
    assert sorted(versions(output)) == [1, 2, 7, 8]


def test_nothing_is_seen_before_it_is_whole(tmp_path):
    def look(folder):
        fill(folder)
        assert folder.parent == tmp_path / "out" and folder.name.startswith(".")
        assert os.listdir(tmp_path / "out") == [folder.name]

    write_next_version(tmp_path / "out", look)
    assert os.listdir(tmp_path / "out") == ["1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RunError])
def test_what_fails_leaves_nothing(tmp_path, error):
    def fail(folder):
        fill(folder)
        raise error

    with pytest.raises(error):
        write_next_version(tmp_path / "a/b", fail)
    assert not (tmp_path / "a").exists()
    write_next_version(tmp_path / "a/b", fill)
    with pytest.raises(error):
        write_next_version(tmp_path / "a/b", fail)
    assert os.listdir(tmp_path / "a/b") == ["1"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".partial-123").mkdir()
    (tmp_path / ".partial-123/file").touch()
    write_next_version(tmp_path, fill)
    assert os.listdir(tmp_path) == ["1"]


def test_a_number_that_is_taken_meanwhile_is_passed_over(tmp_path):
    def slow(folder):
        fill(folder)
        (tmp_path / "1").mkdir()
        (tmp_path / "1/saved_model.pb").touch()

    assert write_next_version(tmp_path, slow) == tmp_path / "2"


def test_one_process_at_a_time(tmp_path):
    def nested(folder):
        write_next_version(tmp_path, fill)

    with pytest.raises(RunError, match="Another process"):
        write_next_version(tmp_path, nested)
    assert os.listdir(tmp_path) == []


def test_refuses_what_cannot_hold_versions(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for output in (file, file / "below"):
        with pytest.raises(RunError, match=re.escape(f"{file} is a file")):
            check_output(output, "savedmodel")
    (tmp_path / "out/1").mkdir(parents=True)
    (tmp_path / "out/1/saved_model.pb").touch()
    with pytest.raises(RunError, match="is itself a version: name the folder"):
        check_output(tmp_path / "out/1", "savedmodel")
    with pytest.raises(RunError, match="versions of another format.*Received: .*1, savedmodel"):
        check_output(tmp_path / "out", "onnx")
    check_output(tmp_path / "out", "savedmodel")
    check_output(tmp_path / "new", "onnx")
