"""What the README shows works as it stands there."""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
import pkgutil
import re
import runpy
import shlex

import pytest

from and_tf import evaluate, export, gradcam, report, train
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


def found_in_pages(pattern: str) -> list[str]:
    return sorted({name for page in PAGES for name in re.findall(pattern, page.read_text())})


def test_names_in_pages_exist():
    names = set(found_in_pages(r"`((?:and_tf|serving)(?:\.\w+)+)`")) - {"and_tf.json"}
    assert len(names) > 5
    for name in sorted(names):
        pkgutil.resolve_name(name)


def test_files_and_programs_in_pages_exist():
    folders = "and_tf|benchmarks|configs|docs|serving|tests"
    paths = found_in_pages(rf"(?<![\w./-])(?:{folders})/[\w./-]*\w")
    programs = found_in_pages(rf"python -m ((?:{folders})[\w.]*)")
    assert len(paths) > 20 and len(programs) > 15
    assert not [path for path in paths if not (ROOT / path).exists()]
    assert not [name for name in programs if importlib.util.find_spec(name) is None]


def test_equations_lead_to_the_functions_that_compute_them():
    table = (ROOT / "README.md").read_text().split("## How it works\n")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| .* \| Eq\. ([\d, ]+) \| \[`([\w.]+)`\]\(([\w/.]+)\)", table, re.MULTILINE
    )
    assert len(rows) == table.count("\n| ") - 2  # less the two of the head
    for equations, name, path in rows:
        function = pkgutil.resolve_name(name)
        assert inspect.getsourcefile(function) == str(ROOT / path)
        cited = set(re.findall(r"\d+", " ".join(re.findall(r"Eq\. [\d, ]+", function.__doc__))))
        assert set(equations.split(", ")) <= cited, name


def test_pages_show_commands():
    assert len(commands()) >= 10
    for module in ("and_tf.export", "serving"):
        assert any(command.startswith(f"python -m {module} ") for command in commands())


@pytest.mark.parametrize("command", commands())
def test_commands_are_valid(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    module, *given = shlex.split(command.split("#")[0])[2:]
    others = {
        "and_tf.evaluate": evaluate,
        "and_tf.export": export,
        "and_tf.gradcam": gradcam,
        "and_tf.report": report,
    }
    if module in others:
        others[module].parse_arguments(given)
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


def anchors(page: pathlib.Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), (page, target)
            assert not anchor or anchor in anchors(linked), (page, target)
