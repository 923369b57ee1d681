"""One process, one event loop: models, the REST port and the gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import pathlib
import signal
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving import watchdog
from serving.access_log import AccessLog
from serving.engine.batching_settings import BatchingSettings
from serving.engine.models import Models
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.page import routes as page
from serving.protocol import open_files
from serving.protocol.certificates import Certificate
from serving.protocol.grpc.server import GrpcServer
from serving.protocol.http import connection
from serving.protocol.rest.app import build_app
from serving.settings import Settings
from serving.teaching import rows_api
from serving.teaching.teachers import Teachers

# How often health asks the models whether all are available.
_HEALTH_SECONDS = 0.25
# Of the time to stop: for the requests in progress. The rest is for what they leave behind.
_ANSWERING_SHARE = 0.85

_logger = logging.getLogger(__name__)


class StartError(Exception):
    """Why a server cannot start, in one line."""


class Server:
    """Serves models until it is stopped. Belongs to the running event loop.

    `models`, `rest_port`, `grpc_port` and `app` are there once it has started.
    """

    def __init__(
        self,
        config: ModelServerConfig,
        settings: Settings,
        poll_seconds: float = 1.0,
        batching: BatchingSettings | None = None,
    ) -> None:
        """Takes the configuration; `start` does the rest.

        Args:
            poll_seconds, batching: as of `Models`.

        Raises:
            StartError: for a configuration that cannot be served, or a folder that is not there.
        """
        self._settings = settings
        self._metrics = Metrics()
        self._teachers = _teachers(settings)
        try:
            self.models = Models(
                config,
                poll_seconds=poll_seconds,
                batching=batching,
                on_batch=self._metrics.observe_batch,
                before_swap=self._teachers.attach if self._teachers else None,
            )
        except ServingError as error:
            raise StartError(error.message) from error
        for model in config.model_config_list.config:
            if not pathlib.Path(model.base_path).is_dir():
                raise StartError(
                    f"Model {model.name} needs a folder of versions. Received: {model.base_path}"
                )
        if self._teachers is not None:
            self._metrics.show("taught_rows", "Rows that were taught.", self._teachers.rows)
            self._metrics.show(
                "teaching_queue_length", "Requests that wait to teach.", self._teachers.waiting
            )
        routes = rows_api.routes(self.models, self._teachers, self._metrics)
        if settings.page:
            routes += page.routes(self.models, self._teachers)
        open_paths = page.OPEN_PATHS if settings.page else frozenset()
        try:
            self._log = AccessLog(settings.access_log) if settings.access_log else None
        except OSError as error:
            raise StartError(
                f"The access log cannot be written: {error.strerror}. "
                f"Received: {settings.access_log}"
            ) from error
        self.app = build_app(self.models, settings, routes, self._metrics, open_paths, self._log)

    async def start(self) -> None:
        """Opens both ports, then loads the models; returns when that is done.

        Until then the server answers, and is not ready.

        Raises:
            StartError: for a port that is taken, or a certificate that cannot be used.
        """
        settings = self._settings
        listener = _listen(settings.host, settings.rest_port)
        self.rest_port: int = listener.getsockname()[1]
        try:
            self._certificate = Certificate.of(settings)
            self._http = _HttpServer(_uvicorn_config(self.app, settings, self._certificate))
            self._grpc = GrpcServer(
                self.app.state.inference, self._metrics, settings, self._log, self._certificate
            )
        except (OSError, RuntimeError) as error:
            listener.close()
            raise StartError(_why(error, settings)) from error
        self.grpc_port = self._grpc.port
        self._http_task = asyncio.create_task(self._http.serve([listener]))
        await self._grpc.start()
        _logger.info("Listening on ports %d (REST) and %d (gRPC)", self.rest_port, self.grpc_port)
        await self.models.start()
        self._health_task = asyncio.create_task(self._report_health())

    async def stop(self) -> None:
        """Becomes unready, finishes what is in progress within the time limit, frees the models."""
        seconds = _seconds_to_answer(self._settings)
        self.app.state.closing = True
        self._health_task.cancel()
        self._http.should_exit = True
        try:
            async with asyncio.timeout(watchdog.time_left(self._settings.shutdown_timeout)):
                await asyncio.gather(self._http_task, self._grpc.stop(seconds))
                await self.models.close()
        except TimeoutError:
            _logger.warning("Models are still in use")
        self.app.state.inference.work.close()
        if self._teachers is not None:
            await asyncio.to_thread(self._teachers.close)

    async def _report_health(self) -> None:
        reported = None
        while True:
            if self._certificate is not None:
                await asyncio.to_thread(self._certificate.refresh)
            if self.models.ready != reported:
                reported = self.models.ready
                await self._grpc.set_ready(reported)
            await asyncio.sleep(_HEALTH_SECONDS)


async def run(
    config: ModelServerConfig,
    settings: Settings,
    poll_seconds: float = 1.0,
    batching: BatchingSettings | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; prints the ports once every model is available.

    Raises:
        StartError: if it cannot start.
    """
    server = Server(config, settings, poll_seconds, batching)
    # What imports made stays: the collector need not look at it each time that a request makes
    # many lists. Models are loaded after this, and go when they are replaced.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        if not stop.is_set():
            stop.set()
            watchdog.end_within(settings.shutdown_timeout)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_to_stop)
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(server.start())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    await starting
    announcing = asyncio.create_task(_announce(server, settings))
    await stopping
    announcing.cancel()
    _logger.info("Stopping")
    await server.stop()


async def _announce(server: Server, settings: Settings) -> None:
    while not server.models.ready:
        await asyncio.sleep(_HEALTH_SECONDS)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.certificate else "http"
    print(
        f"Serving {', '.join(server.models.names)}: REST at {scheme}://{host}:{server.rest_port}, "
        f"gRPC at {host}:{server.grpc_port}",
        flush=True,
    )


def _seconds_to_answer(settings: Settings) -> float:
    return _ANSWERING_SHARE * watchdog.time_left(settings.shutdown_timeout)


class _HttpServer(uvicorn.Server):
    """Leaves signals to the process, which has another port to close too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _uvicorn_config(
    app: Starlette, settings: Settings, certificate: Certificate | None
) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        # uvicorn declares a class, but only calls it.
        http=functools.partial(  # type: ignore[arg-type]
            connection.LimitedProtocol,
            seconds=settings.request_timeout,
        ),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        # uvicorn declares whole seconds, and passes them on.
        timeout_graceful_shutdown=_seconds_to_answer(settings),  # type: ignore[arg-type]
    )
    config.load()
    config.ssl = certificate.context if certificate else None
    return config


def _teachers(settings: Settings) -> Teachers | None:
    if settings.rows_dir is None:
        return None
    try:
        settings.rows_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"The folder of taught rows cannot be made: {error.strerror}. "
            f"Received: {settings.rows_dir}"
        ) from error
    return Teachers(settings.rows_dir, settings.most_taught_rows)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = open_files.LimitedListener(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise StartError(f"Cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _why(error: Exception, settings: Settings) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            "The certificate and its private key cannot be used. "
            f"Received: {settings.certificate}, {settings.private_key}: {error.reason}"
        )
    if isinstance(error, OSError):
        return f"Cannot read {error.filename}: {error.strerror}"
    return f"Cannot listen on {settings.host}:{settings.grpc_port}"
