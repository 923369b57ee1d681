"""A command outlives whoever reads its output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile

import pytest

from and_tf.runs.commands import fail, have_temporary_folder, lasting_output

READERS_GONE = """
import os, sys
sys.path.insert(0, {root!r})
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "and_tf.train"]  # spares importing TensorFlow
from and_tf.runs.commands import lasting_output
with lasting_output():
    for line in range(1000):
        print("line", line, chr(0xdce9), flush=True)
        print("warning", file=sys.stderr, flush=True)
    open("results", "w").write("done")
    print("last")
"""


@pytest.mark.parametrize(
    "redirection", ["| head -1", ">&- 2>&- <&-", "> /dev/full 2> /dev/full"]
)  # fmt: skip
def test_it_goes_on_without_them(redirection, tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    (tmp_path / "code.py").write_text(READERS_GONE.format(root=root))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} code.py {redirection}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results").read_text() == "done"
    assert "Error" not in done.stderr and "Exception" not in done.stderr


def test_names_that_are_not_text_are_escaped_and_the_streams_put_back(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    with lasting_output():
        print("photos_\udce9 é", flush=True)
        assert not sys.stdout.isatty() and not sys.stderr.isatty()
        assert fail("nobody hears", 2) == 2
    assert stream.buffer.getvalue() == b"photos_\\udce9 \\xe9\n"
    assert sys.stdout is stream and sys.stderr is None


def test_without_a_writable_temporary_folder_another_one_is_taken(tmp_path, monkeypatch):
    have_temporary_folder(tmp_path / "unused")
    assert tempfile.gettempdir() != str(tmp_path / "unused")

    def fail():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", fail)
    have_temporary_folder(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path)
