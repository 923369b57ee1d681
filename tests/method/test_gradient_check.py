from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import and_tf
from and_tf.method.gradient_check import GradientCheck
from tests import trapped

SOUND = [tf.constant([[1.0, -2.0]]), None, tf.constant([3.0]), tf.constant(1e15)]


def test_sound_gradients_pass_as_they_are():
    check = GradientCheck()
    loss, gradients = check(tf.constant(2.5), SOUND)
    assert loss == 2.5 and gradients[1] is None and check.left_out == 0
    for found, expected in zip(gradients[::2], SOUND[::2], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_that_is_not_finite_zeroes_all_and_is_named(value):
    check = GradientCheck()
    loss, gradients = check(tf.constant(2.5), [*SOUND, tf.constant([1.0, value]), SOUND[0]])
    assert loss == 2.5 and gradients[1] is None
    for place in (0, 2, 3, 4, 5):
        assert not np.any(gradients[place])
    assert check.left_out == 1 and check.culprit == 4
    check(tf.constant(2.5), SOUND)
    assert check.left_out == 1 and check.culprit == 4


def test_the_gradient_of_rows_that_were_looked_up_is_taken():
    rows = tf.IndexedSlices(tf.ones([2, 3]), tf.constant([0, 2]), tf.constant([4, 3]))
    _, (found,) = GradientCheck()(tf.constant(1.0), [rows])
    np.testing.assert_array_equal(found[:, 0], [1, 0, 1, 0])


def test_such_a_step_moves_no_weight_and_the_next_one_does():
    model = trapped.make_model(and_tf.SGD(0.1, momentum=0, nesterov=False, weight_decay=0))
    names = [variable.path for variable in model.variables]
    for batch in (np.arange(4, 8), np.arange(8, 12), np.arange(12, 16)):
        before = model.trainable_variables[0].numpy()
        bank = model.bank.numpy()
        loss = model.train_on_batch(trapped.IMAGES[batch], batch)
        moved = not np.array_equal(model.trainable_variables[0], before)
        assert np.isfinite(loss) and moved == (9 not in batch)
        assert not np.array_equal(model.bank.numpy()[batch], bank[batch])
    assert model.gradient_check.left_out == 1
    assert model.trainable_variables[model.gradient_check.culprit.numpy()].path == "trap/scale"
    assert [variable.path for variable in model.variables] == names


def test_no_checkpoint_holds_it(tmp_path):
    model = trapped.make_model()
    model.train_on_batch(trapped.IMAGES[:10], np.arange(10))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", {"Trap": trapped.Trap})
    assert model.gradient_check.left_out == 1 and loaded.gradient_check.left_out == 0


def test_float16_leaves_it_to_its_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = trapped.make_model()
        scale = model.optimizer.initial_scale
        before = model.trainable_variables[0].numpy()
        model.train_on_batch(trapped.IMAGES[:10], np.arange(10))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.gradient_check.left_out == 0
    assert float(model.optimizer.dynamic_scale) == scale / 2
    np.testing.assert_array_equal(model.trainable_variables[0], before)
