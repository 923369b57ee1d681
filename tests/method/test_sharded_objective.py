"""One shard alone; tests/distribution/test_parity.py has several."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.method.memory import RandomUnitRows
from and_tf.method.objective import neighbourhood_losses
from and_tf.method.sharded_bank import ShardedBank
from and_tf.method.sharded_objective import sharded_losses


@pytest.mark.parametrize("temperature", [0.1, 0.02])
@pytest.mark.parametrize("num_rows", [9, 4100])  # in one piece, and with a block of 4096 as well
def test_one_shard_gives_the_losses_and_gradients_of_the_whole_bank(num_rows, temperature):
    bank = ShardedBank(num_rows, 8, seed=1)
    embeddings = RandomUnitRows(2)((5, 8))
    positives = np.array([[1, 3], [0, -1], [8, 2], [num_rows - 1, 0], [4, -1]])
    found = {}
    for name in ("sharded", "whole"):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            if name == "sharded":
                losses, rows = sharded_losses(embeddings, embeddings, bank, positives, temperature)
            else:
                losses = neighbourhood_losses(embeddings, bank.numpy(), positives, temperature)
        found[name] = losses.numpy(), tape.gradient(losses, embeddings).numpy()
    np.testing.assert_allclose(found["sharded"][0], found["whole"][0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["sharded"][1], found["whole"][1], rtol=1e-4, atol=1e-4)
    expected = np.where(positives[..., None] >= 0, bank.numpy()[positives], 0)
    np.testing.assert_array_equal(rows, expected)
