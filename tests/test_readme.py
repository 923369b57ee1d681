"""What the README shows works as it stands there."""

from __future__ import annotations

import pathlib
import pkgutil
import re
import runpy
import shlex

import pytest

from and_tf import export, train
from and_tf.runs.config import load_config
from serving import __main__ as serve

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "configs/README.md",
    ROOT / "serving/deploy/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(page: pathlib.Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    found = []
    for page in PAGES:
        text = "\n".join(blocks(page, "sh") + re.findall(r"`(python -m [^`]+)`", page.read_text()))
        found += re.findall(
            r"^python -m (?:and_tf\.\w+|serving) .*", text.replace("\\\n", " "), re.MULTILINE
        )
    return sorted(set(found))


def test_the_python_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python")
    shorter = code.replace("epochs=200", "epochs=5").replace(
        "epochs_per_round=40", "epochs_per_round=1"
    )
    shorter = shorter.replace("every_epochs=40", "every_epochs=2")
    assert (
        shorter.count("=1)") == shorter.count("epochs=5,") == shorter.count("every_epochs=2)") == 1
    )
    (tmp_path / "readme.py").write_text(shorter)
    scope = runpy.run_path("readme.py")
    assert scope["embeddings"].shape == (360, 128)
    assert int(scope["model"].round) == 4


def test_what_pages_name_is_there():
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`((?:and_tf|serving)(?:\.\w+)+)`", page.read_text())
        if name != "and_tf.json"
    }
    assert len(named) > 5
    for name in sorted(named):
        pkgutil.resolve_name(name)


def test_pages_show_commands():
    assert len(commands()) >= 10
    for module in ("and_tf.export", "serving"):
        assert any(command.startswith(f"python -m {module} ") for command in commands())


@pytest.mark.parametrize("command", commands())
def test_commands_are_valid(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    module, *given = shlex.split(command.split("#")[0])[2:]
    if module == "and_tf.export":
        export.parse_arguments(given)
        return
    if module == "serving":
        if given != ["--help"]:
            serve._check(serve._parser().parse_args(given))
        return
    arguments = train.parse_arguments(given)
    overrides = list(arguments.overrides)
    if arguments.data_dir:
        overrides.append(f"data.data_dir={arguments.data_dir}")
    load_config(arguments.config, overrides)


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)
