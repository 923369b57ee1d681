"""A model's folder of numbered versions: what lies there, and which of it to serve."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_pb2

Policy: TypeAlias = source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
Contents = tuple[tuple[str, int, int], ...]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What one look at a model's folder says.

    `wanted` maps the numbers of the versions to serve, newest first, to their folders. `waiting`
    are those that a policy would want once their files stop changing. `contents` holds what was
    seen inside the folders that are not served yet, to compare with the next look.
    """

    wanted: Mapping[int, pathlib.Path]
    waiting: Mapping[int, pathlib.Path]
    contents: Mapping[int, Contents]


def version_folders(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The versions in a model's folder, newest first: folders whose name is a number.

    Zeros in front are allowed (`00021` is 21), as in TensorFlow Serving's
    file_system_storage_path_source.cc; what else lies there is passed over.

    Raises OSError if the folder cannot be read.
    """
    found = {}
    for entry in sorted(base_path.iterdir()):
        # `isdecimal` alone would let other scripts' digits pass; versions are int64.
        is_number = entry.name.isascii() and entry.name.isdecimal()
        if is_number and int(entry.name) < 2**63 and entry.is_dir():
            found[int(entry.name)] = entry
    return dict(sorted(found.items(), reverse=True))


def contents_of(folder: pathlib.Path) -> Contents:
    """Path, size in bytes and time of change of every file in a folder, sorted."""
    return tuple(sorted(_files(folder)))


def choose(
    base_path: pathlib.Path,
    policy: Policy,
    served: Collection[pathlib.Path],
    refused: Mapping[int, Contents],
    last_look: Mapping[int, Contents] | None,
) -> Choice:
    """Which versions a policy wants: the latest (one, where it does not say), all, or some.

    Folders in `served` are taken as they are. A version whose contents equal those `refused` does
    not count, so that the latest good one is served. One that has changed since `last_look`
    is waited for, because it may be half copied; None means that there is nothing to compare
    with, and none is waited for.

    Raises OSError if the folder cannot be read.
    """
    folders = version_folders(base_path)
    limit = len(folders)
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        folders = {n: path for n, path in folders.items() if n in policy.specific.versions}
    elif kind != "all":
        limit = max(policy.latest.num_versions, 1)
    wanted: dict[int, pathlib.Path] = {}
    waiting: dict[int, pathlib.Path] = {}
    contents: dict[int, Contents] = {}
    for number, path in folders.items():
        if len(wanted) == limit:
            break
        if path in served:
            wanted[number] = path
            continue
        contents[number] = contents_of(path)
        if refused.get(number) == contents[number]:
            continue
        settled = last_look is None or last_look.get(number) == contents[number]
        (wanted if settled else waiting)[number] = path
    return Choice(wanted, waiting, contents)


def _files(folder: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                status = os.stat(path)
            except FileNotFoundError:  # removed while we look
                continue
            yield path, status.st_size, status.st_mtime_ns
