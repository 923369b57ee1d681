"""The parts of an evaluation that embeddings are enough for."""

from __future__ import annotations

import numpy as np

from and_tf.discovery.neighbourhoods import discover
from and_tf.evaluation import clustering, embedding_spread, label_free, retrieval
from and_tf.evaluation.entropy_order import order_quality
from and_tf.evaluation.few_labels import STRENGTH, draw, few_label_accuracies
from and_tf.evaluation.knn_grid import PAPER, confusion, knn_grid, mean_class_accuracy
from and_tf.evaluation.label_free import sample
from and_tf.evaluation.nearest import nearest
from and_tf.evaluation.neighbourhood_quality import consistent_shares, neighbour_agreement
from and_tf.judging.context import SEED, Context
from and_tf.judging.findings import Figure, Findings, NothingToMeasure
from and_tf.runs.checkpoints import read_model

MOST_CONFUSED = 200  # classes of a confusion matrix that is kept whole
MOST_JUDGED = 10_000  # examples that are clustered and that ask in retrieval
MOST_AGGLOMERATED = 4_000
MOST_COMPARED = 2_048  # examples whose neighbours are compared in two spaces
MOST_VIEWED = 1_024  # images of which two augmented views are embedded
DRAWS = 5
CLUSTERS = 10  # where no label says how many
ODD = 24  # outliers and near-duplicates that are listed


def knn(context: Context) -> Findings:
    """Weighted kNN from the bank, from embeddings and from the backbone's features."""
    subject, (labels, truth) = context.subject, context.labels()
    train, judged = subject.train, subject.judged
    spaces = {
        "bank": (judged.embeddings, subject.bank),
        "embeddings": (judged.embeddings, train.embeddings),
        "features": (judged.features, train.features),
    }
    found = Findings(settings={"queries": judged.name, "exclude_self": subject.test is None})
    for done, (name, (queries, rows)) in enumerate(spaces.items()):
        if queries is None or rows is None:
            continue
        grid = knn_grid(queries, truth, rows, labels, exclude_self=subject.test is None)
        context.progress((done + 1) / len(spaces))
        row = len([k for k in grid.neighbours if k <= PAPER[0]]) - 1
        column = grid.temperatures.index(PAPER[1])
        marked = grid.neighbours[row], grid.temperatures[column]
        found.settings |= {
            "neighbours": list(grid.neighbours),
            "temperatures": list(grid.temperatures),
            "paper": {"neighbours": marked[0], "temperature": marked[1]},
            "queries_labelled": len(grid.truth),
        }
        at = f"K={marked[0]}, T={marked[1]:g}"
        # Numbers of labels that occur, in their order; names are those of the subject.
        used = np.unique(np.concatenate([labels[labels >= 0], truth[truth >= 0]]))
        table = confusion(grid.truth, grid.chosen[row, column], len(used))
        best = np.unravel_index(grid.top1.argmax(), grid.top1.shape)
        best_at = f"K={grid.neighbours[best[0]]}, T={grid.temperatures[best[1]]:g}"
        found.figures |= {
            f"kNN {name}, top-1 ({at})": Figure(float(grid.top1[row, column])),
            f"kNN {name}, top-5 ({at})": Figure(float(grid.top5[row, column])),
            f"kNN {name}, mean over classes ({at})": Figure(mean_class_accuracy(table)),
            f"kNN {name}, best of the grid": Figure(float(grid.top1[best])),
        }
        details = {"top1": grid.top1.tolist(), "top5": grid.top5.tolist(), "best": best_at}
        if len(used) <= MOST_CONFUSED:
            names = [subject.name_of_class(label) for label in used.tolist()]
            details["confusion"] = {"classes": names, "table": table.tolist()}
        found.details[name] = details
    voters = int((labels >= 0).sum()) - (subject.test is None)
    if voters < PAPER[0]:
        found.notes.append(
            f"K is {voters:,} at most, for so many rows can vote; the paper's K is {PAPER[0]}."
        )
    if subject.test is None:
        found.notes.append(
            "Without test images the training images classify each other, each leaving itself out."
        )
    return found


