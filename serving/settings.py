"""How a server is set up, apart from the models it serves."""

from __future__ import annotations

import dataclasses
import pathlib

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """Ports, limits, security, monitoring and teaching. Sizes are in bytes, times in seconds.

    Port 0 lets the system choose. `tokens` are the bearer tokens that open the server; without
    any it is open. `admin_tokens`, where there are any, are needed to teach and to load models, and
    open all else, too. `allowed_hosts` are names by which the server is called beside `host`,
    loopback names and addresses; "*" is any. `client_ca` are the certificates of those who may
    sign clients' own; None asks for none. `largest_bodies` is what the bodies of all HTTP
    requests in progress may have together; `largest_message` is of gRPC. `metrics_path` None serves
    no metrics, `access_log` None writes none ("-" is standard output). `rows_dir` keeps the rows
    that models are taught, None teaches none; `page` answers a page at `/`.
    """

    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500

    largest_body: int = 32 * MIB
    largest_unzipped_body: int = 32 * MIB
    largest_message: int = 16 * MIB
    largest_bodies: int = 1024 * MIB
    most_rows: int = 16_384
    most_pixels: int = 16_000_000
    most_total_pixels: int = 64_000_000
    most_requests: int = 1024
    request_timeout: float = 60.0
    shutdown_timeout: float = 30.0

    allowed_hosts: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    admin_tokens: tuple[str, ...] = ()
    certificate: pathlib.Path | None = None
    private_key: pathlib.Path | None = None
    client_ca: pathlib.Path | None = None
    cors: bool = False
    metrics_path: str | None = None
    access_log: str | None = None

    rows_dir: pathlib.Path | None = None
    most_taught_rows: int = 100_000
    page: bool = False
