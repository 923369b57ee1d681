"""What the gRPC client makes of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from serving.client.grpc import AsyncGrpcTransport, GrpcProtocol, GrpcTransport
from serving.client.operations import Reply


class Refusing(model_service_pb2_grpc.ModelServiceServicer):
    """Refuses in the words that the model's name asks for: its code, and a time to wait."""

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> None:
        code, wait = request.model_spec.name.split("/")
        if wait:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", wait),))
        context.abort(grpc.StatusCode[code], "refused")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Refusing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


def blocking(url: str, model: str) -> Reply:
    transport = GrpcTransport(url, None, 30.0, None)
    try:
        return transport.send(GrpcProtocol(model, None, None).status())
    finally:
        transport.close()


def asynchronous(url: str, model: str) -> Reply:
    async def ask() -> Reply:
        transport = AsyncGrpcTransport(url, None, 30.0, None)
        try:
            return await transport.send(GrpcProtocol(model, None, None).status())
        finally:
            await transport.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [blocking, asynchronous])
@pytest.mark.parametrize(
    ("model", "wait"),
    [
        ("UNAVAILABLE/1500", 1.5),
        ("UNAVAILABLE/", 0.0),
        ("RESOURCE_EXHAUSTED/20", 0.02),
        ("UNAVAILABLE/-1", None),
        ("UNAVAILABLE/soon", None),
        ("NOT_FOUND/", None),
    ],
)
def test_a_refusal_says_whether_and_when_to_ask_again(
    url: str, ask: Callable[[str, str], Reply], model: str, wait: float | None
) -> None:
    reply = ask(url, model)
    assert reply.error is not None
    assert (reply.error.code, str(reply.error)) == (model.split("/")[0], "refused")
    assert reply.retry == (wait is not None)
    if reply.retry:
        assert reply.retry_after == wait
