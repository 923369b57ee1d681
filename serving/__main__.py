"""The embedded server: `python -m serving --model NAME=PATH`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serving.engine.batching_settings import BatchingSettings
from serving.log_lines import OneLineFormatter
from serving.protocol import tokens
from serving.settings import MIB, Settings

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

TOKEN_VARIABLE = "SERVING_TOKEN"

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DEFAULT = "default: %(default)s"
# By option: the field of `Settings`, its type and unit, and what is said of it.
_LIMITS: tuple[tuple[str, str, type, int, str], ...] = (
    ("max-body-mib", "largest_body", float, MIB, ""),
    ("max-unzipped-mib", "largest_unzipped_body", float, MIB, ""),
    ("max-message-mib", "largest_message", float, MIB, "of gRPC; "),
    ("max-total-mib", "largest_bodies", float, MIB, "of all requests in progress; "),
    ("max-rows", "most_rows", int, 1, "of a request; "),
    ("max-pixels", "most_pixels", int, 1, "of an image; "),
    ("max-total-pixels", "most_total_pixels", int, 1, "of all images of a request; "),
    ("max-requests", "most_requests", int, 1, "at a time; "),
    ("max-taught-rows", "most_taught_rows", int, 1, "of a model; "),
    ("request-timeout", "request_timeout", float, 1, "seconds; "),
    ("shutdown-timeout", "shutdown_timeout", float, 1, "seconds; "),
)

_logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit status."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    before = _leave_on_signals()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        _check(options)
        if options.host not in _LOOPBACK and not _tokens(options):
            _logger.warning("Whoever reaches %s may use this server: no token is set", options.host)
        # TensorFlow takes seconds to import: only now that the arguments are in order.
        from serving import server

        try:
            asyncio.run(
                server.run(
                    _config(options),
                    _settings(options),
                    options.poll_seconds,
                    _batching(options),
                )
            )
        except server.StartError as error:
            raise ValueError(str(error)) from error
    except (OSError, ValueError) as error:
        print(f"python -m serving: {_one_line(error)}", file=sys.stderr)
        return 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _leave_on_signals() -> dict[int, Any]:
    """Ends the process in order when it is told to stop while it imports; what was set before.

    The server takes the signals over when it starts. Until then there is nothing to finish.
    """
    return {
        number: signal.signal(number, lambda *_: os._exit(0))
        for number in (signal.SIGTERM, signal.SIGINT)
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serve SavedModels as TensorFlow Serving does, over REST and gRPC.",
    )
    defaults = Settings()
    add = parser.add_argument_group("models").add_argument
    add("--model", action="append", default=[], metavar="NAME=PATH", help="a folder of versions")
    add("--model-config", type=pathlib.Path, metavar="FILE", help="a models.config in text form")
    add("--poll-seconds", type=float, default=1.0, help="between looks for versions; 0: only once")

    add = parser.add_argument_group("addresses (port 0: any that is free)").add_argument
    add("--host", default=defaults.host, help="default: %(default)s")
    add("--rest-port", type=int, default=defaults.rest_port, help="default: %(default)s")
    add("--grpc-port", type=int, default=defaults.grpc_port, help="default: %(default)s")

    batching = BatchingSettings()
    add = parser.add_argument_group("batching").add_argument
    add("--batch-size", type=int, default=batching.max_batch_size, help=f"rows; {_DEFAULT}")
    add("--batch-timeout-ms", type=float, default=batching.batch_timeout * 1000, help=_DEFAULT)
    add("--batch-sizes", type=int, nargs="+", default=[], help="batches are padded to one of these")
    add("--batch-threads", type=int, default=batching.num_batch_threads, help=_DEFAULT)
    add("--max-queued-rows", type=int, default=batching.max_queued_rows, help=_DEFAULT)

    add = parser.add_argument_group("limits").add_argument
    for flag, field, kind, unit, text in _LIMITS:
        default = kind(getattr(defaults, field) / unit)
        add(f"--{flag}", type=kind, default=default, help=f"{text}{_DEFAULT}")

    add = parser.add_argument_group("security").add_argument
    add(
        "--token-file",
        type=pathlib.Path,
        metavar="FILE",
        help=f"bearer tokens, one on each line; {TOKEN_VARIABLE} in the environment is one, too",
    )
    add(
        "--admin-token-file",
        type=pathlib.Path,
        metavar="FILE",
        help="tokens that are needed to teach and to load models; default: those that may ask may",
    )
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients call the server, beside localhost, --host and addresses; "
        "* is any",
    )
    add("--certificate", type=pathlib.Path, metavar="FILE", help="for TLS on both ports, in PEM")
    add("--private-key", type=pathlib.Path, metavar="FILE", help="of the certificate, in PEM")
    add(
        "--client-ca",
        type=pathlib.Path,
        metavar="FILE",
        help="clients need a certificate that one of these has signed, in PEM",
    )
    add("--cors", action="store_true", help="let pages of other origins ask")

    add = parser.add_argument_group("monitoring").add_argument
    add("--metrics", action="store_true", help="for Prometheus, at /monitoring/prometheus/metrics")
    add(
        "--access-log", metavar="FILE", help="a line of JSON for each request; - is standard output"
    )
    add("--monitoring-config", type=pathlib.Path, metavar="FILE", help="TensorFlow Serving's file")

    add = parser.add_argument_group("teaching").add_argument
    add(
        "--rows-dir",
        type=pathlib.Path,
        metavar="DIR",
        help="keep the rows that models are taught here; without it none can be",
    )
    add("--page", action="store_true", help="answer a page at / that shows what models say")
    return parser


def _check(options: argparse.Namespace) -> None:
    if not options.model and not options.model_config:
        raise ValueError("Nothing to serve. Give --model NAME=PATH or --model-config FILE")
    if options.model and options.model_config:
        raise ValueError("Give --model or --model-config, not both")
    if bool(options.certificate) != bool(options.private_key):
        raise ValueError("TLS needs --certificate and --private-key")
    if options.client_ca and not options.certificate:
        raise ValueError("--client-ca needs --certificate and --private-key")
    for name in ("rest_port", "grpc_port"):
        if not 0 <= getattr(options, name) <= 65535:
            raise ValueError(f"A port is 0 to 65535. Received: {getattr(options, name)}")
    for flag, *_ in _LIMITS:
        if not 0 < (given := _given(options, flag)) < math.inf:
            raise ValueError(f"--{flag} must be more than 0, and finite. Received: {given}")


def _given(options: argparse.Namespace, flag: str) -> float:
    return getattr(options, flag.replace("-", "_"))


def _config(options: argparse.Namespace) -> ModelServerConfig:
    from serving.engine import model_config

    if options.model_config:
        return model_config.read(options.model_config)
    return model_config.from_pairs(options.model)


def _settings(options: argparse.Namespace) -> Settings:
    from serving import metrics, monitoring_config

    limits: dict[str, Any] = {}
    for flag, field, _, unit, _ in _LIMITS:
        given = _given(options, flag)
        limits[field] = round(given * unit) if unit == MIB else given
    path = metrics.DEFAULT_PATH if options.metrics else None
    if options.monitoring_config:
        path = monitoring_config.metrics_path(options.monitoring_config)
    return Settings(
        host=options.host,
        rest_port=options.rest_port,
        grpc_port=options.grpc_port,
        allowed_hosts=tuple(options.allowed_host),
        tokens=_tokens(options),
        admin_tokens=tokens.read(options.admin_token_file) if options.admin_token_file else (),
        certificate=options.certificate,
        private_key=options.private_key,
        client_ca=options.client_ca,
        cors=options.cors,
        metrics_path=path,
        access_log=options.access_log,
        rows_dir=options.rows_dir,
        page=options.page,
        **limits,
    )


def _tokens(options: argparse.Namespace) -> tuple[str, ...]:
    known = tokens.read(options.token_file) if options.token_file else ()
    if text := os.environ.get(TOKEN_VARIABLE):
        known += tokens.parse(text, f"{TOKEN_VARIABLE} in the environment")
    return known


def _batching(options: argparse.Namespace) -> BatchingSettings:
    return BatchingSettings(
        max_batch_size=options.batch_size,
        batch_timeout=options.batch_timeout_ms / 1000,
        allowed_batch_sizes=tuple(options.batch_sizes),
        num_batch_threads=options.batch_threads,
        max_queued_rows=options.max_queued_rows,
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"Cannot read {error.filename}: {error.strerror}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # All is in order now. What TensorFlow does at the exit takes a second, and may wait for its threads.
    os._exit(status)
