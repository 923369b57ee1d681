"""The gRPC port: services, health, reflection, token and limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from serving.access_log import AccessLog
from serving.metrics import Metrics
from serving.protocol import tokens
from serving.protocol.certificates import Certificate
from serving.protocol.grpc import reflected, services
from serving.protocol.inference import Inference
from serving.protocol.open_files import most_connections
from serving.settings import Settings

_SERVICES = ("", services.PredictionService.NAME, services.ModelService.NAME)
_NAME_OF_CODE: dict[Any, str] = {code.value[0]: code.name for code in grpc.StatusCode}
_HEALTH = "/grpc.health.v1.Health/"
_ADMINISTERS = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


class GrpcServer:
    """The services on one port. Belongs to the running event loop."""

    def __init__(
        self,
        inference: Inference,
        metrics: Metrics,
        settings: Settings,
        log: AccessLog | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Binds the port; `log` gets all calls but those of health and reflection.

        Raises:
            RuntimeError: if the port cannot be bound.
        """
        self._server = grpc.aio.server(
            interceptors=[
                *([_LogInterceptor(log)] if log else []),
                _TokenInterceptor(settings, metrics),
            ],
            maximum_concurrent_rpcs=settings.most_requests,
            options=[
                ("grpc.max_receive_message_length", settings.largest_message),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_allowed_incoming_connections", most_connections()),
                # Until a connection has said that it speaks HTTP/2, and over TLS.
                ("grpc.server_handshake_timeout_ms", round(1000 * settings.request_timeout)),
                # A port in use is an error, not shared.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = health_aio.HealthServicer()
        self._server.add_generic_rpc_handlers(
            (
                services.handlers(services.PredictionService(inference, metrics, settings)),
                services.handlers(services.ModelService(inference.models, inference.room)),
                _health_handlers(self._health),
                reflected.handlers(),
            )
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        self.port: int = (
            self._server.add_secure_port(address, certificate.credentials())
            if certificate
            else self._server.add_insecure_port(address)
        )

    async def start(self) -> None:
        """Accepts calls; health says NOT_SERVING."""
        await self.set_ready(False)
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """What health says from now on."""
        status = health_pb2.HealthCheckResponse
        for service in _SERVICES:
            await self._health.set(service, status.SERVING if ready else status.NOT_SERVING)

    async def stop(self, seconds: float) -> None:
        """Takes no more calls and waits for those in progress, which are cancelled in the end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)


class _LogInterceptor(grpc.aio.ServerInterceptor):
    """Writes calls to the access log, refused ones too; health and reflection are not told of."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler of a call, which writes when it has answered."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not handler.unary_unary or method.startswith(_HEALTH):
            return handler
        metadata: dict[str, Any] = dict(handler_call_details.invocation_metadata)
        answer: Any = handler.unary_unary

        async def logged(raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
            with self._log.entry(
                metadata.get("x-request-id"),
                client=context.peer(),
                method=method,
                code=grpc.StatusCode.CANCELLED.name,
                received=len(raw),
                sent=0,
            ) as entry:
                response = b""
                try:
                    response = await answer(raw, context)
                finally:
                    # A status, its number, or None or 0 before any was set: the stubs say the first.
                    code: Any = context.code()
                    entry["code"] = getattr(code, "name", None) or _NAME_OF_CODE.get(code, "OK")
                    entry["sent"] = len(response)
                return response

        return grpc.unary_unary_rpc_method_handler(logged)


class _TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without the token that they need; health needs none."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler of a call, or one that refuses it."""
        method = handler_call_details.method
        metadata: dict[str, Any] = dict(handler_call_details.invocation_metadata)
        authorization = metadata.get("authorization")
        if method.startswith(_HEALTH):
            return await continuation(handler_call_details)
        if not tokens.may_ask(authorization, self._settings):
            return self._refusal(tokens.NEEDED)
        if method == _ADMINISTERS and not tokens.may_administer(authorization, self._settings):
            return self._refusal(tokens.ADMIN_NEEDED)
        return await continuation(handler_call_details)

    def _refusal(self, message: str) -> grpc.RpcMethodHandler:
        status = grpc.StatusCode.UNAUTHENTICATED

        async def refuse(request: bytes, context: grpc.aio.ServicerContext) -> NoReturn:
            self._metrics.observe_refusal("GRPC", status.name)
            await context.abort(status, message)

        return grpc.unary_unary_rpc_method_handler(refuse)


def _health_handlers(health: health_aio.HealthServicer) -> grpc.GenericRpcHandler:
    def read(raw: bytes) -> health_pb2.HealthCheckRequest:
        # No service has so long a name.
        return health_pb2.HealthCheckRequest.FromString(raw if len(raw) < 1024 else b"\x0a\x01?")

    write = health_pb2.HealthCheckResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(health.Check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(health.Watch, read, write),
        },
    )