def without_labels(context: Context) -> Findings:
    """How the training embeddings lie on the sphere, and what that says of the encoder."""
    x, dim = context.subject.train.embeddings, context.subject.train.embeddings.shape[1]
    neighbours, entropy = context.neighbourhoods.neighbours, context.neighbourhoods.entropy
    spread, rank = embedding_spread(x), label_free.effective_rank(x)
    uniform, hubs = label_free.uniformity(x, SEED), label_free.hubness(neighbours)
    said = label_free.verdict(spread, rank, uniform, dim)
    found = Findings(
        settings={
            "images": context.subject.train.name,
            "neighbours": neighbours.shape[1],
            "temperature": context.subject.temperature,
            "searcher": "exact" if context.neighbourhoods.probe is None else "scann",
        },
        details={
            "verdict": said,
            "entropy_quantiles": np.quantile(entropy, np.linspace(0, 1, 21)).tolist(),
            "entropy_limit": float(np.log(len(x))),
            "neighbour_counts": np.bincount(label_free.neighbour_counts(neighbours)).tolist(),
        },
        notes=[f"Verdict: {said}."],
    )
    measured = {
        "spread": (spread, "Healthy: near 1. Near 0, all images have one embedding."),
        "uniformity": (
            uniform,
            f"Healthy: below -2, at best about {-4 + 8 / dim:.1f}. At 0 all images have one embedding.",
        ),
        "effective rank (RankMe)": (
            rank,
            f"Healthy: a good part of {min(len(x), dim)}. Below 5 few directions are used.",
        ),
        "hubness, skewness": (
            hubs["skewness"],
            "Healthy: below about 2. Far above, few images are neighbours of very many.",
        ),
        "hubness, most popular": (
            hubs["most"],
            f"Healthy: some times {neighbours.shape[1]}, the mean. Hundreds are a hub.",
        ),
        "median entropy": (
            float(np.median(entropy)),
            f"Healthy: well below {np.log(len(x)):.2f}, where all images are equally near.",
        ),
    }
    for name, (value, healthy) in measured.items():
        found.figures[name] = Figure(value, "number", healthy=healthy)
    found.figures["mutual neighbours"] = Figure(
        label_free.mutual_share(neighbours[:, 0]),
        healthy="Healthy: a third or more. Few mean that neighbours are chosen by hubs or by chance.",
    )
    distance = _alignment(context)
    if distance is not None:
        found.figures["alignment"] = Figure(
            distance,
            "number",
            healthy="Healthy: well below 1 while uniformity is low. 0 with uniformity 0 is a collapse.",
        )
    return found


def _alignment(context: Context) -> float | None:
    """Of two augmented views of some training images, as training makes them."""
    subject = context.subject
    if subject.encoder is None or subject.augment is None or subject.train.image_set is None:
        return None
    ids = sample(np.arange(len(subject.train)), MOST_VIEWED, SEED)
    pixels = subject.train.images(ids)
    views = [subject.augment(pixels, ids, np.full(len(ids), view), SEED) for view in range(2)]
    one, other = (subject.encoder.predict(view, batch_size=256, verbose=0) for view in views)
    return label_free.alignment(one, other)


def clusters(context: Context) -> Findings:
    """Clusters and retrieval among the judged images; odd ones among the training images."""
    judged, train = context.subject.judged, context.subject.train
    rows = sample(np.arange(len(judged)), MOST_JUDGED, SEED)
    x = judged.embeddings[rows]
    labels = None if judged.labels is None else judged.labels[rows]
    classes = CLUSTERS if labels is None else len(np.unique(labels[labels >= 0]))
    count = min(classes, len(x))
    found = Findings(
        settings={"images": judged.name, "count": len(x), "clusters": count, "seed": SEED}
    )
    if count < 2:
        found.notes.append("All labelled images are of one class: nothing to cluster.")
    else:
        chosen = clustering.k_means(x, count, SEED)
        context.progress(0.3)
        few = sample(np.arange(len(x)), MOST_AGGLOMERATED, SEED)
        linked = clustering.agglomerative(x[few], count)
        found.settings["agglomerated"] = len(few)
        found.details["k_means"] = {"rows": rows.tolist(), "clusters": chosen.tolist()}
        names = {"nmi": "NMI", "ami": "AMI", "ari": "ARI", "accuracy": "matched accuracy"}
        for method, given, kept in (("k-means", chosen, slice(None)), ("Ward", linked, few)):
            scores = None if labels is None else clustering.cluster_scores(labels[kept], given)
            for key, value in (scores or {}).items():
                name = f"{method}, {names[key]}"
                found.figures[name] = Figure(value, "share" if key == "accuracy" else "number")
    context.progress(0.5)
    recalls = None if labels is None else retrieval.retrieval(x, labels)
    for name, value in (recalls or {}).items():
        found.figures[name.replace("map@r", "mAP@R")] = Figure(value)
    if labels is None:
        found.notes.append(
            "No image has a label: clusters and neighbours are not compared with any."
        )
    try:
        ids, similarities = context.neighbourhoods.neighbours, context.similarities
    except NothingToMeasure:
        return found
    odd = retrieval.outliers(similarities[:, 0], ODD)
    pairs = retrieval.near_duplicates(ids, similarities, count=ODD)
    found.details["outliers"] = [
        {"row": int(row), "source": train.sources[row], "similarity": float(similarities[row, 0])}
        for row in odd
    ]
    found.details["near_duplicates"] = [
        {
            "rows": [one, other],
            "sources": [train.sources[one], train.sources[other]],
            "similarity": value,
        }
        for one, other, value in pairs
    ]
    twins = similarities[:, 0] >= 0.99
    found.figures["images with a near-duplicate (0.99)"] = Figure(float(twins.mean()))
    return found


