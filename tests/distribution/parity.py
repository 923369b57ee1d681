"""Trains on one device and on several, and writes what came of it.

`python tests/distribution/parity.py FOLDER some` in a process of its own, since logical devices are made
before TensorFlow computes; `rest` takes the numbers of devices that `some` leaves out, and `long` more
steps of all.
"""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import and_tf
from and_tf import train
from and_tf.distribution.devices import choose_strategy
from and_tf.distribution.replicas import gathered
from and_tf.encoders.batch_norm import BatchNormalization
from and_tf.encoders.blocks import conv_bn, conv_bn_relu, normalised_pixels, unit_embedding
from and_tf.method import objective
from and_tf.method.sharded_bank import ShardedBank
from and_tf.method.sharded_objective import sharded_losses
from and_tf.runs.checkpoints import read_model
from tests import trapped

MOST = 4
# The last batch of 5 leaves a fourth replica without an image: TensorFlow hands out 2, 2, 1 and 0.
N, BATCH = 29, 8
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)
LABELS = np.arange(N) % 4
LABELS[0] = 4  # a class of one example


def small_encoder() -> keras.Model:
    pixels, x = normalised_pixels((12, 12, 3), [0.5] * 3, [0.25] * 3)
    x = conv_bn_relu(x, 8, 3, stride=2, name="conv1")
    x = conv_bn_relu(x, 8, 3, stride=2, name="conv2")
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D()(x))
    return keras.Model(pixels, unit_embedding(x, 8))


def make_model(strategy: tf.distribute.Strategy, **options) -> and_tf.AND:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        # XLA would compile jitter of all colours for every device.
        augment = and_tf.Augment(contrast=0, saturation=0, hue=0, flip=True)
        model = and_tf.AND(
            small_encoder(), N, neighbours=2, augment=augment, seed=3, name="and", **options
        )
        model.compile(and_tf.SGD(0.03))
    return model


def fit(model: and_tf.AND, epochs: int, first_epoch: int = 0) -> list[float]:
    images = and_tf.data.from_arrays(IMAGES, LABELS)
    history = model.fit(
        images.training_batches(BATCH, seed=3, first_epoch=first_epoch),
        steps_per_epoch=images.steps_per_epoch(BATCH),
        initial_epoch=first_epoch,
        epochs=epochs,
        callbacks=[and_tf.NeighbourhoodDiscovery(rounds=2, epochs_per_round=1, labels=LABELS)],
        shuffle=False,
        verbose=0,
    )
    return history.history["loss"]


