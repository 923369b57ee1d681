"""TensorFlow Serving's REST API as a starlette application.

Routes, statuses and bodies follow its model_servers/http_rest_api_handler.cc and
http_rest_api_util.cc (github.com/tensorflow/serving).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
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
from serving.engine.models import Models
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError, invalid
from serving.protocol import model_info
from serving.protocol.http.guard import DEADLINE, Guard, json_error
from serving.protocol.inference import DEFAULT_SIGNATURE, Inference
from serving.protocol.request_checks import Limits
from serving.protocol.rest import json_examples, json_outputs, json_tensors, json_text
from serving.settings import Settings

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(rf"{_MODEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?",
    re.IGNORECASE | re.ASCII,
)
_API = re.compile(r"/v1/.*", re.IGNORECASE)
_NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
# Work on JSON of more bytes or numbers than these would hold up other requests.
_MUCH_TEXT = 1 << 19
_MANY_NUMBERS = 1 << 16


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
) -> Starlette:
    """The application: TensorFlow Serving's API, `/healthz`, `/readyz`, `/models` and metrics.

    Args:
        extra_routes: come first, behind the same guard; they find `models`, `inference` and
            `settings` in `request.app.state`.
        measured: what the metrics page shows.
        open_paths: answered without a token, beside the probes.

    `app.state.closing` set to True makes it unready.
    """
    measured = measured or metrics.Metrics()
    limits = Limits(settings.most_rows, settings.most_pixels)
    inference = Inference(models, limits, measured)
    routes = [
        *extra_routes,
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/models", _models),
    ]
    if settings.metrics_path:

        def page(request: Request) -> Response:
            return Response(measured.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

        routes.append(Route(settings.metrics_path, page))
    app = Starlette(
        routes=routes, middleware=[Middleware(Guard, settings=settings, open_paths=open_paths)]
    )
    app.router.redirect_slashes = False
    app.router.default = RestApi(inference, measured)
    app.state.models = models
    app.state.inference = inference
    app.state.settings = settings
    app.state.closing = False
    return app


class RestApi:
    """ASGI application of everything below /v1/; the rest is not found."""

    def __init__(self, inference: Inference, measured: metrics.Metrics) -> None:
        self._inference = inference
        self._metrics = measured
        self._reading = asyncio.Lock()

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
                retry = error.retry_after
                response = json_error(
                    error.http_status,
                    error.message,
                    {"Retry-After": f"{max(1, round(retry))}"} if retry is not None else None,
                )
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
        if not match or method != "POST" or match[4] not in verbs:
            raise invalid(f"Malformed request: {method} {target}")
        spec, verb = _spec(match), match[4]
        # What neither answers nor fails was cancelled.
        start, status = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            answer = await verbs[verb](spec, await request.body(), request.scope.get(DEADLINE))
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

    async def _predict(self, spec: ModelSpec, body: bytes, deadline: float | None) -> Answer:
        with contextlib.ExitStack() as stack:
            async with self._turn(body):
                document = await _parse(body)
                name = json_tensors.read_signature_name(document)
                version = stack.enter_context(self._inference.use(spec))
                infos = _inputs_of(version, name)
                read = json_tensors.read_inputs
                inputs, in_rows = await _apart(len(body) > _MUCH_TEXT, read, document, infos)
                del document
            outputs = await self._inference.predict(version, name, inputs, (), deadline)
            much = sum(np.size(array) for array in outputs.values()) > _MANY_NUMBERS
            write = json_outputs.write_rows if in_rows else json_outputs.write_columns
            return Answer(await _apart(much, write, outputs), version.version)

    async def _classify(self, spec: ModelSpec, body: bytes, deadline: float | None) -> Answer:
        name, examples = await self._examples(body)
        with self._inference.use(spec) as version:
            classes = await self._inference.classify(version, name, examples, deadline)
            return Answer(json_outputs.write_classes(classes.rows()), version.version)

    async def _regress(self, spec: ModelSpec, body: bytes, deadline: float | None) -> Answer:
        name, examples = await self._examples(body)
        with self._inference.use(spec) as version:
            values = await self._inference.regress(version, name, examples, deadline)
            return Answer(json_outputs.write_regressions(values), version.version)

    async def _examples(self, body: bytes) -> tuple[str, np.ndarray]:
        """The signature that a classify or regress request names, and its examples."""
        async with self._turn(body):
            document = await _parse(body)
            name = json_tensors.read_signature_name(document)
            return name, json_examples.read_examples(document)

    def _turn(self, body: bytes) -> contextlib.AbstractAsyncContextManager[None]:
        """Lets one large body be read at a time: as Python's objects it is 20 times as large."""
        return self._reading if len(body) > _MUCH_TEXT else contextlib.nullcontext()


def _spec(match: re.Match[str]) -> ModelSpec:
    """The model, version and label of a path; names are percent-decoded, and never paths."""
    spec = ModelSpec(name=unquote(match[1]))
    if match[2]:
        if int(match[2]) >= 1 << 63:
            raise invalid(
                f"Failed to convert version: {match[2]} to numeric.",
            )
        spec.version.value = int(match[2])
    if match[3]:
        spec.version_label = unquote(match[3])
    return spec


def _inputs_of(version: ServedVersion, signature_name: str) -> Any:
    name = signature_name or DEFAULT_SIGNATURE
    if name not in version.signatures:
        raise invalid(
            f'Serving signature name: "{name}" not found in signature def',
        )
    infos = version.signatures[name].inputs
    if not infos:
        raise invalid(f"Failed to get input map for signature: {name}")
    return infos


async def _parse(body: bytes) -> Any:
    return await _apart(len(body) > _MUCH_TEXT, json_text.parse, body)


async def _apart(much: bool, function: Any, *arguments: Any) -> Any:
    """Calls `function` in a thread where there is much to do, so that other requests go on."""
    if much:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def _healthz(request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _readyz(request: Request) -> Response:
    state = request.app.state
    if state.models.ready and not state.closing:
        return Response(b'{"status":"ready"}', media_type="application/json")
    return Response(b'{"status":"not ready"}', 503, media_type="application/json")


def _models(request: Request) -> Response:
    body = orjson.dumps(model_info.overview(request.app.state.models))
    return Response(body, media_type="application/json")
