from __future__ import annotations

import errno
import types

import keras
import numpy as np
import pytest

import and_tf
from and_tf.errors import CheckpointError, NonFiniteError
from and_tf.method.sharded_bank import ShardedBank
from and_tf.runs.checkpoints import Checkpoints, Position, SaveCheckpoints

N = 10
IMAGES = np.zeros((N, 16, 16, 3), np.uint8)


def make_model(bank: str) -> and_tf.AND:
    encoder = and_tf.encoders.conv4(input_shape=(16, 16, 3), embedding_dim=4, width=0.25)
    model = and_tf.AND(encoder, N, bank=bank)
    model.compile(and_tf.SGD())
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def model() -> and_tf.AND:
    return make_model("mirrored")


def see(model: and_tf.AND, examples: int) -> None:
    """As if so many examples had been trained on."""
    model.times_seen.assign(examples // N + (np.arange(N) < examples % N))


@pytest.mark.parametrize(
    "examples, batch_size, expected",
    [(0, 4, (0, 0)), (4, 4, (0, 1)), (8, 4, (0, 2)), (10, 4, (1, 0)), (37, 7, (3, 1))],
)
def test_position_follows_from_the_examples_seen(model, examples, batch_size, expected):
    see(model, examples)
    assert Position.of(model, batch_size) == Position(*expected)


def test_keeps_the_latest(model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", batch_size=4, keep=2)
    assert checkpoints.paths() == [] and checkpoints.load_latest() is None
    for examples in (10, 20, 24):
        see(model, examples)
        checkpoints.save(model)
    names = [path.name for path in checkpoints.paths()]
    assert names == ["epoch-000002-step-00000001.keras", "epoch-000002-step-00000000.keras"]
    assert len(list(checkpoints.folder.iterdir())) == 2
    loaded = checkpoints.load_latest()
    np.testing.assert_array_equal(loaded.times_seen, model.times_seen)
    np.testing.assert_array_equal(loaded.bank, model.bank)


@pytest.mark.parametrize("saved", ["mirrored", "sharded"])
@pytest.mark.parametrize("asked_for", ["mirrored", "sharded", None])
def test_a_checkpoint_holds_the_whole_bank(tmp_path, saved, asked_for):
    model = make_model(saved)
    model.set_neighbourhoods(2, np.array([3]), np.array([[4]]))
    model.optimizer.variables[-1].assign(np.full(model.optimizer.variables[-1].shape, 0.5))
    checkpoints = Checkpoints(tmp_path, batch_size=4)
    checkpoints.save(model)
    loaded = checkpoints.load_latest(asked_for)
    assert loaded.get_config()["bank"] == asked_for or saved
    assert isinstance(loaded.bank, ShardedBank) == ((asked_for or saved) == "sharded")
    np.testing.assert_array_equal(loaded.bank.numpy(), model.bank.numpy())
    for one, other in (
        (loaded.variables, model.variables),
        (loaded.optimizer.variables, model.optimizer.variables),
    ):
        others = {variable.path: variable for variable in other}
        for variable in one:
            if variable.path in others:
                np.testing.assert_array_equal(variable, others[variable.path])


def test_a_failed_save_leaves_the_last_one(model, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, batch_size=4)
    checkpoints.save(model)

    def fill_the_disk(self, path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill_the_disk)
    see(model, 10)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(model)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000000-step-00000000.keras"]


def test_a_model_that_is_not_finite_is_not_kept(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, batch_size=4)
    checkpoints.save(model)
    see(model, 10)
    kernel = model.encoder.get_layer("embedding").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(NonFiniteError, match="embedding/kernel is not finite any more. Try"):
        checkpoints.save(model)
    assert len(checkpoints.paths()) == 1


def test_a_sharded_bank_that_is_not_finite_is_not_kept(tmp_path):
    model = make_model("sharded")
    rows = model.bank.numpy()
    rows[3, 1] = np.nan
    model.bank.assign(rows)
    with pytest.raises(NonFiniteError, match="/bank is not finite any more. Try"):
        Checkpoints(tmp_path, batch_size=4).save(model)


def cut_short(content: bytes) -> bytes:
    return content[:5000]


def rot(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(2000) + content[middle + 2000 :]


def flip_one_bit(content: bytes) -> bytes:
    """In the middle of the weights, where no reader of HDF5 would notice."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut_short, rot, flip_one_bit])
def test_a_file_that_cannot_be_read_is_passed_over_and_written_anew(
    model, tmp_path, capsys, damage
):
    checkpoints = Checkpoints(tmp_path, batch_size=4, keep=2)
    checkpoints.save(model)
    see(model, 10)
    broken = checkpoints.save(model)
    broken.write_bytes(damage(broken.read_bytes()))
    assert not checkpoints.load_latest().times_seen.numpy().any()
    assert f"left out checkpoint {broken.name}" in capsys.readouterr().err
    checkpoints.save(model)
    np.testing.assert_array_equal(checkpoints.load_latest().times_seen, model.times_seen)


def test_no_run_starts_anew_because_its_checkpoints_cannot_be_read(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, batch_size=4)
    broken = checkpoints.save(model)
    broken.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=f"No checkpoint in .* Received: {broken.name}"):
        checkpoints.load_latest()
    assert broken.exists()


def test_the_ends_of_rounds_can_be_kept_for_good(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, batch_size=4, keep=1, keep_epochs=range(1, 4, 2))
    for examples in (10, 14, 20, 30, 34, 38):
        see(model, examples)
        checkpoints.save(model)
    assert [path.stem for path in checkpoints.paths()] == [
        "epoch-000003-step-00000002", "epoch-000003-step-00000000", "epoch-000001-step-00000000",
    ]  # fmt: skip


def test_a_long_epoch_is_saved_in_its_middle(model, tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 60))  # a minute passes between looks at it
    monkeypatch.setattr(
        "and_tf.runs.checkpoints.time", types.SimpleNamespace(monotonic=lambda: next(clock))
    )
    checkpoints = Checkpoints(tmp_path, batch_size=1, keep=100)
    model.fit(
        IMAGES, np.arange(N), batch_size=1, epochs=2, verbose=0,
        callbacks=[SaveCheckpoints(checkpoints, every_epochs=2, every_minutes=3)],
    )  # fmt: skip
    found = [path.stem for path in reversed(checkpoints.paths())]
    assert found[-1] == "epoch-000002-step-00000000"  # the end of an epoch counts as one
    steps = [int(name[-8:]) + N * int(name[6:12]) for name in found]
    assert 0 not in np.diff(steps) and set(np.diff(steps[:-1])) <= {2, 3, 4} and len(steps) > 5


def test_saves_every_few_epochs(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, batch_size=5, keep=10)
    model.fit(
        IMAGES, np.arange(N), batch_size=5, epochs=7, verbose=0,
        callbacks=[SaveCheckpoints(checkpoints, every_epochs=3)],
    )  # fmt: skip
    assert [path.name[:12] for path in checkpoints.paths()] == ["epoch-000006", "epoch-000003"]
