"""The server as a process: starting, stopping, TLS, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.client import Client, Retry
from serving.engine import model_config
from serving.server import Server, StartError
from serving.settings import Settings
from tests.serving.running import running

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Process:
    """`python -m serving` with these models, once it is ready."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "serving", "--rest-port", "0", "--grpc-port", "0"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )
        self.line = self.process.stdout.readline()
        ports = re.search(r"http://127\.0\.0\.1:(\d+), gRPC at 127\.0\.0\.1:(\d+)", self.line)
        assert ports, self.line
        self.rest_port, self.grpc_port = map(int, ports.groups())

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.fixture
def process(slow_model: pathlib.Path) -> Iterator[Process]:
    started = Process("--model", f"slow={slow_model}")
    yield started
    started.process.kill()
    started.process.wait()
    started.process.stdout.close()


def test_sigterm_finishes_what_is_in_progress(process: Process) -> None:
    assert process.line.startswith("Serving slow: REST at ")
    channel = grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}")
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    body = json.dumps({"instances": [200_000]})
    path = "/v1/models/slow:predict"
    process.ask("POST", path, json.dumps({"instances": [1]}))
    with concurrent.futures.ThreadPoolExecutor() as threads:
        answers = [threads.submit(process.ask, "POST", path, body) for _ in range(2)]
        time.sleep(0.3)
        assert not any(answer.done() for answer in answers)
        process.process.send_signal(signal.SIGTERM)
        for answer in answers:
            assert answer.result() == (200, b'{"predictions":[200000]}')
    assert process.process.wait(30) == 0
    with pytest.raises(ConnectionRefusedError):
        process.ask("GET", "/readyz")
    channel.close()


@pytest.mark.slow
def test_sigterm_ends_the_process_whatever_runs(slow_model: pathlib.Path) -> None:
    started = Process("--model", f"slow={slow_model}", "--shutdown-timeout", "1")
    try:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            # It would take minutes.
            body = json.dumps({"instances": [100_000_000]})
            answer = threads.submit(started.ask, "POST", "/v1/models/slow:predict", body)
            time.sleep(0.5)
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(30) == 1
            assert answer.exception() or answer.result()[0] != 200
    finally:
        started.process.kill()
        started.process.wait()
        started.process.stdout.close()


def test_readyz_says_no_while_the_server_stops(saved_models: pathlib.Path) -> None:
    with running({"m": saved_models / "half_plus_two"}) as one:
        assert one.ask("GET", "/readyz").status == 200
        one.server.app.state.closing = True
        assert one.ask("GET", "/readyz").status == 503
        assert one.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("port", ["rest_port", "grpc_port"])
def test_a_port_in_use(saved_models: pathlib.Path, port: str) -> None:
    async def start(taken: int) -> None:
        settings = Settings(**{"rest_port": 0, "grpc_port": 0, port: taken})
        config = model_config.from_pairs([f"m={saved_models / 'half_plus_two'}"])
        await Server(config, settings).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(StartError, match=f"^Cannot listen on 127.0.0.1:{taken}"):
            asyncio.run(start(taken))


def make_certificate(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a certificate for this machine, which signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder.mkdir(exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_a_certificate_is_read_again_when_it_changes(
    saved_models: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    certificate, key = make_certificate(tmp_path / "served")
    new = make_certificate(tmp_path / "new")
    model = {"m": saved_models / "half_plus_two"}
    with running(model, certificate=certificate, private_key=key) as one:
        address = ("127.0.0.1", one.server.rest_port)
        url = f"grpcs://localhost:{one.server.grpc_port}"
        assert ssl.get_server_certificate(address) == certificate.read_text()
        # Half of the new pair changes nothing.
        shutil.copy(new[1], key)
        one.server._certificate.refresh()
        assert ssl.get_server_certificate(address) == certificate.read_text()
        shutil.copy(new[0], certificate)
        while ssl.get_server_certificate(address) != new[0].read_text():
            time.sleep(0.05)
        with Client(url, "m", ca_file=str(new[0])) as client:
            assert client.ready()


def test_clients_may_need_a_certificate(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> None:
    certificate, key = make_certificate(tmp_path / "server")
    theirs, their_key = make_certificate(tmp_path / "client")
    model = {"m": saved_models / "half_plus_two"}
    with running(model, certificate=certificate, private_key=key, client_ca=theirs) as one:
        context = ssl.create_default_context(cafile=str(certificate))
        address = ("127.0.0.1", one.server.rest_port)

        def ask() -> int:
            with contextlib.closing(
                http.client.HTTPSConnection(*address, context=context, timeout=60)
            ) as connection:
                connection.request("GET", "/healthz")
                return connection.getresponse().status

        with pytest.raises(OSError):
            ask()
        context.load_cert_chain(theirs, their_key)
        assert ask() == 200
        target, root = f"localhost:{one.server.grpc_port}", certificate.read_bytes()
        for pair, serves in (((), False), ((their_key.read_bytes(), theirs.read_bytes()), True)):
            with grpc.secure_channel(target, grpc.ssl_channel_credentials(root, *pair)) as channel:
                check = health_pb2_grpc.HealthStub(channel).Check
                if serves:
                    check(health_pb2.HealthCheckRequest(), timeout=60)
                else:
                    with pytest.raises(grpc.RpcError):
                        check(health_pb2.HealthCheckRequest(), timeout=60)
        for scheme, port in (("https", one.server.rest_port), ("grpcs", one.server.grpc_port)):
            options = {"ca_file": str(certificate), "retry": Retry(attempts=1)}
            url = f"{scheme}://localhost:{port}"
            with Client(url, "m", **options) as stranger:
                assert not stranger.ready()
            with Client(url, "m", certificate=(str(theirs), str(their_key)), **options) as client:
                assert client.ready()


def test_tls_on_both_ports(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> None:
    certificate, key = make_certificate(tmp_path)
    with running(
        {"m": saved_models / "half_plus_two"}, certificate=certificate, private_key=key
    ) as one:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", one.server.rest_port, context=context, timeout=60
        )
        connection.request("POST", "/v1/models/m:predict", b'{"instances": [1.0]}')
        assert connection.getresponse().read() == b'{"predictions":[2.5]}'
        connection.close()
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{one.server.grpc_port}", credentials) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            check(health_pb2.HealthCheckRequest(), timeout=60)
        for scheme, port in (("https", one.server.rest_port), ("grpcs", one.server.grpc_port)):
            url = f"{scheme}://localhost:{port}"
            with Client(url, "m", ca_file=str(certificate)) as client:
                assert client.ready()
            with Client(url, "m", timeout=5) as client:  # which does not trust the certificate
                assert not client.ready()


def test_a_certificate_that_is_none(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    config = model_config.from_pairs([f"m={saved_models / 'half_plus_two'}"])
    for path in (tmp_path / "bad.pem", tmp_path / "none.pem"):
        settings = Settings(rest_port=0, grpc_port=0, certificate=path, private_key=path)
        with pytest.raises(StartError, match=r"certificate|Cannot read"):
            asyncio.run(Server(config, settings).start())
