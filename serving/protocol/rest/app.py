"""TensorFlow Serving's REST API as a starlette application.

Routes, statuses and bodies follow its model_servers/http_rest_api_handler.cc and
http_rest_api_util.cc (github.com/tensorflow/serving).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import grpc
import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving import metrics
from serving.access_log import AccessLog
from serving.engine.models import Models
from serving.errors import ServingError, invalid
from serving.protocol import model_info
from serving.protocol.http.answers import refusal
from serving.protocol.http.guard import DEADLINE, Guard
from serving.protocol.http.logged import Logged
from serving.protocol.inference import Inference
from serving.protocol.request_checks import Limits, Question
from serving.protocol.rest import json_outputs, openapi, uploads
from serving.protocol.rest.json_requests import read_examples, read_predict
from serving.protocol.room import Room
from serving.settings import Settings

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(
    rf"{_MODEL}:(classify|regress|predict|embed|neighbours)(?:\?k=(\d{{1,9}}))?",
    re.IGNORECASE | re.ASCII,
)
_GET = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?",
    re.IGNORECASE | re.ASCII,
)
_API = re.compile(r"/v1/.*", re.IGNORECASE)
_NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


class Answer(NamedTuple):
    """A body, and the version of the model that gave it."""

    body: bytes
    version: int | None = None


def build_app(
    models: Models,
    settings: Settings,
    extra_routes: Sequence[BaseRoute] = (),
    measured: metrics.Metrics | None = None,
    open_paths: frozenset[str] = frozenset(),
    log: AccessLog | None = None,
) -> Starlette:
    """The application: TensorFlow Serving's API, `/healthz`, `/readyz`, `/models`, `/openapi.json`, metrics.

    Args:
        extra_routes: come first, behind the same guard; they find `models`, `inference` and
            `settings` in `request.app.state`.
        measured: what the metrics page shows.
        open_paths: answered without a token, beside the probes.
        log: of all requests; None for none.

    `app.state.closing` set to True makes it unready.
    """
    measured = measured or metrics.Metrics()
    limits = Limits(settings.most_rows, settings.most_pixels, settings.most_total_pixels)
    inference = Inference(models, limits, measured, Room(settings.largest_bodies))
    routes = [
        *extra_routes,
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/models", _models),
        Route("/openapi.json", _openapi),
    ]
    if settings.metrics_path:

        def page(request: Request) -> Response:
            return Response(measured.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

        routes.append(Route(settings.metrics_path, page))
    app = Starlette(
        routes=routes,
        middleware=[
            *([Middleware(Logged, log=log)] if log else []),
            Middleware(
                Guard,
                settings=settings,
                work=inference.work,
                room=inference.room,
                on_refusal=lambda status: measured.observe_refusal("REST", str(status)),
                open_paths=open_paths,
            ),
        ],
    )
    app.router.redirect_slashes = False
    app.router.default = RestApi(inference, measured)
    app.state.models = models
    app.state.inference = inference
    app.state.settings = settings
    app.state.closing = False
    measured.show("queued_rows", "Rows that wait for a batch.", models.queued_rows)
    measured.show(
        "reading_queue_length",
        "Large requests that are read, or wait for it.",
        lambda: {"": inference.work.waiting},
    )
    measured.show(
        "request_bytes",
        "Bytes that the requests in progress hold.",
        lambda: {"": inference.room.taken},
    )
    return app


class RestApi:
    """ASGI application of everything below /v1/; the rest is not found."""

    def __init__(self, inference: Inference, measured: metrics.Metrics) -> None:
        self._inference = inference
        self._metrics = measured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        # The path as it was sent, and the query string too, is what TensorFlow Serving matches.
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += f"?{scope['query_string'].decode('latin-1')}"
        if not _API.fullmatch(target):
            response = Response(_NOT_FOUND, 404, media_type="text/html")
        else:
            try:
                answer = await self._answer(Request(scope, receive), target)
            except ServingError as error:
                response = refusal(error)
            else:
                known = answer.version is not None
                headers = {"X-Model-Version": str(answer.version)} if known else None
                response = Response(answer.body, 200, headers, media_type="application/json")
        await response(scope, receive, send)

    async def _answer(self, request: Request, target: str) -> Answer:
        method = request.method
        match = {"POST": _POST, "GET": _GET}.get(method, _POST).fullmatch(target)
        if match and method == "GET":
            return self._describe(match)
        verbs = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        if uploads.is_upload(request.headers.get("content-type", "")):
            verbs |= dict.fromkeys(uploads.VERBS, self._upload)
        if not match or method != "POST" or match[4] not in verbs:
            raise invalid(f"Malformed request: {method} {target}")
        spec, verb = _spec(match), match[4]
        # What neither answers nor fails was cancelled.
        start, status = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            if match[5] and verbs[verb] not in (self._predict, self._upload):
                raise invalid(f"k does not belong to {verb}")
            answer = await verbs[verb](spec, request, request.scope.get(DEADLINE))
            status = grpc.StatusCode.OK
            return answer
        except Exception as error:
            status = error.code if isinstance(error, ServingError) else grpc.StatusCode.INTERNAL
            raise
        finally:
            if spec.name in self._inference.models.names:
                seconds = time.perf_counter() - start
                self._metrics.observe_request(spec.name, verb, "REST", status.name, seconds)

    def _describe(self, match: re.Match[str]) -> Answer:
        """Status or metadata of a model."""
        if not match[1]:
            raise invalid("Missing model name in request.")
        spec = _spec(match)
        if match[4] != "metadata":
            status = model_info.status(self._inference.models, spec)
            return Answer(orjson.dumps(model_info.to_json(status)))
        with self._inference.use(spec) as version:
            found = model_info.to_json(model_info.signatures(version))
            shown = {
                "model_spec": model_info.to_json(model_info.spec_of(version)),
                "metadata": {"signature_def": found},
            }
            return Answer(orjson.dumps(shown), version.version)

    async def _predict(self, spec: ModelSpec, request: Request, deadline: float | None) -> Answer:
        ask, work = self._inference, self._inference.work
        with ask.use(spec) as version:
            body = await request.body()
            question, in_rows = await work.read(
                len(body), deadline, read_predict, body, dict(version.signatures), ask.limits
            )
            outputs = await ask.predict(version, question, deadline)
            outputs = json_outputs.nearest(_k(request), question.signature_name, outputs)
            numbers = sum(np.size(array) for array in outputs.values())
            write = json_outputs.write_rows if in_rows else json_outputs.write_columns
            return Answer(await work.write(numbers, deadline, write, outputs), version.version)

    async def _classify(self, spec: ModelSpec, request: Request, deadline: float | None) -> Answer:
        ask, work = self._inference, self._inference.work
        with ask.use(spec) as version:
            name, examples = await self._examples(request, deadline)
            classes = await ask.classify(version, name, examples, deadline)
            write = json_outputs.write_classes
            return Answer(await work.write(classes.size, deadline, write, classes), version.version)

    async def _regress(self, spec: ModelSpec, request: Request, deadline: float | None) -> Answer:
        with self._inference.use(spec) as version:
            name, examples = await self._examples(request, deadline)
            values = await self._inference.regress(version, name, examples, deadline)
            return Answer(json_outputs.write_regressions(values), version.version)

    async def _upload(self, spec: ModelSpec, request: Request, deadline: float | None) -> Answer:
        """What `embed`, `classify` or `neighbours` gives for each image of the body."""
        ask, work = self._inference, self._inference.work
        name = f"{request.url.path.rpartition(':')[2]}_bytes"
        with ask.use(spec) as version:
            if name not in version.signatures:
                raise invalid(f"Model {version.name} takes no images: it has no signature {name}")
            kind, body = request.headers["content-type"], await request.body()
            signature = version.signatures[name]
            questions = await work.read(
                len(body), deadline, uploads.read_questions, kind, body, name, signature, ask.limits
            )

            async def answer(
                question: Question | ServingError,
            ) -> dict[str, np.ndarray] | ServingError:
                if isinstance(question, ServingError):
                    return question
                try:
                    outputs = await ask.predict(version, question, deadline)
                    return json_outputs.nearest(_k(request), name, outputs)
                except ServingError as error:
                    if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                        raise
                    return uploads.without_row(error)

            # The engine joins them to batches, and tries those of a failed one alone.
            results = await asyncio.gather(*map(answer, questions))
            return Answer(json_outputs.write_results(results), version.version)

    async def _examples(self, request: Request, deadline: float | None) -> tuple[str, np.ndarray]:
        body = await request.body()
        return await self._inference.work.read(len(body), deadline, read_examples, body)


def _spec(match: re.Match[str]) -> ModelSpec:
    """The model, version and label of a path; names are percent-decoded, and never paths."""
    spec = ModelSpec(name=unquote(match[1]))
    if match[2]:
        # int() itself refuses some thousands of digits.
        if len(match[2]) > 19 or int(match[2]) >= 1 << 63:
            raise invalid(f"Failed to convert version: {match[2][:50]} to numeric.")
        spec.version.value = int(match[2])
    if match[3]:
        spec.version_label = unquote(match[3])
    return spec


def _k(request: Request) -> int | None:
    given = request.query_params.get("k")
    return None if given is None else int(given)


def _healthz(request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _readyz(request: Request) -> Response:
    state = request.app.state
    if state.models.ready and not state.closing:
        return Response(b'{"status":"ready"}', media_type="application/json")
    return Response(b'{"status":"not ready"}', 503, media_type="application/json")


def _openapi(request: Request) -> Response:
    body = orjson.dumps(openapi.describe(request.app.state.settings))
    return Response(body, media_type="application/json")


def _models(request: Request) -> Response:
    body = orjson.dumps(model_info.overview(request.app.state.models))
    return Response(body, media_type="application/json")
