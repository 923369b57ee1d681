"""Judge a trained encoder as the paper does: `python -m and_tf.evaluate runs/svhn`."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from and_tf.errors import RunError
from and_tf.runs.commands import add_overrides, import_keras, run_command
from and_tf.runs.paths import expanded, shown
from and_tf.runs.run_directory import RunDirectory


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.evaluate",
        description="Judge a trained encoder: kNN, linear classifiers, few labels, clusters and "
        "retrieval, neighbourhoods, and measures without labels. Prints a table, and writes "
        "evaluation.json beside what is judged.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="RUN",
        help="run directory of and_tf.train, .keras file, version of an export, or .npz or .parquet "
        "file of embeddings (embedding, and perhaps label and source)",
    )
    parser.add_argument(
        "--only",
        metavar="PARTS",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        default=[],
        help="parts to measure, with commas between: without_labels, knn, clusters, neighbourhoods, "
        "few_labels, linear (default: all of these), fine_tuning",
    )
    parser.add_argument(
        "--anew", action="store_true", help="measure once more what was measured before"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="several runs side by side: mean and spread over seeds, differences over equal seeds",
    )
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="also judge the encoder of each run as it was before training, which says what was learnt",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="JSON config with the images for a .keras file or an export",
    )
    add_overrides(
        parser,
        "change one key of the config, such as data.path=images",
    )
    parser.add_argument(
        "--test", metavar="FILE", help="file of held-out embeddings, for a file of embeddings"
    )
    parser.add_argument("--output", metavar="FILE", help="where evaluation.json goes, for one path")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(arguments)
    return run_command(
        lambda: evaluate(args),
        stopped="stopped; the parts that were finished are kept: repeat the command",
        full_disk="No space left on the disk; the parts that were written stand",
        memory="Not enough memory. Choose fewer parts by --only, or a smaller evaluation.batch_size",
    )


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate every path, print its table, and compare them if asked to.

    Raises:
        RunError: Bad input.
        ConfigError: A wrong config.
        OSError: An evaluation cannot be written.
    """
    if args.compare and len(args.paths) < 2 and not args.untrained:
        raise RunError("--compare takes two runs or more. Received: one")
    if args.output is not None and len(args.paths) > 1:
        raise RunError(f"--output is for one path. Received: {len(args.paths)} paths")
    import_keras()
    from and_tf.judging.comparing import comparison_table
    from and_tf.judging.evaluating import check_parts, evaluate_subject
    from and_tf.judging.loading import load_subject

    wanted = check_parts(args.only)
    evaluations = []
    for path, untrained in itertools.product(args.paths, (True, False)[not args.untrained :]):
        subject = load_subject(path, args.config, args.overrides, args.test, untrained)
        output = output_of(Path(path).expanduser(), subject.kind, args.output, untrained)
        print(f"{subject.name}: {len(subject.train):,} images of {subject.train.name}", flush=True)
        evaluation = evaluate_subject(
            subject, wanted, output, args.anew, lambda line: print(line, flush=True)
        ).only(wanted)
        print(f"\n{evaluation.table()}\n\nThe evaluation: {shown(output)}", flush=True)
        evaluations.append(evaluation)
    if args.compare:
        print(f"\n{comparison_table(evaluations)}")


def output_of(path: Path, kind: str, output: str | None, untrained: bool = False) -> Path:
    """Where the evaluation of a path is written: into a run, beside anything else.

    That of an untrained encoder always goes into the run.

    Raises:
        RunError: There is no folder for it.
    """
    if untrained:
        return RunDirectory(path).untrained_evaluation
    if output is None:
        if kind == "run":
            return RunDirectory(path).evaluation
        if kind == "export":  # nothing but versions lies beside a version
            folder = path.absolute().parent
            return folder.parent / f"{folder.name}-{path.name}.evaluation.json"
        return path.with_name(f"{path.stem}.evaluation.json")
    chosen = expanded("--output", output)
    if chosen.is_dir() or not chosen.absolute().parent.is_dir():
        raise RunError(
            f"--output must name a file in a folder that is there. Received: {shown(output)}"
        )
    return chosen


if __name__ == "__main__":
    sys.exit(main())
