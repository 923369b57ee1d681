"""The embedded server under load: `python -m benchmarks.serving --signature embed_bytes`.

Ours: seconds an image, through REST, with the clients of `--clients` in a process of their own that
send one image a request. Floor: the loaded signature called in a loop by `benchmarks.direct`, at the
best of its batch sizes; single requests are compared with batches of one. Both take turns, so that
neither has the cores to itself while the other runs. `--overload SECONDS` sends twice of what the
server can answer, whatever it answers, and looks at what becomes of it.

Without `--export` an untrained encoder with 50,000 random rows is exported: weights do not change
what a request costs.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measuring import Comparison, parser, report
from benchmarks.serving_requests import json_body, png


def main() -> None:
    options = parser("serving", __doc__.splitlines()[0], repeats=3)
    options.add_argument("--export", type=Path, help="folder of versions of an export")
    options.add_argument("--signature", default="embed_bytes")
    options.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    options.add_argument("--seconds", type=float, default=5, help="of one run")
    options.add_argument("--overload", type=float, metavar="SECONDS", help="twice the capacity")
    options.add_argument("--batch-threads", type=int, default=1, help="of the server")
    options.add_argument("--encoder", default="resnet18", help="where there is no --export")
    options.add_argument("--n", type=int, default=50_000, help="its rows")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export = args.export or write_export(Path(folder) / "export", args.encoder, args.n)
        version = max(
            (path for path in export.iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
        )
        size = json.loads((version / "assets.extra" / "and_tf.json").read_text())["image_size"][0]
        image, body = Path(folder) / "image.png", Path(folder) / "body.json"
        image.write_bytes(png(size))
        body.write_bytes(json_body(args.signature, image.read_bytes()))
        direct_options = [
            "--signature",
            args.signature,
            "--image",
            image,
            "--seconds",
            args.seconds,
        ]
        with (
            server(export, args.batch_threads) as (pid, url),
            talking("benchmarks.direct", version, *direct_options) as direct,
        ):
            direct(ask=False)  # has loaded
            comparison = compare(args, f"{url}/v1/models/bench:predict", body, direct)
            if args.overload:
                rate = 2 / comparison.ours
                comparison.more.update(
                    overload(args, f"{url}/v1/models/bench:predict", body, pid, rate)
                )
    report(comparison, args.json)


def compare(args, url: str, body: Path, direct) -> Comparison:
    """The runs of every number of clients, and the loop's, in turn."""
    with contextlib.ExitStack() as stack:
        load = {
            clients: stack.enter_context(
                talking(
                    "benchmarks.load",
                    url,
                    "--body",
                    body,
                    "--clients",
                    clients,
                    "--seconds",
                    args.seconds,
                )
            )
            for clients in args.clients
        }
        for run in load.values():
            run()  # warms the server up
        runs = [
            ({clients: run() for clients, run in load.items()}, direct())
            for _ in range(args.repeats)
        ]
    busiest = max(args.clients)
    seconds: dict[str, list[float]] = {"ours": [], "floor": []}
    more: dict[str, list[float]] = {}
    for served, looped in runs:
        best = max(looped.values(), key=lambda run: run["images"] / run["seconds"])
        loop = best["images"] / best["seconds"]
        seconds["floor"].append(1 / loop)
        more.setdefault("loop (images/s)", []).append(loop)
        for clients, found in served.items():
            if set(found["statuses"]) != {"200"}:
                raise RuntimeError(f"Not all requests were answered: {found['statuses']}")
            speed = found["requests"] / found["seconds"]
            name = f"{clients} clients"
            more.setdefault(f"{name} (images/s)", []).append(speed)
            more.setdefault(f"{name}, share of the loop", []).append(speed / loop)
            more.setdefault(f"{name}, p50 (ms)", []).append(found["p50"])
            more.setdefault(f"{name}, p99 (ms)", []).append(found["p99"])
            if clients == busiest:
                seconds["ours"].append(1 / speed)
        if 1 in served:
            more.setdefault("one request alone beside the call (ms)", []).append(
                served[1]["p50"] - looped["1"]["p50"]
            )
    return Comparison.of(
        f"Serving {args.signature}, one image a request",
        seconds,
        **{name: statistics.median(values) for name, values in more.items()},
    )


def overload(args, url: str, body: Path, pid: int, rate: float) -> dict[str, object]:
    """What becomes of the server at a rate of requests that it cannot answer.

    Returns:
        By name: statuses, memory before and after in MB, and the milliseconds that a request alone
        takes right after it.
    """
    memory = [resident_megabytes(pid)]
    options = ["--body", body, "--seconds", args.overload, "--rate", rate]
    with talking("benchmarks.load", url, *options) as load:
        found = load()
    start = time.perf_counter()
    urllib.request.urlopen(urllib.request.Request(url, body.read_bytes())).read()
    alone = 1000 * (time.perf_counter() - start)
    memory.append(resident_megabytes(pid))
    return {
        "overload: requests/s": rate,
        "overload: statuses": str(found["statuses"]),
        "overload: answered/s": found["requests"] / found["seconds"],
        "overload: p99 of the answered (ms)": found["p99"],
        "overload: memory before (MB)": memory[0],
        "overload: memory after (MB)": memory[1],
        "overload: first request after it (ms)": alone,
    }


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"Process {pid} has no VmRSS")


@contextlib.contextmanager
def server(export: Path, batch_threads: int) -> Iterator[tuple[int, str]]:
    """A server of the versions in a folder as the model `bench`: its process id and its address."""
    command = ["serving", "--model", f"bench={export}", "--rest-port", "0", "--grpc-port", "0"]
    command += ["--batch-threads", str(batch_threads)]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"The server ended with {process.wait()}")
        yield process.pid, line.split("REST at ")[1].split(",")[0]
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def talking(module: str, *arguments: object) -> Iterator:
    """A process that answers every line with a line of JSON; a call gives the next answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def answer(ask: bool = True) -> dict:
        if ask:
            process.stdin.write("run\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} ended with {process.wait()}")
        return json.loads(line)

    try:
        yield answer
    finally:
        process.stdin.close()
        process.wait()


def write_export(folder: Path, encoder_name: str, num_rows: int) -> Path:
    """Version 1 of an untrained encoder for 32-pixel images with random rows of ten classes."""
    from and_tf import encoders
    from and_tf.exporting.description import describe
    from and_tf.exporting.row_bank import RowBank
    from and_tf.exporting.rows import Rows
    from and_tf.exporting.signatures import Exported
    from and_tf.runs.config import RunConfig

    encoder = getattr(encoders, encoder_name)(input_shape=(32, 32, 3), embedding_dim=128)
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(num_rows, 128)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = Rows(
        embeddings,
        rng.integers(0, 10, num_rows).astype(np.int32),
        [f"class {number}" for number in range(10)],
        [f"train:{number}" for number in range(num_rows)],
    )
    exported = Exported(encoder, 32, RowBank(rows, 200, 0.1), classify=True, neighbours=10, top=5)
    version = folder / "1"
    exported.save(str(version))
    (version / "assets.extra").mkdir(exist_ok=True)
    facts = describe(RunConfig(), encoder, exported, rows, version)
    (version / "assets.extra" / "and_tf.json").write_text(json.dumps(facts))
    return folder


if __name__ == "__main__":
    main()
