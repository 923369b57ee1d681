"""What tests share: golden files, real images where they are at hand, a run and its export."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


# The files that take longest: begun first, so that no process is left alone with one at the end.
DEAREST = (
    "test_train_stops.py",
    "test_train.py",
    "method/test_model.py",
    "encoders/test_encoders.py",
    "test_export.py",
    "test_train_refusals.py",
    "data/test_augment.py",
    "serving/engine/test_servable.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = pathlib.Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(DEAREST)}
    items.sort(key=lambda item: ranks.get(item.path, len(DEAREST)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        type=pathlib.Path,
        default=SHARED / "golden",
        help="folder of the golden *.npz files (default: ../shared/golden)",
    )
    parser.addoption(
        "--vectors",
        type=pathlib.Path,
        default=SHARED / "tfserving/vectors.jsonl",
        help="requests to TensorFlow Serving and its answers (default: ../shared/tfserving)",
    )
    parser.addoption(
        "--models",
        type=pathlib.Path,
        help="folder of the models that the vectors speak of (default: made for the tests)",
    )


@pytest.fixture(scope="session")
def shared_tfds() -> pathlib.Path:
    """The folder of real images in TFDS format; skips where it is absent."""
    folder = SHARED / "tfds"
    if not folder.is_dir():
        pytest.skip("needs the real images of ../shared/tfds")
    return folder


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """A folder that one of pytest's processes makes and all read; nothing may write to it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = root / name
        if not folder.exists():
            partial = root / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The run directory of a small encoder on the digits. Nothing may write to it, or lock it."""
    from and_tf import train
    from tests.small_run import SMALL

    def make(folder: pathlib.Path) -> None:
        assert train.main(["--run-dir", str(folder), *SMALL]) == 0

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def exported(trained_run: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The first version of that run's export, with labelled rows. Nothing may write to it."""
    from and_tf import export

    def make(folder: pathlib.Path) -> None:
        assert export.main([str(trained_run), "--output", str(folder)]) == 0

    return made_once(tmp_path_factory, "exported", make) / "1"
