"""A file of embeddings as what is judged: `.npz` or `.parquet`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from and_tf.errors import RunError
from and_tf.evaluation.known_labels import known, numbered
from and_tf.files import printable
from and_tf.judging.embedding import known_or_none, unit_rows
from and_tf.judging.subject import Part, Subject
from and_tf.runs.commands import refusing_bad_input
from and_tf.runs.paths import shown

ENDINGS = (".npz", ".parquet")


def load_embeddings(path: Path, test: Path | None = None) -> Subject:
    """Embeddings that were saved: `embedding` [n, d], `label` [n] and `source` [n], the last two optional.

    Labels are integers or strings; negative ones and "" are none.

    Args:
        path: The file of those that are neighbours and that classifiers learn from.
        test: A file of those held out; without it, those of `path` judge each other.

    Raises:
        RunError: A file that cannot be read, or arrays that do not fit.
    """
    files = [path] if test is None else [path, test]
    tables = [_read(file) for file in files]
    dims = [table["embedding"].shape[1] for table in tables]
    if len(set(dims)) > 1:
        raise RunError(
            f"Both files must have embeddings of one size. Received: {dims[0]} and {dims[1]}"
        )
    given = [table.get("label", np.full(len(table["embedding"]), -1, np.int64)) for table in tables]
    with refusing_bad_input():
        labels = numbered(*given)
        present = [each[known(each)] for each in given]
        names = np.unique(np.concatenate([each for each in present if len(each)] or [np.empty(0)]))
    parts = [
        Part(
            file.name,
            unit_rows(table["embedding"], file.name),
            known_or_none(each),
            [printable(str(s)) for s in table["source"]]
            if "source" in table
            else [f"{file.name}:{index}" for index in range(len(each))],
        )
        for file, table, each in zip(files, tables, labels, strict=True)
    ]
    return Subject(
        path.stem,
        "embeddings",
        path,
        parts[0],
        parts[1] if test is not None else None,
        [printable(str(name)) for name in names.tolist()],
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, of shapes that fit together."""
    try:
        table = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise RunError(
            f"The embeddings cannot be read: {reason}. Received: {shown(path)}"
        ) from error
    embedding = table.get("embedding")
    if embedding is None:
        found = ", ".join(table) or "nothing"
        raise RunError(f"{shown(path)} must hold `embedding` [n, d]. Received: {found}")
    if embedding.ndim != 2 or embedding.dtype.kind not in "fiu" or 0 in embedding.shape:
        raise RunError(
            f"`embedding` in {shown(path)} must be numbers [n, d]. Received: {embedding.dtype} of shape "
            f"{embedding.shape}"
        )
    for name in ("label", "source"):
        if name in table and table[name].shape != (len(embedding),):
            raise RunError(
                f"`{name}` in {shown(path)} must have one value for each of {len(embedding):,} "
                f"embeddings. Received: shape {table[name].shape}"
            )
    return table


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("embedding", "label", "source") if name in file}


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = [n for n in ("embedding", "label", "source") if n in file.schema_arrow.names]
        table = file.read(names)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    arrays = {}
    for name in names:
        values = table.column(name).to_pylist()
        if name == "label":  # null is none
            holds_text = any(isinstance(value, str) for value in values)
            values = [("" if holds_text else -1) if value is None else value for value in values]
        arrays[name] = np.array(values)
    return arrays
