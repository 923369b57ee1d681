"""Keras callbacks for what happens at the boundaries of rounds and epochs."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from and_tf.data.image_set import ImageSet
from and_tf.data.in_memory import from_arrays
from and_tf.discovery.neighbourhoods import check_searcher, discover
from and_tf.discovery.scann_search import Probe
from and_tf.discovery.search_progress import SearchProgress
from and_tf.distribution import multi_worker
from and_tf.distribution.workers import Workers
from and_tf.evaluation.knn import knn_accuracy, odd_neighbours, why_no_accuracy
from and_tf.evaluation.neighbourhood_quality import consistency
from and_tf.method.curriculum import Curriculum, select_anchors
from and_tf.method.sharded_bank import ShardedBank


@dataclasses.dataclass(frozen=True)
class Discovery:
    """What a round's discovery found.

    Attributes:
        round: r.
        anchors: Number of anchors.
        entropy: Mean entropy in nats of all examples.
        anchor_entropy: Mean entropy in nats of the anchors.
        mutual_neighbours: Share of examples that are their nearest neighbour's nearest neighbour.
        consistency: Share of anchor-neighbour pairs of one class, None without labels.
        probe: How good an approximate search was, None for an exact one.
        seconds: How long it took.
    """

    round: int
    anchors: int
    entropy: float
    anchor_entropy: float
    mutual_neighbours: float
    consistency: float | None
    probe: Probe | None
    seconds: float


class NeighbourhoodDiscovery(keras.callbacks.Callback):
    """Discovers the neighbourhoods anew at the start of every round, and restarts the learning rate.

    Round 0 has no anchors. In round r the floor(N r / R) examples of lowest entropy are anchors.
    The round follows from the epoch, so `fit(..., initial_epoch=e)` goes on where a saved model
    stopped; the table of a round that the model already holds is kept. Several workers share the
    search.

    Args:
        rounds: R, the rounds after round 0.
        epochs_per_round: Epochs of each round.
        initial_epochs: Epochs of round 0. Default: `epochs_per_round`.
        learning_rate: The rate that every round starts with. Default: the one that the optimiser
            was made with.
        learning_rate_drops: Fractions of a round after which the rate drops.
        learning_rate_drop_factor: What each drop multiplies the rate by.
        schedule: "rounds", the rate starts anew in every round and drops inside it, or "cosine", it
            falls to 0 once over all rounds.
        warmup_epochs: Of a cosine: epochs at the start in which the rate rises.
        labels: int [N], -1 for none; for the neighbourhoods' consistency, never for training.
        searcher: "exact", "scann" or "auto", see `and_tf.discovery.neighbourhoods.discover`.

    Attributes:
        latest: The `Discovery` of the current round, None in round 0.

    Raises:
        ValueError: Another searcher, labels that do not match the model's examples, or an optimiser
            with a schedule.

    Source: Eq. 1, 5, 6 and section 3.3 of the AND paper.
    """

    def __init__(
        self,
        rounds: int = 4,
        epochs_per_round: int = 200,
        initial_epochs: int | None = None,
        learning_rate: float | None = None,
        learning_rate_drops: Sequence[float] = (0.6, 0.8),
        learning_rate_drop_factor: float = 0.1,
        labels: np.ndarray | None = None,
        searcher: str = "auto",
        schedule: Literal["rounds", "cosine"] = "rounds",
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__()
        check_searcher(searcher)
        if schedule not in ("rounds", "cosine"):
            raise ValueError(f'The schedule must be "rounds" or "cosine". Received: {schedule!r}')
        self.curriculum = Curriculum(rounds, epochs_per_round, initial_epochs)
        self.learning_rate = learning_rate
        self.learning_rate_drops = tuple(learning_rate_drops)
        self.learning_rate_drop_factor = learning_rate_drop_factor
        self.labels = labels
        self.searcher = searcher
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.latest: Discovery | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.labels is not None and len(self.labels) != self.model.num_examples:
            raise ValueError(
                f"Every one of the {self.model.num_examples} examples needs a label, -1 for none. "
                f"Received: {len(self.labels)} labels"
            )
        if self.learning_rate is None:
            optimizer = self.model.optimizer
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)
            # Keras's own attribute is the schedule's present value.
            rate = getattr(optimizer, "initial_learning_rate", optimizer._learning_rate)
            if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
                raise ValueError(
                    "NeighbourhoodDiscovery sets the learning rate itself, round by round: give "
                    f"the optimiser a number. Received: {type(rate).__name__}"
                )
            self.learning_rate = float(keras.ops.convert_to_numpy(rate))
        epochs, total = self.params.get("epochs"), self.curriculum.total_epochs
        stands_between = self.model.examples_seen % self.model.num_examples == 0
        if epochs is not None and epochs != total and stands_between:
            what = (
                f"ends in round {self.curriculum.round_of(epochs - 1)} of {self.curriculum.rounds}"
                if epochs < total
                else "goes on in the last round, at its lowest learning rate"
            )
            warnings.warn(
                f"The rounds take {total} epochs, and training {what}: call fit with epochs={total}, "
                f"or change the rounds. Received: epochs={epochs}",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        assert self.learning_rate is not None  # since training began
        self.model.optimizer.learning_rate = self._learning_rate(epoch, self.learning_rate)
        round_index = self.curriculum.round_of(epoch)
        if round_index != self.model.round.numpy():
            self.latest = self._begin_round(round_index)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs["round"] = self.curriculum.round_of(epoch)
            logs["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())

    def _learning_rate(self, epoch: int, highest: float) -> float:
        if self.schedule == "cosine":
            return self.curriculum.cosine_learning_rate(epoch, highest, self.warmup_epochs)
        drops = self.learning_rate_drops, self.learning_rate_drop_factor
        return self.curriculum.learning_rate(epoch, highest, *drops)

    def _begin_round(self, round_index: int) -> Discovery | None:
        if round_index == 0:
            no_anchors = np.empty(0, np.int64)
            self.model.set_neighbourhoods(0, no_anchors, no_anchors.reshape(0, 1))
            return None
        unseen = int((self.model.times_seen.numpy() == 0).sum())
        if unseen:
            warnings.warn(
                f"{unseen:,} of the {self.model.num_examples:,} rows of the bank belong to no image that "
                "was trained on so far: they are random, and may be taken for neighbours. Make AND with "
                "num_examples=len(images), and leave no image out.",
                stacklevel=2,
            )
        start = time.monotonic()
        bank, workers = self.model.bank, Workers(self.model.distribute_strategy)
        with SearchProgress(f"discovery of round {round_index}") as progress:
            found = discover(
                bank.shards() if isinstance(bank, ShardedBank) else bank.numpy(),
                self.model.neighbours,
                self.model.temperature,
                self.searcher,
                seed=(self.model.seed, round_index),
                anchor_share=round_index / self.curriculum.rounds,
                progress=progress if workers.is_chief else lambda share: None,
                workers=workers,
            )
        anchors = select_anchors(found.entropy, round_index, self.curriculum.rounds)
        self.model.set_neighbourhoods(round_index, anchors, found.neighbours[anchors])
        return Discovery(
            round=round_index,
            anchors=len(anchors),
            entropy=float(found.entropy.mean()),
            anchor_entropy=float(found.entropy[anchors].mean()),
            mutual_neighbours=found.mutual_share(),
            consistency=None
            if self.labels is None
            else consistency(anchors, found.neighbours[anchors], self.labels),
            probe=found.probe,
            seconds=time.monotonic() - start,
        )


class KNNEvaluation(keras.callbacks.Callback):
    """Weighted kNN accuracy while training, from the bank and from recomputed features.

    Adds `knn_bank` (the bank's rows vote as they stand, made of augmented images) and
    `knn_features` (the training images embedded anew, without augmentation, vote) to the logs of
    every epoch: the latest figures, where an epoch is not evaluated. The first epoch is evaluated,
    the last one, and every few between them. Without test images the training images are
    classified, each leaving itself out.

    Args:
        train: The labelled training images, in the order of their ids: an image set, or arrays
            (images, labels) as `and_tf.data.from_arrays` takes them.
        test: Labelled images to classify, in the same way, or None.
        neighbours: K.
        temperature: Of the vote.
        every_epochs: Epochs between evaluations.
        curriculum: If given, the end of every round is evaluated too.
        batch_size: Images embedded at a time.

    Attributes:
        untrained: Accuracy of the recomputed features before the first step, None on a model that
            has been trained already.
        is_fresh: Whether the epoch that ended last was evaluated.

    Raises:
        ValueError: Images without labels, or too few labels to measure anything.
    """

    FIGURES = ("knn_bank", "knn_features")

    def __init__(
        self,
        train: ImageSet | tuple[np.ndarray, np.ndarray],
        test: ImageSet | tuple[np.ndarray, np.ndarray] | None = None,
        neighbours: int = 200,
        temperature: float = 0.1,
        every_epochs: int = 10,
        curriculum: Curriculum | None = None,
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        self.train = _image_set(train)
        self.test = None if test is None else _image_set(test)
        for images in (self.train, self.test):
            if images is not None:
                _labels_of(images)
        reason = why_no_evaluation(self.train, self.test)
        if reason is not None:
            raise ValueError(f"kNN evaluation has nothing to measure: {reason}.")
        if neighbours < 1 or every_epochs < 1:
            raise ValueError(
                "neighbours and every_epochs of KNNEvaluation must be at least 1. "
                f"Received: neighbours={neighbours}, every_epochs={every_epochs}"
            )
        counts, has_test = self.train.class_counts, self.test is not None
        odd = odd_neighbours("neighbours of KNNEvaluation", neighbours, counts, has_test)
        if odd is not None:
            warnings.warn(odd, stacklevel=2)
        self.neighbours = neighbours
        self.temperature = temperature
        self.every_epochs = every_epochs
        self.curriculum = curriculum
        self.batch_size = batch_size
        self.untrained: float | None = None
        self.is_fresh = False
        self._latest: dict[str, float] = {}

    def check_images(self, model: keras.Model, images: Any, ids: Any) -> None:
        """Raise ValueError unless the training images are those of `fit`, in the order of their ids.

        Args:
            model: What is trained.
            images: What it is trained on; looked at where they are an array, a hundred at most.
            ids: int [N], of an array.
        """
        recipe = (
            "KNNEvaluation takes the labelled images that are trained on, all of them and in the order "
            "of their ids, since the bank's rows are theirs; a label of -1 is none. "
        )
        if len(self.train) != model.num_examples:
            received = f"{len(self.train)} images, where the bank has {model.num_examples} rows"
            raise ValueError(f"{recipe}Received: {received}")
        if not isinstance(images, np.ndarray) or ids is None or self.train.images is None:
            return
        for image, id in zip(images[:100], np.ravel(ids)[:100].tolist(), strict=False):
            known = 0 <= id < len(self.train)
            if known and not np.array_equal(image, self.train.images[id]):
                raise ValueError(
                    f"{recipe}Received: another image than that of id {id} in training"
                )

    def on_train_begin(self, logs: dict | None = None) -> None:
        is_untrained = self.model.examples_seen == 0
        if is_untrained or not self._latest:  # or goes on with a trained model
            self._latest = self.evaluate()
        if is_untrained:
            self.untrained = self._latest.get("knn_features")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.curriculum is None:
            is_end = epoch + 1 == self.params.get("epochs")
        else:
            is_end = self.curriculum.ends_round(epoch)  # the last epoch ends a round, too
        is_due = (epoch + 1) % self.every_epochs == 0
        self.is_fresh = epoch == 0 or is_due or is_end
        if self.is_fresh:
            self._latest = self.evaluate()
        if logs is not None:
            logs.update(self._latest)

    def evaluate(self) -> dict[str, float]:
        """Top-1 accuracies in [0, 1] of the model as it stands."""
        features, labels = self._embed(self.train), _labels_of(self.train)
        if self.test is None:
            queries, query_labels = features, labels
        else:
            queries, query_labels = self._embed(self.test), _labels_of(self.test)
        accuracies = {
            name: knn_accuracy(
                queries,
                query_labels,
                rows,
                labels,
                self.neighbours,
                self.temperature,
                exclude_self=self.test is None,
            )
            for name, rows in (
                ("knn_bank", self.model.bank.numpy()),
                ("knn_features", features),
            )
        }
        return {name: share for name, share in accuracies.items() if share is not None}

    def _embed(self, images: ImageSet) -> np.ndarray:
        workers = Workers(self.model.distribute_strategy)
        if workers.count == 1:
            return self.model.predict(images.ordered_batches(self.batch_size), verbose=0)
        share = images.ordered_batches(self.batch_size, (workers.rank, workers.count))
        return multi_worker.predict_shares(self.model, share)


def why_no_evaluation(train: ImageSet, test: ImageSet | None) -> str | None:
    """Why there is no accuracy to measure of such images; None where there is one."""
    test_labels = None if test is None else test.labels
    return why_no_accuracy(train.labels, test_labels, test is not None)


def _image_set(images: ImageSet | tuple[np.ndarray, np.ndarray]) -> ImageSet:
    if isinstance(images, ImageSet):
        return images
    if not isinstance(images, Sequence) or len(images) != 2:
        raise ValueError(
            "kNN evaluation takes an and_tf.data.ImageSet, or a pair (images, labels). "
            f"Received: {type(images).__name__}"
        )
    return from_arrays(*images)


def _labels_of(images: ImageSet) -> np.ndarray:
    if images.labels is None:
        raise ValueError(f"kNN evaluation needs labels. Received: {images.name} has none")
    return images.labels
