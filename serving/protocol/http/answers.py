"""Answers that every part of the HTTP port may give."""

from __future__ import annotations

import orjson
from starlette.responses import Response


def json_error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An answer whose body is `{"error": message}`."""
    body = orjson.dumps({"error": message.encode(errors="replace").decode()})
    return Response(body, status, headers, media_type="application/json")
