"""A server that runs beside the tests, in a thread of its own, and plain HTTP to speak to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import pathlib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, NamedTuple

import grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.engine import model_config
from serving.engine.batching_settings import BatchingSettings
from serving.server import Server
from serving.settings import Settings


class Answer(NamedTuple):
    """Status, headers with names in small letters, and body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Running(NamedTuple):
    """A started server and the loop it runs on."""

    server: Server
    loop: asyncio.AbstractEventLoop

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request, its path sent as it is; an iterator is sent in chunks."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.server.rest_port, timeout=60)
        ) as connection:
            connection.request(
                method,
                path,
                body,
                dict(headers or {}),
                encode_chunked=body is not None and not isinstance(body, bytes),
            )
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def channel(self) -> grpc.Channel:
        """A gRPC channel to the server."""
        return grpc.insecure_channel(f"127.0.0.1:{self.server.grpc_port}")

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)


@contextlib.contextmanager
def running(
    models: ModelServerConfig | Mapping[str, pathlib.Path],
    batching: BatchingSettings | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A server of these models on free ports of the loopback."""
    if not isinstance(models, ModelServerConfig):
        models = model_config.from_pairs(f"{name}={path}" for name, path in models.items())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def make() -> Server:
        chosen = Settings(rest_port=0, grpc_port=0, **settings)
        server = Server(models, chosen, poll_seconds=0, batching=batching)
        await server.start()
        return server

    try:
        one = Running(asyncio.run_coroutine_threadsafe(make(), loop).result(120), loop)
        try:
            yield one
        finally:
            one.call(one.server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