def state(model: and_tf.AND) -> dict[str, np.ndarray]:
    """What a checkpoint holds, the same on every replica to the bit."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    kept = [v for v in model.variables if not any(v is metric for metric in metrics)]
    momenta = {f"optimiser/{i}": v for i, v in enumerate(model.optimizer.variables)}
    found = {variable.path: variable for variable in kept} | momenta
    for name, variable in found.items():
        for copy in getattr(variable.value, "values", ()):
            np.testing.assert_array_equal(copy, variable.numpy(), err_msg=name)
    values = {name: variable.numpy() for name, variable in found.items()}
    return values | {model.bank.path: model.bank.numpy()}  # of a sharded one, the parts together


def outcome(model: and_tf.AND) -> dict[str, np.ndarray]:
    found = {
        "evaluate": model.evaluate(IMAGES, np.arange(N), batch_size=BATCH, verbose=0),
        "predict": model.predict(IMAGES[:9], batch_size=4, verbose=0),
    }
    return found | state(model)


def train_on(replicas: int, folder: pathlib.Path, bank: str = "mirrored") -> None:
    strategy = choose_strategy(replicas)
    assert strategy.num_replicas_in_sync == replicas
    objective.PLAIN_LOGITS = 0 if replicas == 3 else 1 << 18  # on three by the sweep
    model = make_model(strategy, bank=bank)
    fit(model, epochs=2)
    model.save(folder / f"{replicas} {bank}.keras")
    loss = fit(model, epochs=3, first_epoch=2)
    np.savez(folder / f"{replicas} {bank}.npz", loss=loss, **outcome(model))


def train_two_views_on(replicas: int, folder: pathlib.Path, bank: str = "mirrored") -> None:
    model = make_model(choose_strategy(replicas), bank=bank, views=2)
    loss = fit(model, epochs=2)
    np.savez(folder / f"views {replicas} {bank}.npz", loss=loss, **outcome(model))


def smooth_encoder() -> keras.Model:
    """Without ReLUs, whose gradient jumps where rounding takes an input of 0 to either side."""
    pixels, x = normalised_pixels((16, 16, 3), [0.5] * 3, [0.25] * 3)
    for filters in (16, 32):
        x = conv_bn(x, filters, 3, stride=2, name=f"conv{filters}")
        x = keras.layers.Activation("swish")(x)
    return keras.Model(pixels, unit_embedding(keras.layers.GlobalAveragePooling2D()(x), 16))


def long_outcome(strategy: tf.distribute.Strategy, bank: str) -> dict:
    """56 steps under every augmentation, with three rounds in them."""
    images = np.random.default_rng(1).integers(0, 256, (101, 16, 16, 3), dtype=np.uint8)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = and_tf.AND(
            smooth_encoder(),
            len(images),
            augment=and_tf.Augment(),
            seed=3,
            bank=bank,
            name="and",
        )
        model.compile(and_tf.SGD(0.03))
    batches = and_tf.data.from_arrays(images).training_batches(16, seed=3)
    rounds = and_tf.NeighbourhoodDiscovery(rounds=3, epochs_per_round=2)
    history = model.fit(
        batches, steps_per_epoch=7, epochs=8, callbacks=[rounds], shuffle=False, verbose=0
    )
    return state(model) | {"loss": history.history["loss"]}


def train_long_on(replicas: int, folder: pathlib.Path, bank: str = "mirrored") -> None:
    np.savez(folder / f"{replicas} {bank}.npz", **long_outcome(choose_strategy(replicas), bank))


def resume_on_others(folder: pathlib.Path, begun_on: str, replicas: int, bank: str) -> None:
    """The third epoch of a run on other devices, or with another bank."""
    with choose_strategy(replicas).scope():
        model = read_model(folder / f"{begun_on}.keras", bank=bank)
    loss = fit(model, epochs=3, first_epoch=2)
    name = f"{begun_on}, then {replicas} {bank}.npz"
    np.savez(folder / name, loss=loss, **outcome(model))


def objective_in_parts(folder: pathlib.Path) -> None:
    """Five rows over four replicas, of which the last has none and the second no image."""
    strategy = choose_strategy(4)
    sizes = [2, 0, 3, 1]
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(6, 4)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    positives = np.array([[4, 1], [0, -1], [2, 3], [1, 4], [3, -1], [0, 2]])
    parts = tf.split(embeddings, sizes)
    with strategy.scope():
        bank = ShardedBank(5, 4, seed=1)

    def step(x: tf.Tensor, temperature: float) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(x)
            everyones = gathered(x)
            losses, rows = sharded_losses(x, everyones, bank, positives, temperature)
        ids = tf.constant([4, 0, 2])
        bank.scatter_update(tf.IndexedSlices(-bank.gather(ids), ids))
        return losses, tape.gradient(losses, x), rows

    for temperature in (0.1, 0.02):
        before = bank.numpy()
        x = strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        found = tf.function(strategy.run)(step, (x, temperature))
        losses, gradients, rows = map(strategy.experimental_local_results, found)
        np.savez(
            folder / f"parts {temperature}.npz",
            embeddings=embeddings,
            positives=positives,
            losses=np.concatenate(losses),
            gradients=np.concatenate(gradients),
            rows=np.stack(rows),
            before=before,
            after=bank.numpy(),
            shards=[(first, len(rows)) for first, rows in bank.shards()],
        )


def objective_of_a_whole_bank(folder: pathlib.Path) -> None:
    """Four images, as they are and in two parts, by the logits at once and in blocks."""
    rows = tf.math.l2_normalize(tf.random.stateless_normal([53, 8], [0, 0]), -1)
    images = tf.math.l2_normalize(tf.random.stateless_normal([4, 8], [1, 0]), -1)

    def losses_and_gradients(bank: tf.Variable | tf.Tensor, limit: int, x, ids) -> tuple:
        objective.PLAIN_LOGITS = limit
        with tf.GradientTape() as tape:
            tape.watch(x)
            losses = objective.neighbourhood_losses(x, bank, ids[:, None], 0.1)
        return losses, tape.gradient(losses, x)

    strategy = choose_strategy(2)
    with strategy.scope():
        bank = tf.Variable(
            rows, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @tf.function
    def step(limit: int, x, ids) -> tuple:
        return strategy.run(lambda x, ids: losses_and_gradients(bank, limit, x, ids), (x, ids))

    def halves(tensor: tf.Tensor):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.split(tensor, 2)[context.replica_id_in_sync_group]
        )

    found = {"whole": losses_and_gradients(rows, 1 << 62, images, tf.range(4))}
    block_rows, objective._BLOCK_ROWS = objective._BLOCK_ROWS, 16
    for name, limit in (("blocks", 0), ("at once", 1 << 62)):
        parts = step(limit, halves(images), halves(tf.range(4)))
        found[name] = [np.concatenate(strategy.experimental_local_results(part)) for part in parts]
    objective._BLOCK_ROWS = block_rows
    for name, (losses, gradients) in found.items():
        np.savez(folder / f"objective {name}.npz", losses=losses, gradients=gradients)


def leave_out_on(replicas: int, folder: pathlib.Path) -> None:
    """With gradients that are not finite, once an epoch, on one of the replicas."""
    with choose_strategy(replicas).scope():
        model = trapped.make_model()
    ids = np.arange(trapped.N)
    history = model.fit(trapped.IMAGES, ids, batch_size=4, epochs=2, shuffle=False, verbose=0)
    check = model.gradient_check
    found = {"left out": check.left_out.numpy(), "culprit": check.culprit.numpy()}
    np.savez(
        folder / f"left out {replicas}.npz", loss=history.history["loss"], **found, **state(model)
    )


def normalise(x: tf.Tensor, upstream: tf.Tensor, layer: BatchNormalization) -> tuple:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradients = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], upstream)
    return y, *gradients


def normalise_on(sizes: list[int], folder: pathlib.Path) -> None:
    """A layer of batch norm, and its gradients, with as many images on each replica."""
    strategy = choose_strategy(len(sizes))
    rng = np.random.default_rng(1)
    x = rng.normal(30.0, 2.0, (sum(sizes), 4, 3, 6)).astype("float32")
    upstream = rng.normal(size=x.shape).astype("float32")
    with strategy.scope():
        layer = BatchNormalization(momentum=0.9, epsilon=1e-5)
        layer.build(x.shape)
        layer.set_weights([rng.uniform(0.5, 1.5, 6) for _ in range(4)])

    def part(array: np.ndarray) -> tf.Tensor:
        parts = tf.split(array, sizes)
        return strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

    found = tf.function(strategy.run)(normalise, (part(x), part(upstream), layer))
    y, of_x, of_gamma, of_beta = map(strategy.experimental_local_results, found)
    np.savez(
        folder / f"batch norm {len(sizes)}.npz",
        y=np.concatenate(y),
        of_x=np.concatenate(of_x),
        of_gamma=np.sum(of_gamma, axis=0),
        of_beta=np.sum(of_beta, axis=0),
        mean=layer.moving_mean.numpy(),
        variance=layer.moving_variance.numpy(),
    )


def plain_norm_encoder() -> keras.Model:
    pixels = keras.Input((12, 12, 3))
    x = keras.layers.BatchNormalization(name="alone")(pixels)
    return keras.Model(pixels, unit_embedding(keras.layers.Flatten()(x), 8))


def refusals() -> dict[str, str]:
    strategy = choose_strategy(2)
    outside = small_encoder()
    made_outside = make_model(choose_strategy(1))
    with strategy.scope():
        model = and_tf.AND(small_encoder(), N)
        keras.config.set_dtype_policy("mixed_float16")
        half_model = and_tf.AND(small_encoder(), N)
        keras.config.set_dtype_policy("float32")

    def fit(model: and_tf.AND, optimizer: keras.optimizers.Optimizer, **options) -> None:
        model.compile(optimizer, **options)
        model.fit(IMAGES, np.arange(N), verbose=0)

    attempts = {
        "encoder": lambda: and_tf.AND(outside, N),
        "batch norm": lambda: and_tf.AND(plain_norm_encoder(), N),
        "model": lambda: made_outside.fit(IMAGES, np.arange(N), verbose=0),
        "optimizer": lambda: fit(model, made_outside.optimizer),
        "clipnorm": lambda: fit(model, and_tf.SGD(0.03, clipnorm=1.0)),
        "global_clipnorm": lambda: fit(model, and_tf.SGD(0.03, global_clipnorm=1.0)),
        "clipvalue": lambda: fit(model, and_tf.SGD(0.03, clipvalue=1.0)),
        "accumulation": lambda: fit(model, and_tf.SGD(0.03, gradient_accumulation_steps=2)),
        "steps": lambda: fit(model, and_tf.SGD(0.03), steps_per_execution=2),
        "jit_compile": lambda: fit(model, and_tf.SGD(0.03), jit_compile=True),
        "float16": lambda: fit(half_model, and_tf.SGD(0.03)),
    }
    with strategy.scope():
        return complaints(attempts)


def complaints(attempts: dict[str, Callable[[], object]]) -> dict[str, str]:
    """What is said of each attempt that is refused."""
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except ValueError as error:
            found[name] = str(error)
    return found


def refused_command(folder: pathlib.Path) -> str:
    complaint = io.StringIO()
    options = ["--set=train.devices=2", "--set=train.precision=float16", "--set=encoder.width=0.1"]
    with contextlib.redirect_stderr(complaint):
        assert train.main(["--run-dir", str(folder / "refused"), *options]) == 2
    keras.config.set_dtype_policy("float32")
    return complaint.getvalue()


def train_in_a_notebook(folder: pathlib.Path) -> None:
    """On arrays, under TensorFlow's own choice of exchange, and in mixed precision."""
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        for name, strategy in (("one", tf.distribute.get_strategy()), ("two", two)):
            model = make_model(strategy)
            history = model.fit(
                IMAGES, np.arange(N), batch_size=BATCH, epochs=2, shuffle=False, verbose=0
            )
            np.savez(folder / f"{policy} {name}.npz", loss=history.history["loss"], **state(model))
    keras.config.set_dtype_policy("float32")


