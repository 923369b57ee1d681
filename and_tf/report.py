"""Show a run on one page: `python -m and_tf.report runs/svhn`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from and_tf.errors import RunError
from and_tf.reporting.requests import run_at, writable, write_pages
from and_tf.runs.commands import add_overrides, import_keras
from and_tf.runs.config import load_config
from and_tf.runs.paths import expanded, shown
from and_tf.runs.run_directory import RunDirectory


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m and_tf.report",
        description="Show a run on one page that needs no other file: curves, a map, neighbours, "
        "Grad-CAM, confusion, clusters. Of several runs, their comparison.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directory of and_tf.train")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder for report.html, report.md and report/ (default: the run directory; of several "
        "runs, reports)",
    )
    add_overrides(
        parser,
        "where the run's images lie now, such as data.path=images",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(arguments)
    return write_pages(lambda: report(args), stopped="stopped; no report was written")


def report(args: argparse.Namespace) -> None:
    """Write the report of one run, or the comparison of several.

    Raises:
        RunError: Bad input.
    """
    runs = [run_at(path) for path in args.runs]
    output = expanded("--output", args.output) if args.output else default_output(runs)
    writable(output, "report.html")
    import_keras()
    from and_tf.figures.page import write_page

    if len(runs) == 1:
        from and_tf.judging.loading import load_subject
        from and_tf.reporting.report import run_page

        subject = load_subject(runs[0].path, overrides=args.overrides)
        page = run_page(subject, runs[0].read_metrics(), lambda part: print(part, flush=True))
    else:
        from and_tf.reporting.comparison import Compared, comparison_page
        from and_tf.reporting.measured import saved_evaluation

        if args.overrides:
            raise RunError("--set goes with one run. Received: several")
        names = distinct_names([run.path for run in runs])
        page = comparison_page(
            [
                Compared(name, load_config(run.config), run.read_metrics(), saved_evaluation(run))
                for name, run in zip(names, runs, strict=True)
            ]
        )
    print(f"The report: {shown(write_page(page, output))}")


def default_output(runs: list[RunDirectory]) -> Path:
    """Where a report goes if nothing else is said."""
    return runs[0].path if len(runs) == 1 else Path("reports")


def distinct_names(paths: list[Path]) -> list[str]:
    """The last part of each path, as many parts as it takes to tell them apart.

    Raises:
        RunError: The same run twice.
    """
    absolute = [path.absolute() for path in paths]
    if len(set(absolute)) < len(absolute):
        raise RunError(f"Name each run once. Received: {', '.join(map(shown, paths))}")
    depth = 1
    while len({path.parts[-depth:] for path in absolute}) < len(absolute):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in absolute]


if __name__ == "__main__":
    sys.exit(main())
