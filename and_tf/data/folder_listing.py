"""Which files a folder holds, in an order that does not depend on the file system."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def list_files(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the regular files under a folder and what was left out, both sorted.

    Links are followed, except to a folder that holds them. Hidden files and folders are left out.

    Args:
        root: the folder.

    Returns:
        Paths relative to `root`, with "/" between their parts, sorted by their bytes; and
        (path, reason) of every entry that is neither a file nor a folder to look into.
    """
    files: list[str] = []
    skipped: list[tuple[str, str]] = []

    def visit(folder: Path, prefix: str, parents: frozenset[tuple[int, int]]) -> None:
        try:
            names = os.listdir(folder)
        except OSError as error:
            skipped.append((prefix, f"folder: {(error.strerror or str(error)).lower()}"))
            return
        for name in names:
            path, relative = folder / name, prefix + name
            if name.startswith("."):
                skipped.append((relative, "hidden"))
                continue
            try:
                status = path.stat()
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                skipped.append(
                    (relative, f"broken link: {reason}" if path.is_symlink() else reason)
                )
                continue
            identity = (status.st_dev, status.st_ino)
            if stat.S_ISREG(status.st_mode):
                files.append(relative)
            elif not stat.S_ISDIR(status.st_mode):
                skipped.append((relative, "neither a file nor a folder"))
            elif identity in parents:
                skipped.append((relative, "a link to a folder that holds it"))
            else:
                visit(path, relative + "/", parents | {identity})

    status = root.stat()
    visit(root, "", frozenset({(status.st_dev, status.st_ino)}))
    return sorted(files, key=os.fsencode), sorted(skipped, key=lambda entry: os.fsencode(entry[0]))
