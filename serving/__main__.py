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
    add("--max-body-mib", type=float, default=defaults.largest_body / MIB, help=_DEFAULT)
    add(
        "--max-unzipped-mib",
        type=float,
        default=defaults.largest_unzipped_body / MIB,
        help=_DEFAULT,
    )
    add(
        "--max-message-mib",
        type=float,
        default=defaults.largest_message / MIB,
        help=f"of gRPC; {_DEFAULT}",
    )
    add(
        "--max-total-mib",
        type=float,
        default=defaults.largest_bodies / MIB,
        help=f"of all HTTP requests in progress; {_DEFAULT}",
    )
    add("--max-rows", type=int, default=defaults.most_rows, help=f"of a request; {_DEFAULT}")
    add("--max-pixels", type=int, default=defaults.most_pixels, help=f"of an image; {_DEFAULT}")
    add(
        "--max-total-pixels",
        type=int,
        default=defaults.most_total_pixels,
        help=f"of all images of a request; {_DEFAULT}",
    )
    add("--max-requests", type=int, default=defaults.most_requests, help=f"at a time; {_DEFAULT}")
    add(
        "--request-timeout",
        type=float,
        default=defaults.request_timeout,
        help=f"seconds; {_DEFAULT}",
    )
    add(
        "--shutdown-timeout",
        type=float,
        default=defaults.shutdown_timeout,
        help=f"seconds; {_DEFAULT}",
    )

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
    add(
        "--max-taught-rows",
        type=int,
        default=defaults.most_taught_rows,
        help=f"of a model; {_DEFAULT}",
    )
    add("--page", action="store_true", help="answer a page at / that shows what models say")
    return parser


_DEFAULT = "default: %(default)s"


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
    for name in (
        "max_body_mib",
        "max_unzipped_mib",
        "max_message_mib",
        "max_total_mib",
        "max_rows",
        "max_pixels",
        "max_total_pixels",
        "max_requests",
        "max_taught_rows",
        "request_timeout",
        "shutdown_timeout",
    ):
        if not 0 < getattr(options, name) < math.inf:
            flag = name.replace("_", "-")
            raise ValueError(
                f"--{flag} must be more than 0, and finite. Received: {getattr(options, name)}"
            )


def _config(options: argparse.Namespace) -> ModelServerConfig:
    from serving.engine import model_config

    if options.model_config:
        return model_config.read(options.model_config)
    return model_config.from_pairs(options.model)


def _settings(options: argparse.Namespace) -> Settings:
    from serving import metrics, monitoring_config

    path = metrics.DEFAULT_PATH if options.metrics else None
    if options.monitoring_config:
        path = monitoring_config.metrics_path(options.monitoring_config)
    return Settings(
        host=options.host,
        rest_port=options.rest_port,
        grpc_port=options.grpc_port,
        largest_body=round(options.max_body_mib * MIB),
        largest_unzipped_body=round(options.max_unzipped_mib * MIB),
        largest_message=round(options.max_message_mib * MIB),
        largest_bodies=round(options.max_total_mib * MIB),
        most_rows=options.max_rows,
        most_pixels=options.max_pixels,
        most_total_pixels=options.max_total_pixels,
        most_requests=options.max_requests,
        request_timeout=options.request_timeout,
        shutdown_timeout=options.shutdown_timeout,
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
        most_taught_rows=options.max_taught_rows,
        page=options.page,
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
