"""The model: an encoder, its memory bank, and the neighbourhoods of the current round."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from and_tf.distribution import multi_worker, replicas
from and_tf.method.gradient_check import GradientCheck
from and_tf.method.memory import RandomUnitRows, updated_rows
from and_tf.method.model_checks import (
    Bank,
    check_arguments,
    check_convolutions,
    check_training_data,
    index_assertions,
)
from and_tf.method.objective import neighbourhood_losses
from and_tf.method.replica_limits import check_encoder, check_training
from and_tf.method.sharded_bank import ShardedBank
from and_tf.method.sharded_objective import sharded_losses


@keras.saving.register_keras_serializable(package="and_tf")
class AND(keras.Model):
    """An encoder trained without labels by neighbourhood discovery.

    `fit(images, indices)` trains on images [N, H, W, 3] (0-255, uint8 or float) and the id 0..N-1
    of each; `predict(images)` gives float32 unit embeddings [N, d]. Without anchors it learns every
    image as its own class; `NeighbourhoodDiscovery` sets the anchors round by round.

    Made, with encoder and optimiser, within the scope of a `tf.distribute.MirroredStrategy` or
    `MultiWorkerMirroredStrategy`, it trains on several devices, of several machines, to the same
    result: each has its part of the batch, and the whole bank or a part of it.

    Args:
        encoder: `keras.Model` from images to unit embeddings [B, d], which normalises pixels inside.
        num_examples: N, the number of training images.
        temperature: tau of the softmax over the bank (Eq. 2).
        bank_momentum: Weight of the old row in the bank's update, 1 - eta of Eq. 8.
        neighbours: k, the neighbours of an anchor without itself.
        augment: Called as `augment(images, indices, epochs, seed)` in every training step, for
            instance an `and_tf.Augment`. None trains on the images as they are.
        seed: Seed of the bank's first rows and of the augmentation.
        bank: "mirrored", every device has the whole bank, or "sharded", every one of R devices has
            ceil(N / R) of its rows.
        **kwargs: Passed on to `keras.Model` (`name`, `dtype`).

    Attributes:
        bank: float32 [N, d] variable, unit rows; an `and_tf.method.sharded_bank.ShardedBank` if sharded,
            which is not among the model's variables.
        neighbourhoods: int32 [N, k] variable: each anchor's neighbours, -1 for all other examples.
        times_seen: int32 [N] variable: how many steps each example has been part of.
        round: int32 variable: the round that `neighbourhoods` was discovered for.
        gradient_check: The `and_tf.method.gradient_check.GradientCheck` that leaves gradients out where
            one is not finite. float16's loss scaling, which has its own way to, is left to it.

    Raises:
        ValueError: An argument out of its range, an encoder without a flat embedding, or one that
            would train otherwise on several devices.
        NotImplementedError: Several replicas under another strategy than these.
    """

    def __init__(
        self,
        encoder: keras.Model,
        num_examples: int,
        temperature: float = 0.1,
        bank_momentum: float = 0.5,
        neighbours: int = 1,
        augment: Callable[..., tf.Tensor] | None = None,
        seed: int = 0,
        bank: Bank = "mirrored",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        check_encoder(encoder)
        check_arguments(encoder, num_examples, temperature, bank_momentum, neighbours, bank)
        self.encoder = encoder
        # Pixels reach the encoder in float32 under mixed precision too; its layers cast for themselves.
        encoder.autocast = False
        self.num_examples = num_examples
        self.temperature = temperature
        self.bank_momentum = bank_momentum
        self.neighbours = neighbours
        self.augment = augment
        self.seed = seed
        self.loss_tracker = keras.metrics.Mean(name="loss")

        add_state = functools.partial(self.add_weight, trainable=False, autocast=False)
        shape = num_examples, encoder.output_shape[-1]
        if bank == "sharded":
            self.bank = ShardedBank(*shape, seed, path=f"{self.name}/bank")
        else:
            rows = RandomUnitRows(seed)
            self.bank = add_state(name="bank", shape=shape, dtype="float32", initializer=rows)
        add_integers = functools.partial(add_state, dtype="int32")
        self.neighbourhoods = add_integers(
            name="neighbourhoods",
            shape=(num_examples, neighbours),
            initializer=keras.initializers.Constant(-1),
        )
        self.times_seen = add_integers(
            name="times_seen", shape=(num_examples,), initializer="zeros"
        )
        self.round = add_integers(name="round", shape=(), initializer="zeros")
        self.gradient_check = GradientCheck()
        self.built = True  # by its encoder

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.encoder(images, training=training)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_tracker]

    @property
    def examples_seen(self) -> int:
        """How many examples all training steps so far were made of."""
        return int(self.times_seen.numpy().sum(dtype=np.int64))

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`, with the ids of the images `x` as targets `y`.

        On several machines `x` is a `tf.data.Dataset` of whole batches, the same on each.

        Raises:
            ValueError: Ids that are missing, not integers, out of range, or not unique; what
                several replicas would train otherwise than one device.
        """
        if not multi_worker.has_workers(self):
            check_training_data(x, y, self.num_examples)
            return super().fit(x, y, **kwargs)
        for name in ("validation_data", "validation_split"):
            if kwargs.get(name):
                raise ValueError(f"{name} is not evaluated on several machines: leave it out.")
        steps = kwargs.pop("steps_per_epoch", None)
        x, steps = multi_worker.training_data(self, x, y, steps)
        return super().fit(x, steps_per_epoch=steps, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; on several machines as `fit` takes its images."""
        if not multi_worker.has_workers(self):
            return super().evaluate(x, y, **kwargs)
        x, steps = multi_worker.training_data(self, x, y, kwargs.pop("steps", None))
        return super().evaluate(x, steps=steps, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> np.ndarray:
        """As `keras.Model.predict`; on several machines each embeds its share, and has the result."""
        if not multi_worker.has_workers(self):
            return super().predict(x, batch_size=batch_size, **kwargs)
        return multi_worker.predict(self, x, batch_size)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: all is built.

        Under a strategy Keras would draw a batch to build what is not, and fail at one that does
        not divide by the replicas.
        """

    def make_train_function(self, force: bool = False) -> Callable:
        """As Keras's, for every way to train.

        Raises:
            ValueError: Several replicas would train otherwise than one device, see
                `and_tf.method.replica_limits`; the encoder has a layer whose gradient corrupts
                memory.
        """
        check_training(self)
        check_convolutions(self.encoder)
        # Within the first step, replicas could not make its variables, and one device would have to
        # trace the step twice.
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)
        if not multi_worker.has_workers(self):
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function: Callable = multi_worker.across_replicas(self, self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable:
        """As Keras's, on several machines, too."""
        if not multi_worker.has_workers(self):
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function: Callable = multi_worker.across_replicas(self, self.test_step)
        return self.test_function

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, indices, _ = keras.utils.unpack_x_y_sample_weight(data)
        indices = tf.reshape(indices, [-1])
        # Under several replicas each has its part of the batch; "all" is the batch itself.
        all_indices = replicas.gathered(indices)
        with tf.control_dependencies(index_assertions(all_indices, self.num_examples)):
            indices, all_indices = tf.identity_n([indices, all_indices])
        if self.augment is not None:
            epochs = tf.gather(self.times_seen, indices)
            images = self.augment(images, indices, epochs, self.seed)

        bank = self._own_bank()
        with tf.GradientTape() as tape:
            embeddings = tf.cast(replicas.applied(self, images, training=True), tf.float32)
            everyones = replicas.gathered(tf.stop_gradient(embeddings))
            losses, rows = self._objective(bank, embeddings, indices, everyones, all_indices)
            # Keras sums the gradients of replicas.
            loss = replicas.share_of_mean(losses, tf.size(all_indices))
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        if hasattr(self.optimizer, "inner_optimizer"):  # scales float16's, and looks for itself
            loss = replicas.summed(loss)
        else:
            loss, gradients = self.gradient_check(loss, gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))

        # Every replica writes the rows of the whole batch into its own bank, or its own of them.
        rows = updated_rows(rows, everyones, self.bank_momentum)
        bank.scatter_update(tf.IndexedSlices(rows, all_indices))
        self.times_seen.value.scatter_add(
            tf.IndexedSlices(tf.ones_like(all_indices, tf.int32), all_indices)
        )
        self.loss_tracker.update_state(loss, sample_weight=tf.size(all_indices))
        return {"loss": self.loss_tracker.result()}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The objective of images as they are; neither weights nor bank change."""
        images, indices, _ = keras.utils.unpack_x_y_sample_weight(data)
        indices = tf.reshape(indices, [-1])
        all_indices = replicas.gathered(indices)
        embeddings = tf.cast(replicas.applied(self, images, training=False), tf.float32)
        everyones = replicas.gathered(embeddings)
        bank = self._own_bank()
        losses, _ = self._objective(bank, embeddings, indices, everyones, all_indices)
        loss = replicas.summed(replicas.share_of_mean(losses, tf.size(all_indices)))
        self.loss_tracker.update_state(loss, sample_weight=tf.size(all_indices))
        return {"loss": self.loss_tracker.result()}

    def predict_step(self, data: Any) -> tf.Tensor:
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return replicas.applied(self, images, training=False)

    def _own_bank(self) -> tf.Variable | ShardedBank:
        """What a replica reads and writes; a tensor would be a copy of the whole bank."""
        return self.bank if isinstance(self.bank, ShardedBank) else replicas.own(self.bank.value)

    def _objective(
        self,
        bank: tf.Variable | ShardedBank,
        embeddings: tf.Tensor,
        indices: tf.Tensor,
        everyones: tf.Tensor,
        all_indices: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of this replica's images, and the bank's rows of all, as they stand."""
        if isinstance(bank, ShardedBank):
            positives = self.positives(all_indices)
            losses, rows = sharded_losses(embeddings, everyones, bank, positives, self.temperature)
            return losses, rows[:, 0]  # every example is its own first positive
        positives = self.positives(indices)
        losses = neighbourhood_losses(embeddings, bank, positives, self.temperature)
        return losses, tf.gather(bank, all_indices)

    def positives(self, indices: tf.Tensor) -> tf.Tensor:
        """Each example's positives in this round: itself, and its neighbours if it is an anchor.

        Args:
            indices: int [B].

        Returns:
            int32 [B, 1 + k], padded with -1.
        """
        neighbours = tf.gather(self.neighbourhoods, indices)
        return tf.concat([tf.cast(indices, tf.int32)[:, tf.newaxis], neighbours], axis=1)

    def set_neighbourhoods(
        self, round_index: int, anchors: np.ndarray, neighbours: np.ndarray
    ) -> None:
        """Begin a round: only `anchors` have neighbours from now on.

        Args:
            round_index: r.
            anchors: int [A], ids.
            neighbours: int [A, k], the neighbours of each anchor, itself excluded.
        """
        table = np.full((self.num_examples, self.neighbours), -1, np.int32)
        table[anchors] = neighbours
        self.neighbourhoods.assign(table)
        self.round.assign(round_index)

    def save_own_variables(self, store: dict) -> None:
        """The same for a mirrored and a sharded bank, so that either can be loaded from it."""
        for number, variable in enumerate(self._state()):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store: dict) -> None:
        for number, variable in enumerate(self._state()):
            variable.assign(store[str(number)])

    def _state(self) -> list[keras.Variable | ShardedBank]:
        return [self.bank, self.neighbourhoods, self.times_seen, self.round]

    def get_config(self) -> dict:
        return super().get_config() | {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_examples": self.num_examples,
            "temperature": self.temperature,
            "bank_momentum": self.bank_momentum,
            "neighbours": self.neighbours,
            "augment": self.augment and keras.saving.serialize_keras_object(self.augment),
            "seed": self.seed,
            "bank": "sharded" if isinstance(self.bank, ShardedBank) else "mirrored",
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> AND:
        config = dict(config)
        for name in ("encoder", "augment"):
            if config[name] is not None:
                config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)
