"""The routes by which a model is taught: `/v1/models/NAME/rows`."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.engine.models import Models
from serving.errors import ServingError, invalid
from serving.metrics import Metrics
from serving.protocol import tokens
from serving.protocol.http.answers import refusal
from serving.protocol.http.guard import DEADLINE
from serving.teaching.export_facts import read_export_facts
from serving.teaching.new_rows import RowsRefusedError, normalized, read_lines, read_rows
from serving.teaching.taught_rows import StoredRow
from serving.teaching.teacher import Teacher
from serving.teaching.teachers import Teachers

PATH = "/v1/models/{name:path}/rows"
# One JSON object a line (https://github.com/ndjson/ndjson-spec): needs no library on either side,
# can be read line by line, and holds rows as the API has them.
LINES = "application/x-ndjson"
DEFAULT_PAGE = 100
LONGEST_PAGE = 1000

_Endpoint = Callable[[Request, Teacher], Awaitable[ASGIApp]]


def routes(models: Models, teachers: Teachers | None, measured: Metrics) -> list[Route]:
    """The routes; without teachers they answer that the server does not teach."""
    api = RowsApi(models, teachers, measured)
    return [
        Route(path, api.answering(endpoint), methods=[method])
        for path, method, endpoint in (
            (PATH, "POST", api.teach),
            (PATH, "GET", api.list),
            (PATH, "DELETE", api.forget_label),
            (f"{PATH}:export", "GET", api.export),
            (f"{PATH}/{{row}}", "GET", api.show),
            (f"{PATH}/{{row}}", "DELETE", api.forget),
        )
    ]


class RowsApi:
    """The endpoints. Raised errors are answered as `{"error": ...}` with their HTTP status."""

    def __init__(self, models: Models, teachers: Teachers | None, measured: Metrics) -> None:
        self._models = models
        self._teachers = teachers
        self._metrics = measured

    def answering(self, endpoint: _Endpoint) -> Callable[[Request], Awaitable[ASGIApp]]:
        """The endpoint with the model's teacher; errors are answered, changes counted."""

        @functools.wraps(endpoint)
        async def answer(request: Request) -> ASGIApp:
            status = grpc.StatusCode.CANCELLED
            try:
                response = await endpoint(request, self._teacher(request))
                status = grpc.StatusCode.OK
            except ServingError as error:
                status, response = error.code, _refusal(error)
            finally:
                model = request.path_params["name"]
                if request.method != "GET" and model in self._models.names:
                    self._metrics.observe_teaching(model, status.name)
            return response

        return answer

    async def teach(self, request: Request, teacher: Teacher) -> Response:
        """`{"rows": [{"image_bytes": {"b64": ...}, "label": ..., "source"?: ...}]}` -> `{"ids"}`.

        Or the rows as lines (`Content-Type: application/x-ndjson`), as `export` gives them.
        """
        body = await request.body()
        lines = request.headers.get("content-type", "").partition(";")[0].strip() == LINES
        inference, deadline = request.app.state.inference, request.scope.get(DEADLINE)
        rows = await inference.work.read(
            len(body), deadline, read_lines if lines else read_rows, body, inference.limits
        )
        return _json({"ids": await asyncio.wrap_future(teacher.teach(rows))})

    async def list(self, request: Request, teacher: Teacher) -> Response:
        """A page of rows: `?after=ID&limit=N&label=NAME`; `next_after` unless it is the last."""
        limit = _limit(request) or DEFAULT_PAGE
        label = _label(request)
        rows = await asyncio.to_thread(teacher.store.page, _after(request), limit + 1, label)
        total = await asyncio.to_thread(teacher.store.count, label)
        page = {"rows": [_described(row) for row in rows[:limit]], "total": total}
        if len(rows) > limit:
            page["next_after"] = rows[limit - 1].id
        return _json(page)

    async def export(self, request: Request, teacher: Teacher) -> ASGIApp:
        """Rows with their images, a line of JSON each: `?after=ID&limit=N&label=NAME`."""
        after, limit, label = _after(request), _limit(request), _label(request)
        # A store that cannot be read says so before the answer begins.
        found = await asyncio.to_thread(teacher.store.read_next, after, label)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal found, limit
            headers = [(b"content-type", LINES.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while found is not None and limit != 0:
                line = await asyncio.to_thread(_line, *found)
                await send({"type": "http.response.body", "body": line, "more_body": True})
                limit = None if limit is None else limit - 1
                found = await asyncio.to_thread(teacher.store.read_next, found[0].id, label)
            await send({"type": "http.response.body", "body": b""})

        return answer

    async def show(self, request: Request, teacher: Teacher) -> Response:
        """One row with its image."""
        found = await asyncio.to_thread(teacher.store.read, _row_id(request))
        if found is None:
            raise _no_row(request)
        return Response(await asyncio.to_thread(_line, *found), media_type="application/json")

    async def forget(self, request: Request, teacher: Teacher) -> Response:
        """Deletes one row."""
        deleted = await asyncio.wrap_future(teacher.forget(_row_id(request)))
        if not deleted:
            raise _no_row(request)
        return _json({"deleted": deleted})

    async def forget_label(self, request: Request, teacher: Teacher) -> Response:
        """Deletes all rows of a label: `?label=NAME`."""
        label = _label(request)
        if label is None:
            raise invalid(
                "Say which rows to delete: /rows/ID, or /rows?label=NAME for all of a label"
            )
        return _json({"deleted": await asyncio.wrap_future(teacher.forget_label(label))})

    def _teacher(self, request: Request) -> Teacher:
        """The teacher of the model in the path.

        Raises:
            ServingError: NOT_FOUND for an unknown model, FAILED_PRECONDITION with the reason for
                one that cannot be taught, UNAUTHENTICATED for a change without the token it needs.
        """
        settings = request.app.state.settings
        if request.method != "GET" and not tokens.may_administer(
            request.headers.get("authorization"), settings
        ):
            raise ServingError(grpc.StatusCode.UNAUTHENTICATED, tokens.ADMIN_NEEDED)
        name = request.path_params["name"]
        with self._models.use(name) as version:
            facts = read_export_facts(version.description)
        if facts is None:
            reason = "it is no export of and_tf.export (no assets.extra/and_tf.json that fits)"
        elif facts.taught is None:
            reason = "it was exported without rows to compare with"
        elif self._teachers is None:
            reason = "the server keeps no rows; start it with --rows-dir"
        else:
            teacher = self._teachers.get(name)
            if teacher is not None:
                return teacher
            reason = "no version of it that is loaded can be taught"
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f"Model {name} cannot be taught: {reason}"
        )


def _number(
    request: Request, key: str, lowest: int = -(2**63), highest: int = 2**63 - 1
) -> int | None:
    text = request.query_params.get(key)
    if text is None:
        return None
    number = _integer(text)
    if number is None or not lowest <= number <= highest:
        raise invalid(f"{key} must be a whole number that fits. Received: {text[:50]!r}")
    return number


def _after(request: Request) -> int | None:
    return _number(request, "after", highest=-2)


def _limit(request: Request) -> int | None:
    return _number(request, "limit", lowest=1, highest=LONGEST_PAGE)


def _label(request: Request) -> str | None:
    label = request.query_params.get("label")
    return None if label is None else normalized(label)


def _row_id(request: Request) -> int:
    row = _integer(request.path_params["row"])
    if row is None or not -(2**63) <= row < 2**63:
        raise _no_row(request)
    return row


def _integer(text: str) -> int | None:
    # int() takes more than digits, and any number of them.
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else None


def _described(row: StoredRow) -> dict[str, Any]:
    return {"id": row.id, "label": row.label, "source": row.source, "time": row.time}


def _line(row: StoredRow, image: bytes) -> bytes:
    """A row with its image in JSON, and the end of the line."""
    encoded = {"b64": base64.b64encode(image).decode("ascii")}
    return orjson.dumps(
        _described(row) | {"image_bytes": encoded}, option=orjson.OPT_APPEND_NEWLINE
    )


def _no_row(request: Request) -> ServingError:
    return ServingError(
        grpc.StatusCode.NOT_FOUND,
        f"Model {request.path_params['name']} was taught no such row. "
        f"Received: {request.path_params['row'][:50]}",
    )


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _refusal(error: ServingError) -> Response:
    if not isinstance(error, RowsRefusedError):
        return refusal(error)
    rows = [{"index": index, "error": reason} for index, reason in sorted(error.reasons.items())]
    return refusal(error, rows=rows)
