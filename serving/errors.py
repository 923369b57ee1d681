"""The one error that serving raises, and how gRPC, HTTP and TensorFlow name it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    import tensorflow as tf

# As TensorFlow Serving 2.20 answers: ToHTTPStatusCode in its model_servers/http_server.cc.
_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_FIRST_OF_MANY = re.compile(
    r"\d+ root error\(s\) found\.\s+\(0\) [A-Z_]+: (.*?)\s+\(1\) ", re.DOTALL
)
_NODES = re.compile(r"\s*\[\[.*?\]\]|\{\{(?:function_)?node [^}]*\}\}\s*")
_CODE_OF_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request, a version or a configuration that cannot be served, and why.

    `code` is gRPC's, `message` is what the client reads. `retry_after` is the number of seconds
    after which a refused request may be worth sending again; None where that does not depend on
    time.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    @property
    def http_status(self) -> int:
        """The HTTP status that TensorFlow Serving gives this code."""
        return _HTTP_STATUS[self.code]


def invalid(message: str) -> ServingError:
    """What is wrong with a request: INVALID_ARGUMENT."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def deadline_exceeded() -> ServingError:
    """Nobody waits for the answer any more: DEADLINE_EXCEEDED."""
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "The answer was not ready before the deadline"
    )


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """What TensorFlow raised, under the same code: both count as google.rpc.Code does.

    Without the nodes of the graph that it names, and one error where the same failed many times.
    """
    first = _FIRST_OF_MANY.match(error.message)
    message = _NODES.sub("", first[1] if first else error.message)
    return ServingError(_CODE_OF_NUMBER[error.error_code], message.strip())
