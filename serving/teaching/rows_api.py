"""The routes by which a model is taught: `/v1/models/NAME/rows`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.engine.models import Models
from serving.errors import ServingError, invalid
from serving.protocol import tokens
from serving.protocol.http.guard import DEADLINE
from serving.teaching.export_facts import read_export_facts
from serving.teaching.new_rows import RowsRefusedError, normalized, read_rows
from serving.teaching.taught_rows import StoredRow
from serving.teaching.teacher import Teacher
from serving.teaching.teachers import Teachers

PATH = "/v1/models/{name:path}/rows"
DEFAULT_PAGE = 100
LONGEST_PAGE = 1000


def routes(models: Models, teachers: Teachers | None) -> list[Route]:
    """The routes; without teachers they answer that the server does not teach."""
    api = RowsApi(models, teachers)
    return [
        Route(PATH, api.teach, methods=["POST"]),
        Route(PATH, api.list, methods=["GET"]),
        Route(PATH, api.forget_label, methods=["DELETE"]),
        Route(PATH + "/{row}", api.show, methods=["GET"]),
        Route(PATH + "/{row}", api.forget, methods=["DELETE"]),
    ]


class RowsApi:
    """The endpoints. Raised errors are answered as `{"error": ...}` with their HTTP status."""

    def __init__(self, models: Models, teachers: Teachers | None) -> None:
        self._models = models
        self._teachers = teachers

    async def teach(self, request: Request) -> Response:
        """`{"rows": [{"image_bytes": {"b64": ...}, "label": ..., "source"?: ...}]}` -> `{"ids"}`."""
        try:
            teacher = self._teacher(request)
            body = await request.body()
            inference, deadline = request.app.state.inference, request.scope.get(DEADLINE)
            rows = await inference.work.read(len(body), deadline, read_rows, body, inference.limits)
            ids = await asyncio.wrap_future(teacher.teach(rows))
        except ServingError as error:
            return _refusal(error)
        return _json({"ids": ids})

    async def list(self, request: Request) -> Response:
        """A page of rows: `?after=ID&limit=N`; `next_after` is there unless it is the last."""
        try:
            teacher = self._teacher(request)
            after = _number(request, "after", highest=-2)
            limit = _number(request, "limit", lowest=1, highest=LONGEST_PAGE) or DEFAULT_PAGE
            rows = await asyncio.to_thread(teacher.store.page, after, limit + 1)
            total = await asyncio.to_thread(teacher.store.__len__)
        except ServingError as error:
            return _refusal(error)
        page = {"rows": [_described(row) for row in rows[:limit]], "total": total}
        if len(rows) > limit:
            page["next_after"] = rows[limit - 1].id
        return _json(page)

    async def show(self, request: Request) -> Response:
        """One row with its image."""
        try:
            teacher = self._teacher(request)
            found = await asyncio.to_thread(teacher.store.read, _row_id(request))
        except ServingError as error:
            return _refusal(error)
        if found is None:
            return _refusal(_no_row(request))
        row, image = found
        encoded = {"b64": base64.b64encode(image).decode("ascii")}
        return _json(_described(row) | {"image_bytes": encoded})

    async def forget(self, request: Request) -> Response:
        """Deletes one row."""
        try:
            deleted = await asyncio.wrap_future(self._teacher(request).forget(_row_id(request)))
        except ServingError as error:
            return _refusal(error)
        return _json({"deleted": deleted}) if deleted else _refusal(_no_row(request))

    async def forget_label(self, request: Request) -> Response:
        """Deletes all rows of a label: `?label=NAME`."""
        try:
            teacher = self._teacher(request)
            if "label" not in request.query_params:
                raise invalid(
                    "Say which rows to delete: /rows/ID, or /rows?label=NAME for all of a label"
                )
            label = normalized(request.query_params["label"])
            deleted = await asyncio.wrap_future(teacher.forget_label(label))
        except ServingError as error:
            return _refusal(error)
        return _json({"deleted": deleted})

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


def _no_row(request: Request) -> ServingError:
    return ServingError(
        grpc.StatusCode.NOT_FOUND,
        f"Model {request.path_params['name']} was taught no such row. "
        f"Received: {request.path_params['row'][:50]}",
    )


def _json(value: dict[str, Any], status: int = 200, headers: dict | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def _refusal(error: ServingError) -> Response:
    body: dict[str, Any] = {"error": error.message}
    if isinstance(error, RowsRefusedError):
        body["rows"] = [
            {"index": index, "error": reason} for index, reason in sorted(error.reasons.items())
        ]
    headers = {} if error.retry_after is None else {"Retry-After": str(round(error.retry_after))}
    return _json(body, error.http_status, headers)
