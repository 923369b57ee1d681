"""The model: an encoder, its memory bank, and the neighbourhoods of the current round."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from and_tf.data.augment import Augment
from and_tf.data.image_set import ImageSet
from and_tf.distribution import multi_worker, replicas
from and_tf.method import fit_checks, model_checks
from and_tf.method.gradient_check import GradientCheck
from and_tf.method.memory import RandomUnitRows, updated_rows
from and_tf.method.model_checks import Bank
from and_tf.method.objective import neighbourhood_losses
from and_tf.method.replica_limits import check_encoder, check_training
from and_tf.method.sharded_bank import ShardedBank
from and_tf.method.sharded_objective import sharded_losses
from and_tf.method.two_views import SECOND, two_view_losses


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
            Where its output is not float32, `self.encoder` is the same one with another layer that
            normalises in float32.
        num_examples: N, the number of training images.
        temperature: tau of the softmax over the bank (Eq. 2).
        bank_momentum: Weight of the old row in the bank's update, 1 - eta of Eq. 8.
        neighbours: k, the neighbours of an anchor without itself.
        augment: Called as `augment(images, indices, epochs, seed)` in every training step, for
            instance an `and_tf.Augment`. None trains on the images as they are.
        seed: Seed of the bank's first rows and of the augmentation.
        bank: "mirrored", every device has the whole bank, or "sharded", every one of R devices has
            ceil(N / R) of its rows.
        views: 1, the paper's objective: an image's view against the bank. 2: two views of each image
            against all others of the batch, see `and_tf.method.two_views`; the bank serves for
            neighbours and evaluation alone, and gets the mean of both views.
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
        ValueError: An argument out of its range, an encoder without unit vectors, or one that would
            train otherwise on several devices.
        NotImplementedError: Several replicas under another strategy than these.
    """

    train_function: Any
    test_function: Any

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
        views: Literal[1, 2] = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        check_encoder(encoder)
        model_checks.check_arguments(
            encoder, num_examples, temperature, bank_momentum, neighbours, bank, views, augment
        )
        self.encoder = encoder = model_checks.with_float32_units(encoder)
        # Pixels reach the encoder in float32 under mixed precision too; its layers cast for themselves.
        encoder.autocast = False
        self.num_examples = num_examples
        self.temperature = temperature
        self.bank_momentum = bank_momentum
        self.neighbours = neighbours
        self.augment = augment
        self.seed = seed
        self.views = views
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
        self.uses_xla = False
        self._warned_of_pixels = False
        self._is_cut_already = False  # by the image set that `fit` was given
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

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | Literal["auto"] = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """As `keras.Model.compile`, without loss and metrics: AND has its own objective.

        XLA compiles the training step if `jit_compile` is True, and nothing if it is "auto". The ids
        and pixels of a step are checked before the part that XLA compiles, since XLA drops checks.

        Raises:
            ValueError: A loss, metrics or weights of them, which would have no effect.
        """
        model_checks.check_compile_options(
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
        )
        self.uses_xla = jit_compile is True and not run_eagerly
        super().compile(
            optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,
            auto_scale_loss=auto_scale_loss,
        )

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()  # empty before `compile`
        return config and config | {"jit_compile": self.uses_xla}

    def compile_from_config(self, config: dict) -> None:
        config = keras.saving.deserialize_keras_object(config)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            config.pop(name, None)  # had no effect in earlier versions
        self.compile(**config)
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        callbacks: Any = None,
        **options: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, with the ids of the images `x` as targets `y`.

        `x` may be an `and_tf.data.ImageSet`, in memory or streamed, which brings its ids; its order in
        each epoch follows from the model's seed. Crops of `Augment` are cut from the whole photographs
        of a set that has them, as by `and_tf.train`. On several machines `x` is an image set or a
        `tf.data.Dataset` of whole batches, the same on each.

        Warns at the end where the model trains well and predicts about one point.

        Raises:
            ValueError: Ids that are missing, not integers, out of range, or not unique; what would
                have no effect; what several replicas would train otherwise than one device.
        """
        crop = fit_checks.whole_crop(self, x)
        if self._is_cut_already != (crop is not None):
            self._is_cut_already = crop is not None
            self.train_function = None  # to be traced anew
        arguments = fit_checks.fit_arguments(self, x, y, batch_size, callbacks, options, crop)
        return super().fit(**arguments)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **options: Any
    ) -> Any:
        """As `keras.Model.evaluate`; takes its images as `fit` does."""
        return super().evaluate(**fit_checks.evaluate_arguments(self, x, y, batch_size, options))

    def predict(self, x: Any, batch_size: int | None = None, **options: Any) -> np.ndarray:
        """As `keras.Model.predict`, also of an `and_tf.data.ImageSet`.

        On several machines each embeds its share, and has the result.
        """
        x = fit_checks.as_array(x)
        if isinstance(x, ImageSet):
            x, batch_size = x.ordered_batches(batch_size or 32), None
        fit_checks.check_images(self, x)
        fit_checks.check_has_end(x, options.get("steps"), "steps")
        if fit_checks.is_empty(x):
            return np.zeros((0, self.encoder.output_shape[-1]), np.float32)
        if not multi_worker.has_workers(self):
            return super().predict(x, batch_size=batch_size, **options)
        return multi_worker.predict(self, x, batch_size)

    def export(self, filepath: Any, format: str = "tf_saved_model", **options: Any) -> None:
        """As `keras.Model.export`, of the encoder: images [B, H, W, 3] to unit embeddings [B, d]."""
        self.encoder.export(filepath, format, **options)

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
        if not self.trainable_variables:
            raise ValueError(
                "The encoder has nothing to train: set trainable=True for some of its layers. "
                f"Received: {len(self.encoder.weights)} weights, all of them frozen"
            )
        model_checks.check_convolutions(self.encoder)
        # Within the first step, replicas could not make its variables, and one device would have to
        # trace the step twice.
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)
        if self.train_function is None or force:
            if multi_worker.has_workers(self):
                self.train_function = multi_worker.across_replicas(self, self.train_step)
            else:
                super().make_train_function(force)
            self.train_function = model_checks.in_own_words(self.train_function, self.num_examples)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable:
        """As Keras's, on several machines, too."""
        if self.test_function is None or force:
            if multi_worker.has_workers(self):
                self.test_function = multi_worker.across_replicas(self, self.test_step)
            else:
                super().make_test_function(force)
            self.test_function = model_checks.in_own_words(self.test_function, self.num_examples)
        return self.test_function

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, indices, all_indices = self._checked(data)
        step = self._learn
        if self.uses_xla:
            step = tf.function(step, jit_compile=True, autograph=False)
        step(images, indices, all_indices)
        return {"loss": self.loss_tracker.result()}

    def _checked(self, data: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """This replica's images and ids, and the ids of the whole batch, all of them as they should be."""
        images, indices = model_checks.unpack(data, self.num_examples)
        images = model_checks.of_image_shape(images, self.encoder)
        images = model_checks.pixels_checked(images, self._warn_of_pixels)
        # Under several replicas each has its part of the batch; "all" is the batch itself.
        all_indices = replicas.gathered(indices)
        assertion = model_checks.ids_assertion(all_indices, self.num_examples)
        with tf.control_dependencies([assertion]):
            return images, tf.identity(indices), tf.identity(all_indices)

    def _warn_of_pixels(self, least: float, greatest: float) -> bool:
        if not self._warned_of_pixels:
            self._warned_of_pixels = model_checks.warn_of_pixels(least, greatest)
        return True

    def _learn(self, images: tf.Tensor, indices: tf.Tensor, all_indices: tf.Tensor) -> None:
        """Take a step: augmentation, objective, optimiser, and the update of the bank."""
        bank = self._own_bank()
        views = self._augmented(images, indices)
        with tf.GradientTape() as tape:
            embeddings = replicas.applied(self, views, training=True)
            objective = self._objective if self.views == 1 else self._two_view_objective
            loss, everyones, rows = objective(bank, embeddings, indices, all_indices)
            # Keras sums the gradients of replicas.
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

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The objective of images as they are, against the bank; neither weights nor bank change."""
        images, indices, all_indices = self._checked(data)
        embeddings = replicas.applied(self, images, training=False)
        share, _, _ = self._objective(self._own_bank(), embeddings, indices, all_indices)
        loss = replicas.summed(share)
        self.loss_tracker.update_state(loss, sample_weight=tf.size(all_indices))
        return {"loss": self.loss_tracker.result()}

    def predict_step(self, data: Any) -> tf.Tensor:
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        images = model_checks.of_image_shape(images, self.encoder)
        images = model_checks.pixels_checked(images, self._warn_of_pixels)
        return replicas.applied(self, images, training=False)

    def _own_bank(self) -> tf.Variable | ShardedBank:
        """What a replica reads and writes; a tensor would be a copy of the whole bank."""
        return self.bank if isinstance(self.bank, ShardedBank) else replicas.own(self.bank.value)

    def _augmented(self, images: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """Random views of images, [views x b, H, W, C]: the first of each, then the second."""
        if self.augment is None:
            return images
        epochs, augment = tf.gather(self.times_seen, indices), self.augment
        if self._is_cut_already and isinstance(augment, Augment):
            augment = augment.without_crop()
        starts = (0, SECOND)[: self.views]
        views = [augment(images, indices, epochs + start, self.seed) for start in starts]
        return views[0] if self.views == 1 else tf.concat(views, axis=0)

    def _objective(
        self,
        bank: tf.Variable | ShardedBank,
        embeddings: tf.Tensor,
        indices: tf.Tensor,
        all_indices: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """This replica's share of the loss, the embeddings of all, and their rows as they stand."""
        everyones = replicas.gathered(tf.stop_gradient(embeddings))
        if isinstance(bank, ShardedBank):
            positives = self.positives(all_indices)
            losses, rows = sharded_losses(embeddings, everyones, bank, positives, self.temperature)
            rows = rows[:, 0]  # every example is its own first positive
        else:
            positives = self.positives(indices)
            losses = neighbourhood_losses(embeddings, bank, positives, self.temperature)
            rows = tf.gather(bank, all_indices)
        return replicas.share_of_mean(losses, tf.size(all_indices)), everyones, rows

    def _two_view_objective(
        self,
        bank: tf.Variable | ShardedBank,
        embeddings: tf.Tensor,
        indices: tf.Tensor,
        all_indices: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As `_objective`; of embeddings of two views, whose means stand for them in the bank."""
        embeddings = tf.cast(embeddings, tf.float32)
        first, second = (
            replicas.with_own(replicas.gathered(tf.stop_gradient(view)), view)
            for view in tf.split(embeddings, 2)
        )
        positives = self.positives(all_indices)
        if isinstance(bank, ShardedBank):
            rows = bank.gather(positives)
        else:
            rows = tf.gather(bank, tf.maximum(positives, 0))
        neighbours = rows[:, 1:], positives[:, 1:]
        losses = two_view_losses(first, second, all_indices, *neighbours, self.temperature)
        loss = replicas.share_of_whole_mean(losses, tf.size(indices))
        return loss, tf.stop_gradient(first + second) / 2, rows[:, 0]

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

    def save(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """As `keras.Model.save`, to a `.keras` file.

        Raises:
            ValueError: A file of another kind, which would not hold the bank.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "AND is saved with its bank as a .keras file; to share the encoder alone, "
                f"model.encoder.save() takes others. Received: {filepath}"
            )
        super().save(filepath, *arguments, **options)

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
            "views": self.views,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> AND:
        config = dict(config)
        for name in ("encoder", "augment"):
            if config[name] is not None:
                config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)
