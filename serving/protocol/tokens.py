"""Bearer tokens: where they come from, and whether a request carries one."""

from __future__ import annotations

import hmac
import pathlib
from collections.abc import Iterable


def read(path: pathlib.Path) -> tuple[str, ...]:
    """The tokens in a file, one on each line; blank lines and lines that start with # are not.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds no token, or one that no HTTP header can carry.
    """
    try:
        lines = [line.strip() for line in path.read_text("ascii").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"Tokens are ASCII. Received: {path}") from None
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise ValueError(f"A token file has a token on each line. Received: {path}, without any")
    return tokens


def permits(authorization: str | None, tokens: Iterable[str]) -> bool:
    """Whether an Authorization header holds one of `tokens`; takes as long for any wrong one."""
    scheme, _, given = (authorization or "").partition(" ")
    received = given.strip().encode()
    # A list, so that every token is compared.
    matches = [hmac.compare_digest(received, token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)
