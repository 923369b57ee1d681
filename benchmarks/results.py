"""The table of docs/results.md, from finished runs: `python -m benchmarks.results`.

python -m benchmarks.results --and runs/digits-and-* --instance runs/digits-instance-*
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from and_tf.runs.assembly import curriculum_of
from and_tf.runs.config import load_config
from and_tf.runs.run_directory import RunDirectory
from and_tf.runs.summary import stages

FIGURES = ("knn_bank", "knn_features", "consistency", "mutual_neighbours")


def stages_of(run: Path) -> dict[str, dict]:
    """The `and_tf.runs.summary.stages` of a run directory."""
    curriculum = curriculum_of(load_config(run / "config.json"))
    return stages(RunDirectory(run).read_metrics(), curriculum)


def table(and_runs: list[Path], instance_runs: list[Path]) -> str:
    """Markdown: untrained, Instance for one round's epochs and for all, AND round by round.

    Args:
        and_runs: Runs with rounds, one for each seed; their round 0 is Instance for one round.
        instance_runs: Runs of as many epochs in round 0 alone, one for each seed.

    Returns:
        Percentages; with several seeds the mean and the standard deviation over them.
    """
    lines = [
        "| | epochs | kNN bank | kNN features | consistent | mutual |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    by_run = [stages_of(run) for run in and_runs]
    instance = [stages_of(run)["round 0"] for run in instance_runs]
    for stage in by_run[0]:
        name = {"untrained": "untrained", "round 0": "Instance (round 0)"}.get(
            stage, f"AND {stage}"
        )
        lines.append(_line(name, [run[stage] for run in by_run]))
    lines.insert(4, _line("Instance, all epochs", instance))
    return "\n".join(lines)


def _line(name: str, runs: list[dict[str, float]]) -> str:
    cells = []
    for figure in FIGURES:
        values = [100 * run[figure] for run in runs if figure in run]
        cell = f"{statistics.mean(values):.1f}" if values else "-"
        cells.append(f"{cell} ± {statistics.stdev(values):.1f}" if len(values) > 1 else cell)
    return f"| {name} | {runs[0]['epoch']} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=table.__doc__)
    parser.add_argument("--and", nargs="+", type=Path, required=True, metavar="RUN", dest="rounds")
    parser.add_argument("--instance", nargs="+", type=Path, required=True, metavar="RUN")
    arguments = parser.parse_args()
    print(table(arguments.rounds, arguments.instance))


if __name__ == "__main__":
    main()
