"""Bearer tokens: where they come from, and whether a request carries one."""

from __future__ import annotations

import hmac
import pathlib
import re
from collections.abc import Iterable

from serving.settings import Settings

NEEDED = "A bearer token is needed"
ADMIN_NEEDED = "A bearer token of an administrator is needed to teach or load models"

# What HTTP and gRPC carry in a header, without the space that ends a scheme's name.
_TOKEN = re.compile(r"[!-~]+")


def read(path: pathlib.Path) -> tuple[str, ...]:
    """The tokens in a file; see `parse`.

    Raises:
        OSError: if it cannot be read.
        ValueError: as `parse`.
    """
    return parse(path.read_text("utf-8", errors="replace"), str(path))


def parse(text: str, source: str) -> tuple[str, ...]:
    """The tokens in a text, one on each line; blank lines and lines that start with # are not.

    Args:
        source: where the text comes from, for messages, which never show a token.

    Raises:
        ValueError: if it holds no token, or one that no HTTP header can carry.
    """
    lines = [line.strip() for line in text.splitlines()]
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise ValueError(f"A bearer token is needed on each line. Received: {source}, without any")
    if not all(map(_TOKEN.fullmatch, tokens)):
        raise ValueError(f"Tokens are ASCII, without spaces. Received: {source}, with others")
    return tokens


def may_ask(authorization: str | None, settings: Settings) -> bool:
    """Whether a request with this Authorization header may ask the models."""
    known = settings.tokens + settings.admin_tokens
    return not settings.tokens or permits(authorization, known)


def may_administer(authorization: str | None, settings: Settings) -> bool:
    """Whether a request with this Authorization header may teach and load models.

    Without tokens of administrators whoever may ask may do so.
    """
    if settings.admin_tokens:
        return permits(authorization, settings.admin_tokens)
    return may_ask(authorization, settings)


def permits(authorization: str | None, tokens: Iterable[str]) -> bool:
    """Whether an Authorization header holds one of `tokens`; takes as long for any wrong one."""
    scheme, _, given = (authorization or "").partition(" ")
    received = given.strip().encode()
    # A list, so that every token is compared.
    matches = [hmac.compare_digest(received, token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)
