"""What tests share: the folder of golden files, and real images where they are at hand."""

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
