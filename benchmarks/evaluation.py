"""What an evaluation costs: `python -m benchmarks.evaluation --case knn`, `probes` or `whole`.

Embeddings are synthetic, ten clusters on the sphere. `knn` times the whole grid of numbers of neighbours and
temperatures; the floor is the product of all queries with all rows alone. `probes` trains linear
classifiers on all stages, five learning rates each, for one epoch without kept features; the floor is
one classifier on the last stage. `whole` is an evaluation of saved embeddings, part by part.
"""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.in_memory import from_arrays
from and_tf.encoders import ENCODERS
from and_tf.evaluation.knn_grid import knn_grid
from and_tf.evaluation.linear_probes import LinearProbes
from and_tf.evaluation.nearest import BLOCK
from and_tf.judging.evaluating import evaluate_subject
from and_tf.judging.probing import BATCH, Features, stage_model
from and_tf.judging.subject import Part, Subject
from benchmarks.measuring import Comparison, paired, parser, report

CLASSES = 10


def clustered(count: int, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around ten centres, float32 [count, dim], and the centre of each."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, dim))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    rows = centres[labels] + 2 * generator.normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def knn_case(queries: int, rows: int, dim: int, repeats: int) -> Comparison:
    """The grid beside the product alone."""
    (asking, truth), (among, labels) = clustered(queries, dim, 1), clustered(rows, dim, 2)

    def product() -> None:
        tensor = tf.constant(among)
        for start in range(0, queries, BLOCK):
            tf.matmul(asking[start : start + BLOCK], tensor, transpose_b=True)

    contenders = {"ours": lambda: knn_grid(asking, truth, among, labels), "floor": product}
    case = f"kNN, {queries:,} queries against {rows:,} rows of {dim}"
    return Comparison.of(case, paired(contenders, repeats))


def probes_case(count: int, size: int, encoder: str, repeats: int) -> Comparison:
    """All stages and rates beside one."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    labels = np.random.default_rng(1).integers(0, CLASSES, count)
    images = from_arrays(pixels)
    model = ENCODERS[encoder](input_shape=(size, size, 3))
    every = stage_model(model)
    last = max(name for name in every.output_names if name.startswith("conv"))
    one = keras.Model(model.input, {last: model.get_layer(last).output})

    def contender(stages: keras.Model, rates: tuple[float, ...]):
        features_of = Features(stages, None)
        first = features_of(pixels[:BATCH], np.arange(BATCH))
        samples = {name: x.numpy() for name, x in first.items()}
        probes = LinearProbes(samples, CLASSES, images.steps_per_epoch(BATCH), rates)

        def epoch() -> None:
            batches = images.training_batches(BATCH, 0).take(images.steps_per_epoch(BATCH))
            for batch, ids in batches:
                probes.update(features_of(batch, ids.numpy()), tf.constant(labels[ids.numpy()]))

        return epoch

    contenders = {
        "ours": contender(every, (0.1, 0.3, 1.0, 3.0, 10.0)),
        "floor": contender(one, (1.0,)),
    }
    case = f"linear classifiers on {encoder}, {count:,} images of {size} pixels, one epoch"
    stages = len(every.output_names)
    return Comparison.of(case, paired(contenders, repeats), classifiers=5 * stages)


def whole_case(queries: int, rows: int, dim: int) -> dict[str, float]:
    """Seconds of every part on saved embeddings."""
    parts = [
        Part(name, x, labels, [f"{name}:{index}" for index in range(len(x))])
        for name, (x, labels) in (
            ("train", clustered(rows, dim, 2)),
            ("test", clustered(queries, dim, 1)),
        )
    ]
    names = [str(label) for label in range(CLASSES)]
    found = evaluate_subject(Subject("synthetic", "embeddings", None, *parts, names), say=print)
    return {name: part.seconds for name, part in found.parts.items()}


def main(arguments: list[str] | None = None) -> int:
    options = parser("evaluation", str(__doc__).splitlines()[0], repeats=5)
    options.add_argument("--case", choices=("knn", "probes", "whole"), required=True)
    options.add_argument("--queries", type=int, default=10_000)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--dim", type=int, default=128)
    options.add_argument("--encoder", choices=sorted(ENCODERS), default="resnet18")
    options.add_argument("--images", type=int, default=1_024)
    options.add_argument("--size", type=int, default=32)
    args = options.parse_args(arguments)
    if args.case == "whole":
        busy = time.process_time()
        seconds = whole_case(args.queries, args.rows, args.dim)
        busy = time.process_time() - busy
        total = sum(seconds.values())
        shown = "\n".join(f"| {name} | {each:.1f} s |" for name, each in seconds.items())
        print(f"\n| part | time |\n| --- | ---: |\n{shown}\n| all | {total:.1f} s |")
        print(f"| processor time, of all cores together | {busy:.1f} s |")
        return 0
    comparison = (
        knn_case(args.queries, args.rows, args.dim, args.repeats)
        if args.case == "knn"
        else probes_case(args.images, args.size, args.encoder, args.repeats)
    )
    report(comparison, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
