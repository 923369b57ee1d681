"""From a path to what is judged: a run, a model file, an exported version, or saved embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from and_tf.errors import RunError
from and_tf.judging.embeddings_file import ENDINGS, load_embeddings
from and_tf.judging.from_export import DESCRIPTION, load_export
from and_tf.judging.from_model import load_model_file
from and_tf.judging.from_run import load_run
from and_tf.judging.subject import Subject
from and_tf.runs.paths import expanded, shown
from and_tf.runs.run_directory import RunDirectory


def load_subject(
    path: str | Path,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    test: str | Path | None = None,
    untrained: bool = False,
) -> Subject:
    """What is to be judged, embedded.

    Args:
        path: A run directory, a `.keras` file, a version of an export, or a `.npz` or `.parquet` file
            with `embedding` [n, d] and perhaps `label` [n] and `source` [n].
        config: A JSON config that says where images are: for a `.keras` file, and for the test
            images of an export. A file inside a run directory takes the run's.
        overrides: `KEY=VALUE` for the config, such as where a run's images lie now.
        test: A file of embeddings with the held-out examples, for a file of embeddings.
        untrained: Of a run, the encoder as it was before the first step: what training started from.

    Raises:
        RunError: It is nothing of that, or it cannot be judged; the text is one line.
        ConfigError: A wrong config.
    """
    path = expanded("path", path)
    is_embeddings = path.suffix in ENDINGS
    if test is not None and not is_embeddings:
        raise RunError(f"--test goes with a file of embeddings. Received: {shown(path)}")
    if is_embeddings and (config is not None or overrides):
        raise RunError(
            f"A file of embeddings needs no images: leave --config and --set out. "
            f"Received: {shown(path)}"
        )
    is_run = path.is_dir() and RunDirectory(path).holds_run
    if untrained and not is_run:
        raise RunError(f"--untrained goes with a run directory. Received: {shown(path)}")
    if not path.exists():
        raise RunError(f"There is no such file or directory. Received: {shown(path)}")
    if is_embeddings:
        return load_embeddings(path, None if test is None else expanded("--test", test))
    if path.suffix == ".keras":
        return load_model_file(path, config, overrides)
    if (path / DESCRIPTION).is_file():
        return load_export(path, config, overrides)
    if is_run:
        if config is not None:
            raise RunError(f"A run has its own config: leave --config out. Received: {config}")
        return load_run(path, overrides, untrained)
    raise RunError(
        "This is no run directory (no config.json), no .keras file, no version of an export "
        f"({DESCRIPTION}) and no .npz or .parquet file of embeddings. Received: {shown(path)}"
    )
