"""Loading a version and finding out whether it can serve, before it does."""

from __future__ import annotations

import pathlib

from serving.servable import Servable


def load_checked(path: pathlib.Path, intra_op_threads: int, inter_op_threads: int) -> Servable:
    """The SavedModel in `path`, loaded and tried.

    Raises ServingError, after freeing what was loaded, if anything is wrong with it.
    """
    return Servable(path, intra_op_threads=intra_op_threads, inter_op_threads=inter_op_threads)