def train_by_command(folder: pathlib.Path) -> None:
    """A run on three replicas that goes on on two, its bank in parts."""
    run = folder / "run"
    options = {
        "encoder.width": 0.1,
        "curriculum.rounds": 1,
        "curriculum.initial_epochs": 1,
        "curriculum.epochs_per_round": 1,
        "augment.hue": 0,  # as above
        "augment.contrast": 0,
        "augment.saturation": 0,
    }
    arguments = [f"--set={name}={value}" for name, value in options.items()]
    arguments += ["--run-dir", str(run)]
    assert train.main([*arguments, "--set", "train.devices=3"]) == 0
    metrics = (run / "metrics.jsonl").read_text()
    (last,) = (run / "checkpoints").glob("epoch-000002*")
    last.unlink()
    (run / "model.keras").unlink()
    sharded = ["--set", "objective.bank=sharded"]
    assert train.main([*arguments, "--set", "train.devices=2", *sharded, "--resume"]) == 0
    for name, text in (("3", metrics), ("3, then 2", (run / "metrics.jsonl").read_text())):
        (folder / f"{name}.jsonl").write_text(text)


def some(folder: pathlib.Path) -> None:
    """What tells most: no exchange, one of two, and one of four of which the last may get no image."""
    # Before Keras, for the sake of deterministic operations, ignores jit_compile.
    found = refusals() | {"command": refused_command(folder)}
    (folder / "refusals.json").write_text(json.dumps(found))
    tf.config.experimental.enable_op_determinism()
    for replicas, bank in ((1, "mirrored"), (2, "mirrored"), (4, "sharded")):
        train_on(replicas, folder, bank)
    for replicas, bank in ((1, "mirrored"), (2, "mirrored"), (4, "sharded")):
        train_two_views_on(replicas, folder, bank)
    resume_on_others(folder, "1 mirrored", 2, "sharded")
    objective_in_parts(folder)
    objective_of_a_whole_bank(folder)
    for replicas in (1, 2):
        leave_out_on(replicas, folder)
    normalise_on([7], folder)
    normalise_on([4, 1, 2], folder)


def rest(folder: pathlib.Path) -> None:
    """All other numbers of devices, and ways to go on."""
    tf.config.experimental.enable_op_determinism()
    for replicas in range(1, MOST + 1):
        train_on(replicas, folder, "mirrored")
    for replicas in (2, 3):
        train_on(replicas, folder, "sharded")
    for bank in ("mirrored", "sharded"):
        resume_on_others(folder, f"2 {bank}", 1, "mirrored")


def long(folder: pathlib.Path) -> None:
    """More steps, in a notebook and by command, too."""
    tf.config.experimental.enable_op_determinism()
    for bank in ("mirrored", "sharded"):
        for replicas in range(1, MOST + 1):
            train_long_on(replicas, folder, bank)
    train_in_a_notebook(folder)
    train_by_command(folder)


if __name__ == "__main__":
    choose_strategy(MOST)
    {"some": some, "rest": rest, "long": long}[sys.argv[2]](pathlib.Path(sys.argv[1]))
