"""Labels of images in a folder: from the names of subfolders, or from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def labels_from_subfolders(files: Sequence[str]) -> dict[str, str]:
    """Return the class of each image: the first folder on its path.

    Returns:
        Empty, for unlabelled, where an image lies outside of the subfolders or there is only one.
    """
    parts = [file.split("/") for file in files]
    if any(len(part) == 1 for part in parts) or len({part[0] for part in parts}) < 2:
        return {}
    return {file: part[0] for file, part in zip(files, parts, strict=True)}


def labels_from_csv(path: Path) -> dict[str, str]:
    """Return the class of each image listed in a CSV file with the columns `file` and `label`.

    Args:
        path: UTF-8, comma-separated, with a header; `file` is relative to the folder of images.

    Raises:
        ValueError: no such file, not a CSV, a column missing, an empty field, or two labels for
            one image.
    """
    labels: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            header = rows.fieldnames = [column.strip() for column in rows.fieldnames or []]
            if not {"file", "label"} <= set(header):
                raise ValueError(
                    f"The labels in {path} need a header with the columns file,label. "
                    f"Received: {','.join(header) or 'an empty file'}"
                )
            for row in rows:
                name, label = ((row[key] or "").strip() for key in ("file", "label"))
                where = f"{path}, line {rows.line_num}"
                if not name or not label:
                    raise ValueError(f"{where}: file and label must be given. Received: {row}")
                name = name.replace("\\", "/").removeprefix("./")
                if labels.setdefault(name, label) != label:
                    raise ValueError(
                        f"{where}: {name!r} has two labels. Received: {labels[name]!r} and {label!r}"
                    )
    except OSError as error:
        raise ValueError(f"The labels in {path} cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise ValueError(f"The labels in {path} are not a CSV file: {error}.") from error
    if not labels:
        raise ValueError(f"The labels in {path} list no images.")
    return labels
