"""What tests share: golden files, real images where they are at hand, a run and its export."""

from __future__ import annotations

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


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


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The run directory of a small encoder, trained for one epoch on the digits."""
    from and_tf import train

    run = tmp_path_factory.mktemp("trained") / "run"
    small = ["encoder.width=0.25", "encoder.embedding_dim=16", "curriculum.rounds=0"]
    settings = [*small, "curriculum.initial_epochs=1"]
    options = [option for setting in settings for option in ("--set", setting)]
    assert train.main(["--run-dir", str(run), *options]) == 0
    return run


@pytest.fixture(scope="session")
def exported(trained_run: pathlib.Path) -> pathlib.Path:
    """The first version of that run's export, with labelled rows. Nothing may write to it."""
    from and_tf import export

    output = trained_run.parent / "export"
    assert export.main([str(trained_run), "--output", str(output)]) == 0
    return output / "1"
