from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading

import pytest

BODIES: list[bytes] = []  # of all requests


class Handler(http.server.BaseHTTPRequestHandler):
    """Refuses every third request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        BODIES.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(503 if len(BODIES) % 3 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/m:predict"
    server.shutdown()


@pytest.mark.parametrize("options", [("--clients", "3"), ("--rate", "60")])
def test_every_line_is_a_run_that_counts_what_came_back(url, tmp_path, options):
    body = tmp_path / "body.json"
    body.write_bytes(b'{"instances":[1]}')
    BODIES.clear()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.load",
            url,
            "--body",
            body,
            "--seconds",
            "0.5",
            *options,
        ],
        input="run\nrun\n",
        capture_output=True,
        text=True,
        check=True,
    )
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == 2 and set(BODIES) == {b'{"instances":[1]}'}
    total = sum(sum(run["statuses"].values()) for run in runs)
    assert total == len(BODIES)
    if options[0] == "--rate":
        assert total == 60
    for run in runs:
        assert run["requests"] == run["statuses"]["200"] > 0 < run["statuses"]["503"]
        assert 0 < run["p50"] <= run["p99"] <= run["longest"] and run["seconds"] >= 0.4
