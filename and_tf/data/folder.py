"""A user's own images: a folder of files, nested or flat, labels optional."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from and_tf.data.folder_labels import labels_from_csv, labels_from_subfolders, match_names
from and_tf.data.folder_listing import list_files
from and_tf.data.image_file import UnreadableImageError, read_in_threads, read_size
from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import fits_in_memory
from and_tf.data.streamed_files import StreamedFiles
from and_tf.files import printable


@dataclass
class _Folder:
    """The images of one folder while they are being gathered."""

    name: str
    root: Path  # without links
    sizes: dict[str, tuple[int, int]]  # (height, width) of each image, in the order of the set
    classes: dict[str, str] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def load_folder(
    path: str | os.PathLike,
    *,
    test_path: str | os.PathLike | None = None,
    labels: str | os.PathLike | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.0,
    in_memory: bool | Literal["auto"] = "auto",
) -> tuple[ImageSet, ImageSet | None]:
    """Return the images of a folder, and held-out ones where they are asked for.

    An index is the place in the sorted relative paths. What is no readable image is left out, with
    its name and the reason in `skipped`.

    Args:
        path: the folder of training images.
        test_path: a folder of held-out images.
        labels: "folders" for the first-level subfolders; "none"; or a CSV file with the columns
            file,label. Images without one have label -1: they are learned from, and not evaluated.
            By default, folders where every image is in one of several, else none.
        image_size: side to which images are resized (see `resize`); None where all have one size.
        test_fraction: the share of `path` that is held out, of each class where there are labels,
            and at least one labelled image where there are several; which images depends on their
            names alone.
        in_memory: decode everything now; "auto" does so up to 2 GiB and streams what is larger.

    Raises:
        ValueError: no such folder, no readable image in it, different sizes without `image_size`,
            a CSV file that is wrong or names none of the images, or nothing left after holding out.
    """
    if test_path is not None and test_fraction:
        raise ValueError(
            "Held-out images come from test_path or from test_fraction, not from both. "
            f"Received: test_path={os.fspath(test_path)!r}, test_fraction={test_fraction}"
        )
    folder = _gather(path)
    folders = [folder]
    if test_path is not None:
        folders.append(_gather(test_path))
        roots = (folder.root, folders[1].root)
        if roots[0].is_relative_to(roots[1]) or roots[1].is_relative_to(roots[0]):
            raise ValueError(
                "The folders of training images and of held-out images must lie apart. "
                f"Received: path={os.fspath(path)!r}, test_path={os.fspath(test_path)!r}"
            )
    labelled_by = "folders"
    if labels is None or labels == "folders":
        for each in folders:
            each.classes = labels_from_subfolders(list(each.sizes), wanted=labels is not None)
            if labels is not None and not each.classes:
                raise ValueError(
                    "data.labels=folders takes the folders inside a folder of images for classes. "
                    f"Received: {each.root}, which has images, but no folders with images"
                )
    elif labels != "none":
        labelled_by = printable(Path(labels).name)
        _apply_csv(folders, Path(labels).expanduser())
    class_names = sorted({name for each in folders for name in each.classes.values()})
    if test_fraction:
        folders.append(_hold_out(folder, test_fraction))
    train, *test = (
        _image_set(each, class_names, labelled_by, image_size, in_memory) for each in folders
    )
    return train, test[0] if test else None


def _gather(path: str | os.PathLike) -> _Folder:
    given = Path(path).expanduser()
    if not given.is_dir():
        problem = "is not a folder" if given.exists() else "does not exist"
        raise ValueError(f"The folder of images {problem}. Received: {os.fspath(path)!r}")
    root = given.resolve()
    files, skipped = list_files(root)
    sizes = {}
    found = read_in_threads(read_size, [root / file for file in files])
    for file, size in zip(files, found, strict=True):
        if isinstance(size, UnreadableImageError):
            skipped.append((file, str(size)))
        else:
            sizes[file] = size
    folder = _Folder(printable(root.name or str(root)), root, sizes, skipped=skipped)
    _check_not_empty(folder)
    return folder


def _check_not_empty(folder: _Folder) -> None:
    if folder.sizes:
        return
    examples = "; ".join(f"{printable(file)} ({reason})" for file, reason in folder.skipped[:3])
    raise ValueError(
        f"No readable image in {folder.root}. "
        + (f"Left out: {len(folder.skipped)}, such as {examples}" if examples else "It is empty.")
    )


def _apply_csv(folders: Sequence[_Folder], path: Path) -> None:
    """Give the listed images their labels."""
    listed = labels_from_csv(path)
    missing = set(listed)
    for folder in folders:
        folder.skipped = [
            entry for entry in folder.skipped if folder.root / entry[0] != path.resolve()
        ]
        missing &= match_names(listed, [file for file, _ in folder.skipped])[1]
        folder.classes, lost = match_names(listed, folder.sizes)
        missing &= lost
        if not folder.classes:
            raise ValueError(
                f"The labels in {path} name no image in {folder.root}: names must be relative to "
                f"that folder. Received: {printable(next(iter(listed)))!r}, where the folder has "
                f"{printable(next(iter(folder.sizes)))!r}"
            )
    folders[0].missing = sorted(missing)


def _hold_out(folder: _Folder, fraction: float) -> _Folder:
    """Move a share of each class (of all images, where there are none) to a folder of its own."""
    by_class: dict[str | None, list[str]] = {}
    for file in folder.sizes:
        by_class.setdefault(folder.classes.get(file), []).append(file)
    held_out = set()
    for files in by_class.values():
        # By a hash of the name, an image stays on its side when others are added.
        files.sort(key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
        held_out.update(files[: round(fraction * len(files))])
    if not held_out.intersection(folder.classes):
        held_out.update(_few_labelled(by_class, fraction))
    if not 0 < len(held_out) < len(folder.sizes):
        raise ValueError(
            f"test_fraction must leave some images on both sides. Received: {fraction}, which "
            f"holds out {len(held_out)} of {len(folder.sizes)}"
        )
    sizes, folder.sizes = folder.sizes, {}
    test = _Folder(f"{folder.name} (held out)", folder.root, {}, folder.classes)
    for file, size in sizes.items():
        (test if file in held_out else folder).sizes[file] = size
    return test


def _few_labelled(by_class: dict[str | None, list[str]], fraction: float) -> list[str]:
    """The share of the labelled images, at least one, where their classes are too small for it.

    No more than one of a class, which keeps one at least.
    """
    classes = {name: files for name, files in by_class.items() if name is not None}
    count = max(1, round(fraction * sum(map(len, classes.values()))))
    largest_first = sorted(classes, key=lambda name: (-len(classes[name]), name))
    return [classes[name][0] for name in largest_first[:count] if len(classes[name]) > 1]


def _image_set(
    folder: _Folder,
    class_names: Sequence[str],
    labelled_by: str,
    image_size: int | None,
    in_memory: bool | Literal["auto"],
) -> ImageSet:
    height, width = (image_size, image_size) if image_size else _common_size(folder)
    files = list(folder.sizes)
    labels = None
    if folder.classes:
        number = {name: label for label, name in enumerate(class_names)}
        classes = folder.classes
        numbers = [number[classes[file]] if file in classes else -1 for file in files]
        labels = np.array(numbers, np.int64)
    stream = StreamedFiles(
        folder.name,
        [folder.root / file for file in files],
        (height, width, 3),
        image_size,
        labels=labels,
        class_names=class_names if folder.classes else None,
        sources=tuple(printable(file) for file in files),
        skipped=[(printable(file), reason) for file, reason in sorted(folder.skipped)],
        missing=[printable(name) for name in folder.missing],
        labelled_by=labelled_by,
    )
    return stream.decode_all() if fits_in_memory(in_memory, stream) else stream


def _common_size(folder: _Folder) -> tuple[int, int]:
    first_of_size: dict[tuple[int, int], str] = {}
    for file, size in folder.sizes.items():
        first_of_size.setdefault(size, printable(file))
    if len(first_of_size) > 1:
        (one, file), (other, other_file) = list(first_of_size.items())[:2]
        raise ValueError(
            "The images differ in size: set data.image_size, the side in pixels to which they are "
            f"resized. Received: {file} of {one[1]} x {one[0]}, {other_file} of "
            f"{other[1]} x {other[0]} pixels (width x height)"
        )
    return next(iter(first_of_size))
