"""Classes, clusters and odd images."""

from __future__ import annotations

import numpy as np

from and_tf.evaluation.knn_grid import confusion
from and_tf.evaluation.retrieval import near_duplicates, outliers
from and_tf.figures.confusion import confusion_figure
from and_tf.figures.grids import image_sheet
from and_tf.figures.page import Picture, Section, Table
from and_tf.reporting.gathered import Gathered

MOST_CLUSTERS = 12
PER_CLUSTER = 18
ODD = 18
PAIRS = 10
DUPLICATE = 0.99
"""The least similarity of near-duplicates."""
CONFUSIONS = 8


def confusion_section(gathered: Gathered) -> Section | None:
    """Who is taken for whom by kNN; None without labels."""
    chosen, judged = gathered.predictions, gathered.subject.judged
    if chosen is None or judged.labels is None:
        return None
    asked = np.flatnonzero(judged.labels >= 0)
    if not len(asked):
        return None
    given = chosen
    truth, chosen = judged.labels[asked], chosen[asked]
    # Classes that occur: names may be of many more.
    used, numbers = np.unique(np.concatenate([truth, chosen]), return_inverse=True)
    names = [gathered.name_of(label) for label in used]
    counts = confusion(numbers[: len(asked)], numbers[len(asked) :], len(used))
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [np.unravel_index(index, wrong.shape) for index in worst if wrong.flat[index]]
    rows = [
        (names[a], names[b], f"{wrong[a, b]:,}", f"{wrong[a, b] / counts[a].sum():.1%}")
        for a, b in pairs
    ]
    accuracy = float(np.mean(truth == chosen))
    parts: list[Picture | Table | str] = [
        Picture(
            "confusion", f"{judged.name}: {accuracy:.1%} correct", confusion_figure(counts, names)
        )
    ]
    missed = asked[truth != chosen][:ODD]
    if len(missed):
        pairs_of = zip(judged.labels[missed], given[missed], strict=True)
        captions = [f"{gathered.name_of(a)[:4]} as {gathered.name_of(b)[:4]}" for a, b in pairs_of]
        sheet = image_sheet(judged.images(missed), None, captions)
        parts.append(Picture("mistakes", "Images classified wrongly", sheet))
    if rows:
        header = ("class", "taken for", "images", "of the class")
        parts.append(Table("The most frequent confusions", header, rows))
    look = (
        "numbers off the diagonal: classes that look alike, or a label that is used for two things."
    )
    return Section("Confusion of kNN", look, parts)


def clusters_section(gathered: Gathered) -> Section:
    """Each cluster as a sheet of images, with its size."""
    clusters, train = gathered.clusters, gathered.train
    count = int(clusters.max()) + 1
    parts: list[Picture | str] = []
    for cluster in range(min(count, MOST_CLUSTERS)):
        rows = np.flatnonzero(clusters == cluster)
        centre = train.embeddings[rows].mean(axis=0)
        nearest = rows[np.argsort(-(train.embeddings[rows] @ centre), kind="stable")]
        # From the middle of the cluster to its edge.
        shown = nearest[
            np.linspace(0, len(nearest) - 1, min(PER_CLUSTER, len(nearest))).astype(int)
        ]
        title = f"Cluster {cluster + 1}: {len(rows):,} images"
        if gathered.labels is not None and (known := gathered.labels[rows] >= 0).any():
            values, counts = np.unique(gathered.labels[rows][known], return_counts=True)
            share = counts.max() / counts.sum()
            title += f", {share:.0%} {gathered.name_of(values[counts.argmax()])}"
        parts.append(Picture(f"cluster-{cluster + 1}", title, image_sheet(train.images(shown))))
    if count > MOST_CLUSTERS:
        parts.append(f"The {MOST_CLUSTERS} largest of {count:,} clusters.")
    look = (
        "one kind of thing in each cluster, from its middle (first) to its edge (last), and for clusters "
        "held together by background or colour."
    )
    return Section("Clusters", look, parts)


def odd_section(gathered: Gathered) -> Section:
    """Outliers and near-duplicates."""
    train = gathered.train
    nearest = gathered.similarities[:, 0]
    odd = outliers(nearest, ODD)
    captions = [f"{value:.2f}" for value in nearest[odd]]
    title = "Outliers: the lowest similarity to any other image"
    parts: list[Picture | str] = [
        Picture("outliers", title, image_sheet(train.images(odd), None, captions))
    ]
    pairs = near_duplicates(gathered.neighbours, gathered.similarities, DUPLICATE, PAIRS)
    if pairs:
        ids = np.array([pair[:2] for pair in pairs])
        images = train.images(ids.ravel())
        images = images.reshape(len(ids), 2, *images.shape[1:])
        images = np.concatenate([images[:, 0], images[:, 1]], axis=2)
        captions = [f"{pair[2]:.4f}" for pair in pairs]
        title = f"Near-duplicates: pairs of a similarity from {DUPLICATE:g} on"
        parts.append(Picture("duplicates", title, image_sheet(images, None, captions, wide=2)))
    else:
        parts.append(f"No two training images have a similarity of {DUPLICATE:g} or more.")
    look = (
        "outliers that do not belong into the data set, and the same picture twice, which counts double "
        "and may stand on both sides of a split."
    )
    return Section("Outliers and near-duplicates", look, parts)
