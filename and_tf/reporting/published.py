"""The paper's figures beside ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from and_tf.figures.page import Table
from and_tf.runs.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Published:
    """A figure of the AND paper (Huang et al., ICML 2019): weighted kNN top-1, in percent.

    Attributes:
        data: The data set, as TensorFlow Datasets calls it.
        title: As the paper calls it.
        encoder: As `and_tf.encoders` calls it.
        value: In percent.
        rounds: Rounds after round 0.
    """

    data: str
    title: str
    encoder: str
    value: float
    rounds: int = 4


PUBLISHED = (
    Published("cifar10", "CIFAR10", "alexnet", 74.8),
    Published("cifar100", "CIFAR100", "alexnet", 41.5),
    Published("svhn_cropped", "SVHN", "alexnet", 90.9),
    Published("cifar10", "CIFAR10", "resnet18", 86.3),
    Published("cifar100", "CIFAR100", "resnet18", 57.2),
    Published("svhn_cropped", "SVHN", "resnet18", 94.4),
    Published("cifar10", "CIFAR10", "resnet101", 88.4),
    Published("cifar10", "CIFAR10", "resnet18", 80.8, rounds=0),
    Published("imagenet2012", "ImageNet", "alexnet", 31.3),
    Published("imagenet2012", "ImageNet", "resnet18", 41.2),
    Published("caltech_birds2011", "CUB200", "resnet18", 14.4),
    Published("stanford_dogs", "Dogs", "resnet18", 32.3),
)
"""The figures of the paper's tables that are known here, as in configs/README.md."""

HEADER = ("data set", "encoder", "method", "paper (%)", "ours (%)", "difference", "our run")


def published_table(runs: Sequence[tuple[RunConfig, list[dict]]], only_run: bool = False) -> Table:
    """Published kNN top-1 with ours and the difference; cells are empty where nothing was run.

    Args:
        runs: Config and rows of `metrics.jsonl` of each.
        only_run: Leave out what nothing was run for.
    """
    rows = []
    for each in PUBLISHED:
        ours = [
            (config, row)
            for config, metrics in runs
            if config.data.name == each.data
            and config.encoder.name == each.encoder
            and config.curriculum.rounds == each.rounds
            and (row := _last(metrics)) is not None
        ]
        method = "AND" if each.rounds else "Instance"
        cells = [each.title, each.encoder, method, f"{each.value:.1f}"]
        for config, row in ours:
            value = 100 * row["knn_features"]
            how = f"{config.name}: {row['examples']:,} images, {row['epoch']:,} epochs"
            width = config.encoder.width
            how += "" if width == 1 else f", width {width:g}"
            rows.append([*cells, f"{value:.1f}", f"{value - each.value:+.1f}", how])
        if not ours and not only_run:
            rows.append([*cells, "", "", ""])
    return Table("kNN top-1 in the paper's tables, K=200", HEADER, rows)


def _last(metrics: list[dict]) -> dict | None:
    known = [r for r in metrics if r["event"] == "epoch" and r.get("knn_features") is not None]
    return known[-1] if known else None
