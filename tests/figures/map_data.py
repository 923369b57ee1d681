"""The data that a page's map holds, read back."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np


def columns_of(item: str) -> dict[str, np.ndarray]:
    """The columns of a map's examples, of the JSON in a page."""
    (data,) = _sources(json.loads(item))
    return {name: _array(column) for name, column in data["entries"]}


def _sources(value: Any) -> list[dict]:
    if isinstance(value, list):
        return [found for each in value for found in _sources(each)]
    if not isinstance(value, dict):
        return []
    own = [value["attributes"]["data"]] if value.get("name") == "ColumnDataSource" else []
    return own + [found for each in value.values() for found in _sources(each)]


def _array(column: Any) -> np.ndarray:
    if not isinstance(column, dict):
        return np.array(column)
    return np.frombuffer(
        gzip.decompress(base64.b64decode(column["array"]["data"])), column["dtype"]
    )
