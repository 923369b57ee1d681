"""The command `python -m serving`: its options, and what it refuses to start with."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

import pytest

from serving import __main__ as command
from serving.__main__ import main
from serving.settings import Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to serve. Give --model NAME=PATH or --model-config FILE"),
        (["--model", "m"], "A model is given as NAME=PATH, such as svhn=export/svhn."),
        (["--model", "m={tmp}/none"], "Model m needs a folder of versions. Received: {tmp}/none"),
        (["--model", "m={tmp}", "--model", "m={tmp}"], "Illegal to list model m multiple times"),
        (["--model-config", "{tmp}/none"], "Cannot read {tmp}/none: No such file or directory"),
        (["--model-config", "{tmp}/bad"], "{tmp}/bad is no model_config_list in text form: 1:"),
        (["--model", "m={tmp}", "--token-file", "{tmp}/empty"], "A bearer token is needed on each"),
        (["--model", "m={tmp}", "--certificate", "{tmp}/bad"], "TLS needs --certificate and --pri"),
        (["--model", "m={tmp}", "--client-ca", "{tmp}/bad"], "--client-ca needs --certificate"),
        (["--model", "m={tmp}", "--max-rows", "0"], "--max-rows must be more than 0, and"),
        (
            ["--model", "m={tmp}", "--max-body-mib", "inf"],
            "--max-body-mib must be more than 0, and",
        ),
        (["--model", "m={tmp}", "--rest-port", "99999"], "A port is 0 to 65535. Received: 99999"),
        (["--model", "m={tmp}", "--batch-size", "0"], "max_batch_size must be at least 1."),
        (["--model", "m={tmp}", "--monitoring-config", "{tmp}/bad"], "{tmp}/bad is no monitoring"),
    ],
)
def test_what_it_refuses_in_one_line(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "bad").write_text("model {")
    (tmp_path / "empty").write_text("")
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"python -m serving: {message.format(tmp=tmp_path)}")
    assert line.count("\n") == 1


def options(*arguments: str) -> Settings:
    return command._settings(command._parser().parse_args(arguments))


def test_the_options_defaults_are_the_settings() -> None:
    assert options() == Settings()


def test_options(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokens").write_text("one\n")
    (tmp_path / "admins").write_text("three\n")
    monkeypatch.setenv(command.TOKEN_VARIABLE, " two\n")
    files = ("--token-file", f"{tmp_path}/tokens", "--admin-token-file", f"{tmp_path}/admins")
    chosen = options(*files, "--metrics", "--max-body-mib", "0.5", "--allowed-host", "a.example")
    assert (chosen.tokens, chosen.admin_tokens) == (("one", "two"), ("three",))
    assert chosen.allowed_hosts == ("a.example",)
    assert chosen.metrics_path == "/monitoring/prometheus/metrics"
    assert chosen.largest_body == 1 << 19


@pytest.mark.parametrize("text", [" ", "one two", "tökén"])
def test_a_token_of_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(command.TOKEN_VARIABLE, text)
    with pytest.raises(ValueError, match="SERVING_TOKEN in the environment"):
        options()


@pytest.mark.parametrize(
    ("host", "token", "warns"),
    [("0.0.0.0", "", True), ("0.0.0.0", "secret", False), ("127.0.0.1", "", False)],
)
def test_it_warns_where_anybody_may_ask(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: str,
    token: str,
    warns: bool,
) -> None:
    monkeypatch.setenv(command.TOKEN_VARIABLE, token)
    # The model is not there, so nothing starts.
    assert main(["--model", f"m={tmp_path}/none", "--host", host]) == 2
    assert ("no token is set" in caplog.text) == warns


def test_sigterm_before_it_serves(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys, serving.__main__ as m\n"
        "class Told:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'tensorflow': print('importing', flush=True)\n"
        "sys.meta_path.insert(0, Told())\n"
        f"m.main(['--model', 'm={tmp_path}', '--rest-port', '0', '--grpc-port', '0'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"importing\n"
        process.terminate()
        assert process.wait(60) == 0


def test_signals_are_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main([]) == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_does_not_wait_for_tensorflow() -> None:
    code = (
        "import contextlib, sys, serving.__main__ as m\n"
        "with contextlib.suppress(SystemExit): m.main(['--help'])\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "--rest-port" in done.stdout
