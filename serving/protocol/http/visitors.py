"""Which hosts, and which web pages, a server answers.

A browser lets any page send requests to a server on loopback, and names the page in `Origin`. A
page whose own name resolves to this machine (DNS rebinding) is of the same origin to the browser:
only the `Host` header tells that it is a stranger. It always holds the page's name, never an
address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import Scope

from serving.protocol.http.answers import json_error
from serving.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::\d*)?", re.ASCII)


class Visitors:
    """Knows whom a server answers, by its settings."""

    def __init__(self, settings: Settings) -> None:
        named = (settings.host, *settings.allowed_hosts)
        self._names = LOOPBACK_NAMES | {name.lower() for name in named}
        self._any_origin = settings.cors

    def refuse(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """The answer to a request that does not belong here; None for one that is welcome."""
        if headers.get(b"upgrade", b"").lower() == b"websocket":
            # HTTP goes on after it, so that whatever follows would be read as a request.
            return json_error(400, "This server speaks no WebSocket", {"Connection": "close"})
        host = headers.get(b"host", b"").decode("latin-1").lower()
        # Every browser sends the header; probes that speak HTTP/1.0 may not.
        if b"host" in headers and not self._is_own(host):
            return json_error(
                403,
                f"This server does not answer for the host {host[:100]!r}; "
                "--allowed-host NAME lets it",
            )
        if not self._any_origin and _is_foreign(scope["method"], host, headers):
            return json_error(403, "Pages of other origins may not ask; --cors lets them")
        return None

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        return "*" in self._names or match[1] in self._names or _is_address(match[1])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_foreign(method: str, host: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page of another origin sends this.

    The scheme is not compared: a proxy in front may have taken TLS off.
    """
    origin = headers.get(b"origin")
    if origin is not None:
        try:
            return urlsplit(origin.decode("latin-1").lower()).netloc != host
        except ValueError:
            return True
    # Of what changes nothing, a link from another page is welcome
    # (https://www.w3.org/TR/fetch-metadata/).
    site = headers.get(b"sec-fetch-site")
    return method not in ("GET", "HEAD") and site in (b"cross-site", b"same-site")
