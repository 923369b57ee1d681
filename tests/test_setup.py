"""The set-up: what is declared is what is imported and locked, and `make` installs it once."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("and_tf", "benchmarks", "serving")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in text.split("\n") if line]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def declared() -> dict[str, Requirement]:
    """What the project asks for at run time: its base, and the extra that serves."""
    parsed = setup_cfg()
    serving = parsed["options.extras_require"]["serving"]
    return requirements(parsed["options"]["install_requires"] + serving)


def pinned() -> dict[str, list[str]]:
    """Versions that the lock holds of each package, by canonical name."""
    pins: dict[str, list[str]] = {}
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), []).append(version)
    return pins


def imported(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Top-level names of third-party modules, each with a file that imports it."""
    names = {}
    for path in [path for package in packages for path in (REPOSITORY / package).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            for module in modules:
                names[module.partition(".")[0]] = path.name
    return {
        name: path
        for name, path in names.items()
        if name not in sys.stdlib_module_names and name not in PACKAGES
    }


# Of extras, which may not be installed here: what is imported, and from what.
NOT_NAMED_ALIKE = {"umap": "umap-learn"}


def test_every_import_is_declared():
    distributions = importlib.metadata.packages_distributions()
    extras = setup_cfg()["options.extras_require"]
    optional = [*requirements(extras["onnx"]), *requirements(extras["umap"])]
    allowed = set(declared()) | set(optional)
    names = imported()
    assert {"tensorflow", "keras", "numpy"} <= set(names)
    names.pop("torch", None)  # the next test's
    for name, path in names.items():
        owners = distributions.get(name, [NOT_NAMED_ALIKE.get(name, name)])
        owners = {canonicalize_name(owner) for owner in owners}
        assert owners & allowed, f"{path} imports {name}, which setup.cfg does not declare"


def test_the_programs_of_the_docs_need_what_dev_declares():
    distributions = importlib.metadata.packages_distributions()
    dev = set(requirements(setup_cfg()["options.extras_require"]["dev"]))
    for name in imported(("docs",)):
        assert dev & {canonicalize_name(owner) for owner in distributions[name]}, name


def test_torch_is_for_the_peers_of_the_benchmarks_alone():
    importing = {
        path.parent
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if re.search(r"^\s*(import|from) torch\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importing == {REPOSITORY / "benchmarks" / "peers"}
    extras = setup_cfg()["options.extras_require"]
    assert set(requirements(extras["benchmarks"])) == {"torch"}
    assert "torch" not in pinned()


def test_the_lock_pins_every_declared_dependency_within_its_range():
    pins = pinned()
    dev = requirements(setup_cfg()["options.extras_require"]["dev"])
    for name, requirement in {**declared(), **dev}.items():
        assert name in pins, f"{name} is not in requirements.lock; run make lock"
        for version in pins[name]:
            assert requirement.specifier.contains(version), f"{requirement} against {version}"


def test_the_lock_has_hashes_and_neither_hosts_nor_cuda():
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.split("\n")[0]
    assert not [name for name in pinned() if "cuda" in name or "nvidia" in name]


def test_the_gpu_extra_asks_for_the_same_tensorflow():
    gpu = requirements(setup_cfg()["options.extras_require"]["gpu"])["tensorflow"]
    assert gpu.specifier == declared()["tensorflow"].specifier
    assert gpu.extras == {"and-cuda"}


def test_the_package_carries_its_licence():
    metadata = setup_cfg()["metadata"]
    assert metadata["license_expression"] == "Apache-2.0"
    files = metadata["license_files"].split()
    assert files == ["LICENSE", "NOTICE"]
    texts = [(REPOSITORY / name).read_text(encoding="utf-8") for name in files]
    assert "Apache License" in texts[0] and "Version 2.0, January 2004" in texts[0]
    assert not [text for text in metadata["classifiers"].split("\n") if "License ::" in text]


def test_make_looks_for_the_pythons_that_setup_cfg_allows():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    versions = re.search(r"^VERSIONS := (.*)$", makefile, re.MULTILINE).group(1).split()
    allowed = SpecifierSet(setup_cfg()["options"]["python_requires"])
    assert versions == [f"3.{n}" for n in range(40) if allowed.contains(f"3.{n}")]
    classifiers = setup_cfg()["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)", classifiers) == versions


def test_continuous_integration_can_run():
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


# A Python that notes how it was called, and does as much of it as `make` needs.
STUB = """#!/bin/sh
echo "$(basename $0) $*" >> {log}
case "$*" in
    *sys.exit*) exit {unsuitable} ;;
    *ensurepip*) exit {lacking} ;;
    *print*) echo python3.12-venv ;;
    "-m venv "*) mkdir -p $3/bin; cp $0 $3/bin/python ;;
    *" install "*) exit $FAIL_INSTALL ;;
esac
"""


class Machine:
    """A copy of the set-up, on a machine that has only the Pythons that it is given."""

    def __init__(self, root: Path):
        self.project, self.bin, self.log = root / "project", root / "bin", root / "log"
        self.project.mkdir()
        self.bin.mkdir()
        for name in ("Makefile", "requirements.lock", "setup.cfg", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, self.project)
        for tool in ("make", "sh", "basename", "cat", "cp", "mkdir", "rm", "touch"):
            (self.bin / tool).symlink_to(shutil.which(tool))

    def add_python(self, name: str, unsuitable: int = 0, lacking: int = 0) -> None:
        path = self.bin / name
        path.write_text(STUB.format(log=self.log, unsuitable=unsuitable, lacking=lacking))
        path.chmod(0o755)

    def make(self, fail_install: int = 0, **environment: str) -> subprocess.CompletedProcess:
        """Sets up; `calls` then holds what the Pythons were asked to do."""
        self.log.write_text("")
        env = {"PATH": str(self.bin), "FAIL_INSTALL": str(fail_install), **environment}
        return subprocess.run(
            [self.bin / "make", ".venv/.installed"],
            cwd=self.project,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> str:
        return self.log.read_text()

    @property
    def complete(self) -> bool:
        return (self.project / ".venv" / ".installed").exists()


@pytest.fixture
def machine(tmp_path):
    for tool in ("make", "sh"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return Machine(tmp_path)


def test_set_up_passes_over_a_python_that_does_not_run_and_happens_once(machine):
    machine.add_python("python3.11", unsuitable=127)
    machine.add_python("python3.12")
    assert machine.make().returncode == 0 and machine.complete
    assert "python3.12 -m venv .venv" in machine.calls
    assert "install --require-hashes -r requirements.lock" in machine.calls
    assert machine.make().returncode == 0
    assert machine.calls == ""


def test_a_changed_lock_is_installed_into_the_same_environment(machine):
    machine.add_python("python3.12")
    machine.make()
    later = (machine.project / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(machine.project / "requirements.lock", (later, later))
    assert machine.make().returncode == 0
    assert "-r requirements.lock" in machine.calls and "-m venv" not in machine.calls


def test_a_set_up_that_failed_starts_afresh(machine):
    machine.add_python("python3.12")
    assert machine.make(fail_install=1).returncode != 0
    assert not machine.complete
    leftover = machine.project / ".venv" / "half-installed"
    leftover.touch()
    assert machine.make().returncode == 0 and machine.complete
    assert not leftover.exists()


def test_without_a_suitable_python_one_line_says_which_to_install(machine):
    machine.add_python("python3", unsuitable=1)
    result = machine.make()
    assert result.returncode != 0
    message, closing = result.stderr.strip().split("\n")
    assert "Install one of Python 3.11 3.12 3.13" in message and closing.startswith("make: ***")
    assert not (machine.project / ".venv").exists()


def test_a_python_without_venv_is_named(machine):
    machine.add_python("python3.12", lacking=1)
    result = machine.make()
    assert result.returncode != 0
    assert "python3.12 has no venv module" in result.stderr
    assert "apt install python3.12-venv" in result.stderr
    machine.add_python("python3.13")
    assert machine.make().returncode == 0


def test_a_python_asked_for_replaces_the_environment_if_it_is_suitable(machine):
    machine.add_python("python3.12")
    machine.add_python("mine")
    machine.add_python("old", unsuitable=1)
    machine.make()
    assert machine.make(PYTHON="old").returncode != 0
    assert machine.complete
    assert machine.make(PYTHON="mine").returncode == 0
    assert "mine -m venv .venv" in machine.calls
    assert machine.make(PYTHON="mine").returncode == 0
    assert machine.calls == ""
