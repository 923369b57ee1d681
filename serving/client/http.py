"""Sends the client's REST calls by HTTP, blocking or under asyncio."""

from __future__ import annotations

import email.utils
import ssl
import time
from typing import Any

import httpx

from serving.client.operations import Reply
from serving.client.rest import RestCall, parsed_json
from serving.client.types import ClientError

RETRIED = (429, 503)
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _reply(response: httpx.Response) -> Reply:
    if response.is_success:
        return Reply(value=response.content)
    try:
        message = parsed_json(response.content)["error"]
    except (ValueError, KeyError, TypeError):
        message = response.text.strip() or response.reason_phrase
    status = response.status_code
    return Reply(
        error=ClientError(str(message), CODES.get(status, "UNKNOWN"), status),
        retry=status in RETRIED,
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds or as a date (RFC 9110, section 10.2.3); None if it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except ValueError:
        return None
    return max(0.0, moment - time.time())


def _failure(error: httpx.TransportError) -> Reply:
    """What became of a request that got no answer. Every request here may safely be repeated."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return Reply(error=ClientError(f"No answer in time: {error!r}", "DEADLINE_EXCEEDED"))
    return Reply(error=ClientError(f"No connection: {error!r}", "UNAVAILABLE"), retry=True)


def _httpx_options(
    url: str,
    token: str | None,
    timeout: float,
    ca_file: str | None,
    certificate: tuple[str, str] | None = None,
) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    options: dict[str, Any] = {"base_url": url, "headers": headers, "timeout": timeout}
    if ca_file is not None or certificate is not None:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        options["verify"] = context
    return options


class RestTransport:
    """Sends REST calls over kept connections; safe to use from several threads."""

    def __init__(self, *options: Any) -> None:
        self._client = httpx.Client(**_httpx_options(*options))

    def send(self, call: RestCall) -> Reply:
        try:
            return _reply(self._client.request(call.method, call.path, content=call.body))
        except httpx.TransportError as error:
            return _failure(error)

    def close(self) -> None:
        self._client.close()


class AsyncRestTransport:
    """`RestTransport` for asyncio."""

    def __init__(self, *options: Any) -> None:
        self._client = httpx.AsyncClient(**_httpx_options(*options))

    async def send(self, call: RestCall) -> Reply:
        try:
            return _reply(await self._client.request(call.method, call.path, content=call.body))
        except httpx.TransportError as error:
            return _failure(error)

    async def close(self) -> None:
        await self._client.aclose()
