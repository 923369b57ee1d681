"""Labels of images in a folder: from the names of subfolders, or from a CSV file."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from and_tf.files import printable

Value = TypeVar("Value")

_SPLIT = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?|held[ _-]?out|holdout)"
    r"([ _.-]*(set|split|data|images?|imgs?|[0-9]+))*",
    re.IGNORECASE,
)


def labels_from_subfolders(files: Sequence[str], wanted: bool = False) -> dict[str, str]:
    """Return the class of each image: the first folder on its path.

    Args:
        files: paths of the images.
        wanted: the user said that folders are classes: a single one is, too, and an image outside
            of them has no label.

    Returns:
        Empty, for unlabelled, where (unless `wanted`) an image lies outside of the subfolders or
        there is only one.
    """
    parts = [file.split("/") for file in files]
    labels = {
        file: _letters(part[0])  # one class, whichever Unicode form a folder's name has
        for file, part in zip(files, parts, strict=True)
        if len(part) > 1
    }
    if not wanted and (len(labels) < len(files) or len(set(labels.values())) < 2):
        return {}
    return labels


def splits_among(names: Iterable[str]) -> list[str]:
    """Those of some folders' names that are usual for a split of a data set, such as val or test2017."""
    return [name for name in names if _SPLIT.fullmatch(name)]


def match_names(
    listed: dict[str, Value], files: Iterable[str]
) -> tuple[dict[str, Value], set[str]]:
    """Find the files that names in a CSV file mean.

    A name means the file of exactly this name; else those of its letters in another Unicode form,
    or those that our messages print so.

    Args:
        listed: a value for each name.
        files: paths, with "/" between their parts.

    Returns:
        The value of each file that is meant, and the names that mean no file.

    Raises:
        ValueError: two names mean one file, with different values.
    """
    files = list(files)
    exact = set(files)
    alike: dict[str, list[str]] = {}
    for file in files:
        for form in {_plain(file), _plain(printable(file))}:
            alike.setdefault(form, []).append(file)
    found: dict[str, Value] = {}
    meant_by: dict[str, str] = {}
    lost = set()
    for name, value in listed.items():
        spellings = list(_spellings(name))
        meant = [spelling for spelling in spellings if spelling in exact][:1]
        for spelling in spellings:
            meant = meant or alike.get(_plain(spelling), [])
        if not meant:
            lost.add(name)
        for file in meant:
            if found.setdefault(file, value) != value:
                raise ValueError(
                    f"{printable(file)!r} has two labels. Received: {found[file]!r} for "
                    f"{printable(meant_by[file])!r} and {value!r} for {printable(name)!r}"
                )
            meant_by[file] = name
    return found, lost


def _spellings(name: str) -> Iterator[str]:
    """A name as it stands, and with Windows' separators for ours."""
    yield name.removeprefix("./")
    yield name.replace("\\", "/").removeprefix("./")


def _letters(name: str) -> str:
    """A name in one of the forms that Unicode has for the same letters."""
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    """A name in one form whichever it had, ligatures and wide letters taken apart."""
    return unicodedata.normalize("NFKC", name)


def labels_from_csv(path: Path) -> dict[str, str]:
    """Return the class of each image listed in a CSV file with the columns `file` and `label`.

    Args:
        path: UTF-8, comma-separated, with a header; `file` is relative to the folder of images.

    Returns:
        The label of each name as it stands in the file; `match_names` finds the files.

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
                    f"Received: {printable(','.join(header))[:200] or 'an empty file'}"
                )
            for row in rows:
                name, label = ((row[key] or "").strip() for key in ("file", "label"))
                where = f"{path}, line {rows.line_num}"
                if not name or not label:
                    raise ValueError(f"{where}: file and label must be given. Received: {row}")
                label = _letters(label)
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
