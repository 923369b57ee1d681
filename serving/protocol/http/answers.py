"""Answers that every part of the HTTP port may give."""

from __future__ import annotations

import math
from typing import Any

import orjson
from starlette.responses import Response

from serving.errors import ServingError


def json_error(
    status: int, message: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """An answer whose body is `{"error": message}`, with more keys if any."""
    body = orjson.dumps({"error": message.encode(errors="replace").decode()} | more)
    return Response(body, status, headers, media_type="application/json")


def refusal(error: ServingError, **more: Any) -> Response:
    """The answer that an error becomes; what may pass says when to ask again."""
    headers = None
    if error.retry_after is not None:
        headers = {"Retry-After": f"{max(1, math.ceil(error.retry_after))}"}
    return json_error(error.http_status, error.message, headers, **more)
