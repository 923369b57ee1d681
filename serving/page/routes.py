"""A small page at `/`: an image's neighbours, classes and place, and a form to teach it.

It is made of the files in `page/` and asks the REST API for everything else, with the two routes
here that are its own. It loads nothing from elsewhere, as its Content-Security-Policy demands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.engine.models import Models
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError
from serving.page import assets
from serving.protocol.http.answers import json_error
from serving.teaching.export_facts import read_export_facts
from serving.teaching.teachers import Teachers

FILES = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/app.js": ("app.js", "text/javascript"),
    "/page/api.js": ("api.js", "text/javascript"),
    "/page/drawing.js": ("drawing.js", "text/javascript"),
}
# What a browser asks for before anybody could type in a token; none of it is of a model.
OPEN_PATHS = frozenset(FILES)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def routes(models: Models, teachers: Teachers | None) -> list[Route]:
    """The page's files, and what it asks for beside the REST API."""
    files = [
        Route(path, _file(Path(__file__).with_name(name), kind))
        for path, (name, kind) in FILES.items()
    ]
    page = Page(models, teachers)
    return [
        *files,
        Route("/page/models", page.models),
        Route("/page/models/{name:path}/map", page.map),
        Route("/page/models/{name:path}/thumbnails/{row}", page.thumbnail),
    ]


def _file(path: Path, kind: str) -> Callable[[Request], Response]:
    content = path.read_bytes()

    def answer(request: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=kind)

    return answer


class Page:
    """What the page asks for: which models are exports of and_tf, their maps and thumbnails."""

    def __init__(self, models: Models, teachers: Teachers | None) -> None:
        self._models = models
        self._teachers = teachers

    async def models(self, request: Request) -> Response:
        """`{"models": [{"name", "signatures", "class_names", "teachable"}]}`."""
        listed = []
        for name in self._models.names:
            version = self._version(name)
            facts = read_export_facts(version.description) if version else None
            if facts:
                teachable = self._teachers is not None and self._teachers.get(name) is not None
                listed.append(
                    {
                        "name": name,
                        "signatures": sorted(facts.signatures),
                        "class_names": facts.class_names,
                        "teachable": teachable,
                    }
                )
        return _answer(orjson.dumps({"models": listed}), "application/json")

    async def map(self, request: Request) -> Response:
        """The rows' places: `projection.json` of the export."""
        return await self._asset(request, assets.read_map, "application/json")

    async def thumbnail(self, request: Request) -> Response:
        """The picture of one row of the bank."""
        row = request.path_params["row"]
        if len(row) > 9 or not (row.isascii() and row.isdigit()):
            return json_error(404, "The export has none")
        return await self._asset(
            request, lambda path: assets.thumbnail(path, int(row)), "image/webp"
        )

    async def _asset(
        self, request: Request, read: Callable[[Path], bytes | None], kind: str
    ) -> Response:
        version = self._version(request.path_params["name"])
        content = await asyncio.to_thread(read, version.path) if version else None
        if not content:
            return json_error(404, "The export has none")
        return _answer(content, kind)

    def _version(self, name: str) -> ServedVersion | None:
        try:
            with self._models.use(name) as version:
                return version
        except ServingError:
            return None


def _answer(content: bytes, kind: str) -> Response:
    return Response(content, headers=HEADERS, media_type=kind)
