from __future__ import annotations

import errno

import pytest

from and_tf.files import is_full_disk, replacing, write_text


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "model.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), True),
        (RuntimeError("logs/events; No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_full_disks_are_recognised(error, expected):
    assert is_full_disk(error) is expected
