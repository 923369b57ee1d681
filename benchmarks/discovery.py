"""Discovery of neighbours and entropies: `python -m benchmarks.discovery --n 50000 --searcher exact`.

The bank is synthetic, clusters of `--cluster-size` rows, or a file of unit rows, such as
`benchmarks.trained_bank` makes. The peer is the authors' algorithm in PyTorch. The floor is the
product of all rows with all in float32 and nothing else, measured on a share of the rows and scaled
where `floor_share` is below 1. With `--growth` several N are timed
instead, each in turn, and the exponent is that of the least squares line of the logarithms.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from and_tf.discovery.exact_search import search_exactly
from and_tf.discovery.neighbourhoods import Neighbourhoods, choose_searcher, discover
from and_tf.discovery.search_progress import SearchProgress
from and_tf.distribution.shards import Shards
from benchmarks.measuring import Comparison, paired, parser, peer, report

FLOOR_ROWS = 1024  # of a block of the floor's product, the fastest of 256 to 4096
PEER_UP_TO = 50_000  # rows that the peers can compare with all others in a minute
FLOOR_UP_TO = 100_000


def clustered_bank(num_examples: int, dim: int, cluster_size: int, seed: int = 0) -> np.ndarray:
    """float32 [N, d] unit rows; two of one cluster have a cosine of about 0.8, as near rows of a trained bank."""
    random = np.random.default_rng(seed)
    clusters = -(-num_examples // cluster_size)
    centres = random.normal(size=(clusters, dim)).astype(np.float32)
    rows = centres[random.integers(0, clusters, num_examples)]
    rows += 0.5 * random.standard_normal(size=rows.shape, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def product(bank: tf.Tensor, num_rows: int) -> None:
    """The floor: similarities of the first rows with all, block by block, thrown away."""
    for start in range(0, num_rows, FLOOR_ROWS):
        tf.matmul(bank[start : min(start + FLOOR_ROWS, num_rows)], bank, transpose_b=True)


def agreement(found: Neighbourhoods, bank: np.ndarray, neighbours: int, temperature: float) -> dict:
    """What is the same as in an exact search: neighbours, and the lowest quarters of entropy."""
    start = time.perf_counter()
    ids, entropy = search_exactly(Shards([(0, bank)]), neighbours, temperature)
    seconds = time.perf_counter() - start
    same = (found.neighbours[:, :, np.newaxis] == ids[:, np.newaxis]).any(axis=1).mean()
    figures = {"exact search (s)": seconds, "recall": float(same)}
    for quarters in (1, 2, 3):
        count = len(bank) * quarters // 4
        chosen, expected = (np.argsort(values)[:count] for values in (found.entropy, entropy))
        shared = len(np.intersect1d(chosen, expected)) / count
        figures[f"overlap of the lowest {quarters}/4"] = shared
    return figures


def compare(bank: np.ndarray, arguments: argparse.Namespace) -> Comparison:
    """Ours, the peers and the floor on one bank."""
    num_examples, neighbours, temperature = len(bank), arguments.k, arguments.temperature
    found: list[Neighbourhoods] = []

    def ours() -> None:
        found[:] = [discover(bank, neighbours, temperature, arguments.searcher)]

    floor_rows = num_examples if num_examples <= FLOOR_UP_TO else FLOOR_ROWS * 20
    tensor = tf.constant(bank)
    contenders = {"ours": ours, "floor": lambda: product(tensor, floor_rows)}
    in_shards: list[Neighbourhoods] = []
    if arguments.shards > 1:
        parts = np.array_split(bank, arguments.shards)
        firsts = np.cumsum([0, *map(len, parts)])[:-1]
        shards = list(zip(firsts, parts, strict=True))

        def ours_in_shards() -> None:
            in_shards[:] = [discover(shards, neighbours, temperature, arguments.searcher)]

        contenders["in shards"] = ours_in_shards
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "bank.npy")
        np.save(file, bank)
        case = (file, temperature, neighbours)
        if num_examples <= PEER_UP_TO:
            with (
                peer("discovery", *case, "authors") as authors,
                peer("discovery", *case, "blocks") as blocks,
            ):
                contenders |= {"peer": authors, "PyTorch, one pass": blocks}
                seconds = paired(contenders, arguments.repeats)
        else:
            print("no peer: it would take minutes a run", file=sys.stderr)
            seconds = paired(contenders, arguments.repeats, warm_up=0)
    share = floor_rows / num_examples
    seconds["floor"] = [each / share for each in seconds["floor"]]
    more: dict[str, object] = {"searcher": choose_searcher(arguments.searcher, num_examples)}
    more["floor_share"] = share
    more["product GFLOP/s"] = 2e-9 * num_examples**2 * bank.shape[1] / min(seconds["floor"])
    if found[0].probe is not None:
        probe = found[0].probe
        more |= {f"probe {key}": value for key, value in vars(probe).items()}
        if arguments.check:
            more |= agreement(found[0], bank, neighbours, temperature)
    for probe in (each.probe for each in in_shards if each.probe is not None):
        more |= {f"in shards, probe {key}": value for key, value in vars(probe).items()}
    more["peak memory (GB)"] = peak_memory()
    case = f"discovery, N={num_examples:,}, d={bank.shape[1]}, k={neighbours}, tau={temperature:g}"
    return Comparison.of(case, seconds, **more)


def growth(
    bank_of: Callable[[int], np.ndarray], arguments: argparse.Namespace
) -> dict[str, object]:
    """Seconds and findings for each N, printed as they come, and the exponent of their growth."""
    print("| N | seconds | searcher | recall | rank correlation | overlap | peak memory |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    seconds = {}
    for num_examples in arguments.growth:
        bank = bank_of(num_examples)
        start = time.perf_counter()
        with SearchProgress(f"N={num_examples:,}") as progress:
            found = discover(
                bank, arguments.k, arguments.temperature, arguments.searcher, progress=progress
            )
        seconds[num_examples] = time.perf_counter() - start
        probe = found.probe
        findings = (
            "exact | - | - | -"
            if probe is None
            else f"scann | {probe.recall:.3f} | {probe.rank_correlation:.3f} | {probe.overlap:.3f}"
        )
        print(
            f"| {num_examples:,} | {seconds[num_examples]:.1f} | {findings} "
            f"| {peak_memory():.1f} GB |",
            flush=True,
        )
    sizes = np.array(list(seconds))
    exponent = float(np.polyfit(np.log(sizes), np.log(list(seconds.values())), 1)[0])
    print(f"\nexponent {exponent:.2f}")
    return {"seconds": {str(size): each for size, each in seconds.items()}, "exponent": exponent}


def peak_memory() -> float:
    """The most memory that this process has held so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    options = parser("discovery", "Time the discovery of neighbours and entropies.", repeats=3)
    options.add_argument("--n", type=int, default=50_000, help="rows of the bank")
    options.add_argument("--searcher", choices=("exact", "scann", "auto"), default="exact")
    options.add_argument("--dim", type=int, default=128, help="of an embedding")
    options.add_argument("--temperature", type=float, default=0.1)
    options.add_argument("--k", type=int, default=1, help="neighbours of a row")
    options.add_argument(
        "--cluster-size", type=int, default=50, help="rows, where no file is given"
    )
    options.add_argument(
        "--bank", type=Path, help="a .npy file of unit rows, the first N are taken"
    )
    options.add_argument(
        "--shards", type=int, default=1, help="search it in so many parts beside, as a sharded bank"
    )
    options.add_argument("--check", action="store_true", help="compare with an exact search of all")
    options.add_argument("--growth", type=int, nargs="+", metavar="N", help="time these N instead")
    arguments = options.parse_args()

    def bank(num_examples: int) -> np.ndarray:
        if arguments.bank is None:
            return clustered_bank(num_examples, arguments.dim, arguments.cluster_size)
        rows = np.load(arguments.bank, mmap_mode="r")
        if len(rows) < num_examples:
            options.error(f"--bank: fewer than --n {num_examples} rows. Received: {len(rows)}")
        return np.ascontiguousarray(rows[:num_examples])

    if arguments.growth:
        figures = growth(bank, arguments)
        if arguments.json:
            print(json.dumps(figures))
    else:
        report(compare(bank(arguments.n), arguments), arguments.json)


if __name__ == "__main__":
    main()
