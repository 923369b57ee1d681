"""What a run says of its classes before it trains: how many, from where, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from and_tf.data.folder_labels import splits_among
from and_tf.data.image_set import ImageSet
from and_tf.evaluation.knn import odd_neighbours
from and_tf.method.callbacks import why_no_evaluation
from and_tf.runs.config import RunConfig

SHOWN = 5
"""How many classes are named."""

FEW = 50
"""So many images to classify say something."""


def describe_classes(config: RunConfig, images: ImageSet, test: ImageSet | None) -> list[str]:
    """One line about the classes, and a warning for each thing that may not be meant so."""
    lines = [f"{config.name}: {class_line(images)}"]
    lines += [f"warning: {text}" for text in _warnings(config, images, test)]
    return lines


def class_line(images: ImageSet) -> str:
    """How many classes the images have, their names and sizes, and where they come from."""
    counts = images.class_counts
    if not counts:
        return "no classes, the images have no labels"
    named = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN])
    if len(counts) > SHOWN:
        least, most = min(counts.values()), max(counts.values())
        sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        named += f" and {len(counts) - SHOWN:,} more, all of {sizes} images"
    classes = "1 class" if len(counts) == 1 else f"{len(counts):,} classes"
    unlabelled = images.num_examples - sum(counts.values())
    rest = f"; {unlabelled:,} of {images.num_examples:,} images have no label" if unlabelled else ""
    return f"{classes} ({named}), from {images.labelled_by}{rest}"


def _warnings(config: RunConfig, images: ImageSet, test: ImageSet | None) -> Iterator[str]:
    if config.data.source == "folder" and config.data.labels in (None, "folders"):
        yield from _of_folders(config, images)
    counts, test_counts = images.class_counts, test.class_counts if test else {}
    if counts and test_counts:
        yield from _of_other_classes(counts, test_counts)
        unlabelled = test.num_examples - sum(test_counts.values()) if test else 0
        if unlabelled:
            yield f"{unlabelled:,} test images have no label and are not classified"
    elif test is not None and bool(counts) != bool(test_counts):
        with_labels, without = ("training", "test") if counts else ("test", "training")
        yield f"the {with_labels} images have labels and no {without} image has: no accuracy is measured"
    if why_no_evaluation(images, test) is None:
        classified = sum(test_counts.values()) if test else sum(counts.values())
        if classified < FEW:
            yield f"each classified image is {1 / classified:.1%} of the accuracy: label more of them"
        neighbours = config.evaluation.knn_neighbours
        odd = odd_neighbours("evaluation.knn_neighbours", neighbours, counts, test is not None)
        if odd is not None:
            yield odd


def _of_folders(config: RunConfig, images: ImageSet) -> Iterator[str]:
    """What may be meant otherwise about the folders in a folder of images."""
    path, chosen = config.data.path, config.data.labels == "folders"
    parts = [source.split("/") for source in images.sources or ()]
    folders = Counter(part[0] for part in parts if len(part) > 1)
    splits = splits_among(folders)
    if splits and not chosen:
        others = len(folders) - len(splits)
        trained = next((name for name in splits if name.lower().startswith("train")), splits[0])
        evaluated = [name for name in splits if name != trained]
        yield (
            f"{', '.join(splits)} in {path} {'looks' if len(splits) == 1 else 'look'} like "
            f"{'a split' if len(splits) == 1 else 'splits'} of a data set, not like "
            f"{'a class' if len(splits) == 1 else 'classes'}; every image here is trained on"
            + (f", those in {others} other folders too" if others else "")
            + f". If so, train on data.path={path}/{trained}"
            + (f" and evaluate on data.test_path={path}/{evaluated[0]}" if evaluated else "")
            + ". If not, say data.labels=folders, which takes them for classes, or data.labels=none"
        )
    elif images.labels is None and folders and not chosen:
        outside = sum(len(part) == 1 for part in parts)
        why = f"{outside:,} images lie outside of them" if outside else "there is only one"
        names = ", ".join(list(folders)[:SHOWN]) + (", ..." if len(folders) > SHOWN else "")
        yield (
            f"the folders in {path} ({names}) are not taken for classes: {why}. "
            "data.labels=folders takes them, data.labels=none leaves this out"
        )
    inner = splits_among(sorted({part[1] for part in parts if len(part) > 2}))
    if images.labels is not None and not splits and len(inner) > 1:
        yield (
            f"inside the classes lie folders that look like splits, {', '.join(inner)}: all are trained on"
        )


def _of_other_classes(counts: dict[str, int], test_counts: dict[str, int]) -> Iterator[str]:
    """Test images that cannot be classified correctly."""
    unknown = [name for name in test_counts if name not in counts]
    if not unknown:
        return
    by_case = {name.casefold(): name for name in counts}
    alike = [
        f"{name} for {by_case[name.casefold()]}" for name in unknown if name.casefold() in by_case
    ]
    names = ", ".join(unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
    wrong, total = sum(test_counts[name] for name in unknown), sum(test_counts.values())
    outcome = (
        "No accuracy is measured"
        if wrong == total
        else f"Their {wrong:,} of {total:,} test images count as wrong: the accuracy is "
        f"{1 - wrong / total:.1%} at most"
    )
    yield (
        f"{len(unknown)} of {len(test_counts)} classes of the test images have no training image: "
        f"{names}. {outcome}" + (f". Is it {', '.join(alike)}?" if alike else "")
    )
