"""A signature called in a loop, in a process of its own: `python -m benchmarks.direct FOLDER ...`.

What a server can reach at best: the loaded SavedModel, called with arrays that are ready, one batch
after the other. Every line on standard input is a run; a line of JSON answers it: `seconds` and
`images` of each batch size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.serving_requests import array_inputs
from serving.engine.servable import Servable


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.direct")
    options.add_argument("version", type=Path, help="folder of one version")
    options.add_argument("--signature", required=True)
    options.add_argument("--image", type=Path, required=True, help="PNG of the encoder's size")
    options.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 128])
    options.add_argument("--seconds", type=float, default=5, help="of each batch size")
    arguments = options.parse_args()
    servable = Servable(arguments.version)
    image = arguments.image.read_bytes()
    inputs = {size: array_inputs(arguments.signature, image, size) for size in arguments.batch}
    for batch in inputs.values():
        servable.run(arguments.signature, batch)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        result = {}
        for size, batch in inputs.items():
            seconds = []
            start = time.perf_counter()
            while time.perf_counter() - start < arguments.seconds:
                before = time.perf_counter()
                servable.run(arguments.signature, batch)
                seconds.append(time.perf_counter() - before)
            result[size] = {
                "seconds": time.perf_counter() - start,
                "images": size * len(seconds),
                "p50": 1000 * float(np.median(seconds)),
            }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
