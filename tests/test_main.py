from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from and_tf import __version__
from and_tf.__main__ import COMMANDS, main


def test_help_lists_commands_that_exist(capsys):
    assert main([]) == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"python -m {command} " in listed
        assert callable(sys.modules.get(command, __import__(command, fromlist=["main"])).main)


def test_unknown_arguments_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    assert "trian" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module", [f"and_tf.{name}" for name in ("train", "export", "report", "gradcam")] + ["and_tf"]
)
def test_help_does_not_wait_for_tensorflow(module):
    refuse = "import sys, runpy; sys.modules['tensorflow'] = sys.modules['keras'] = None; "
    run = f"sys.argv = ['-m']; sys.orig_argv = ['python', '-m', '{module}']; import and_tf; "
    run += f"sys.argv = ['x', '--help']; runpy.run_module('{module}', run_name='__main__')"
    command = [sys.executable, "-c", refuse + run]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: python -m {module}" in done.stdout


def test_version():
    command = [sys.executable, "-m", "and_tf", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"and_tf {__version__}\n", done.stderr


def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_traceback():
    run = "import sys, os, signal; sys.argv = ['-m']; sys.orig_argv = ['python', '-m', 'and_tf.train']; "
    run += "import and_tf; from and_tf.runs.commands import lasting_output\n"
    stop = "os.kill(os.getpid(), signal.SIGINT)\n"
    for code, outcome in (
        (stop, -signal.SIGINT),
        (f"with lasting_output():\n try: {stop} except KeyboardInterrupt: sys.exit(7)", 7),
    ):
        command = [sys.executable, "-c", run + code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (outcome, "")