def few_labels(context: Context) -> Findings:
    """Classifiers from 1% and 10% of the labels and from 1, 5 and 10 of each class."""
    subject, (labels, truth) = context.subject, context.labels()
    fit, test = context.split()
    x, truth = subject.judged.embeddings[test], truth[test]
    rows, labels = subject.train.embeddings[fit], labels[fit]
    amounts = {"1 a class": 1, "5 a class": 5, "10 a class": 10, "1%": 0.01, "10%": 0.1}
    found = Findings(
        settings={
            "draws": DRAWS,
            "knn": {"neighbours": PAPER[0], "temperature": PAPER[1]},
            "logistic_C": STRENGTH,
            "queries": len(test),
        }
    )
    for done, (name, amount) in enumerate(amounts.items()):
        results = []
        for seed in range(DRAWS):
            chosen = draw(labels, amount, seed)
            if chosen is None:
                break
            results.append(
                few_label_accuracies(rows[chosen], labels[chosen], x, truth, *PAPER)
                | {"images": len(chosen)}
            )
            context.progress((done + (seed + 1) / DRAWS) / len(amounts))
        if len(results) < DRAWS:
            found.notes.append(f"{name}: no class has more labelled images than that.")
            continue
        found.details[name] = results
        for method in ("knn", "prototypes", "logistic"):
            values = [result[method] for result in results]
            found.figures[f"{name}, {'kNN' if method == 'knn' else method}"] = Figure(
                float(np.mean(values)), spread=float(np.std(values, ddof=1))
            )
    return found


def neighbourhoods(context: Context) -> Findings:
    """Figure 6: consistent neighbourhoods round by round, and whether entropy orders them well."""
    subject, train = context.subject, context.subject.train
    found = Findings(settings={"temperature": context.subject.temperature})
    if train.labels is not None:
        shares = consistent_shares(context.neighbourhoods.neighbours[:, :1], train.labels)
        order = order_quality(context.neighbourhoods.entropy, shares)
        if order is not None:
            found.figures["consistent nearest neighbours"] = Figure(float(np.nanmean(shares)))
            found.figures["order by entropy, area under the curve"] = _area(order)
            found.details["order"] = order
        found.details["rounds"] = _rounds(context)
    if train.features is not None:
        rows = sample(np.arange(len(train)), MOST_COMPARED, SEED)
        count = context.neighbourhoods.neighbours.shape[1]
        ids, _ = nearest(train.features[rows], train.features, count, own=rows)
        agreement = neighbour_agreement(ids, context.neighbourhoods.neighbours[rows])
        found.figures[f"neighbours shared with the backbone (of {count})"] = Figure(agreement)
    if not found.figures:
        raise NothingToMeasure("no training image has a label, and there are no backbone features")
    if subject.run is not None and not found.details.get("rounds"):
        found.notes.append("The run has no rounds with anchors.")
    return found


def _area(order: dict) -> Figure:
    return Figure(
        order["auc"],
        "number",
        healthy="Healthy: above 0.5, the value of a random order; the curriculum is right at 1.",
    )


def _rounds(context: Context) -> list[dict]:
    """Each round's anchors, and, where its checkpoint was kept, all neighbourhoods at its end."""
    subject, labels = context.subject, context.subject.train.labels
    if subject.run is None or labels is None:
        return []
    rounds: dict[int, dict] = {}
    for row in subject.run.read_metrics():
        if row.get("event") == "round" and row.get("consistency") is not None:
            pairs = row["anchors"] * (subject.config.curriculum.neighbours if subject.config else 1)
            consistent = round(row["consistency"] * pairs)
            rounds[row["round"]] = {
                "round": row["round"],
                "consistent": consistent,
                "inconsistent": pairs - consistent,
            }
    assert subject.train.rows is not None  # a run has images
    for done, (number, path) in enumerate(sorted(subject.rounds.items())):
        bank = read_model(path, compile=False).bank.numpy()[subject.train.rows]
        ends = discover(bank, 1, context.subject.temperature)
        order = order_quality(ends.entropy, consistent_shares(ends.neighbours, labels))
        rounds.setdefault(number, {"round": number})["at_end"] = order
        context.progress((done + 1) / len(subject.rounds))
    return [rounds[number] for number in sorted(rounds)]
