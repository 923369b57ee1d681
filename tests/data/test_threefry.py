"""The counter-based generator against its published answers, and what its draws promise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.data.threefry import threefry_2x32, uniform

WORD = 0xFFFFFFFF


def words(*values: int) -> tuple[tf.Tensor, ...]:
    return tuple(tf.constant(value, tf.uint32) for value in values)


# From the known-answer file of Random123, the authors' library: "threefry2x32 20".
@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((WORD, WORD), (WORD, WORD), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_published_answers(counter, key, expected, jit_compile) -> None:
    generate = threefry_2x32
    if jit_compile is not None:
        generate = tf.function(generate, jit_compile=jit_compile)
    assert tuple(int(word) for word in generate(words(*key), words(*counter))) == expected


def naive_uniform(seed: int, epoch: int, index: int, draw: int) -> float:
    """Python integers, one number at a time, as the docstrings describe it."""
    key = [seed & WORD, (seed >> 32) & WORD]
    key.append(0x1BD11BDA ^ key[0] ^ key[1])
    x0, x1 = index & WORD, (epoch * 16 + draw // 2) & WORD
    x0, x1 = (x0 + key[0]) & WORD, (x1 + key[1]) & WORD
    for number in range(20):
        bits = [13, 15, 26, 6, 17, 29, 16, 24][number % 8]
        x0 = (x0 + x1) & WORD
        x1 = ((x1 << bits | x1 >> (32 - bits)) & WORD) ^ x0
        if number % 4 == 3:
            times = number // 4 + 1
            x0 = (x0 + key[times % 3]) & WORD
            x1 = (x1 + key[(times + 1) % 3] + times) & WORD
    return ((x0, x1)[draw % 2] >> 8) / 2**24


@pytest.mark.parametrize("seed", [0, 7, -3, 2**40 + 5, 2**63 - 1])
def test_numbers_are_those_of_seed_epoch_index_and_draw(seed: int) -> None:
    indices, epochs = [0, 5, 2**31 + 1, 2**32 - 1], [0, 3, 1000, 2**27]
    got = uniform(seed, tf.constant(epochs), tf.constant(indices, tf.int64), 5)
    expected = [
        [naive_uniform(seed, epoch, index, draw) for draw in range(5)]
        for epoch, index in zip(epochs, indices)
    ]
    np.testing.assert_array_equal(got, expected)
    as_tensor = uniform(tf.constant(seed, tf.int64), tf.constant(epochs), np.array(indices), 5)
    np.testing.assert_array_equal(as_tensor, got)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_draw_the_same_numbers(jit_compile: bool) -> None:
    indices = tf.range(10)
    drawn = tf.function(
        lambda seed, epoch: uniform(seed, epoch, indices, 29), jit_compile=jit_compile
    )
    got = drawn(tf.constant(12, tf.int64), tf.constant(4, tf.int64))
    np.testing.assert_array_equal(got, uniform(12, 4, indices, 29))


def test_a_number_does_not_depend_on_its_batch_nor_on_how_many_are_drawn() -> None:
    alone = uniform(9, 2, tf.constant([77]), 29)[0]
    crowd = uniform(9, tf.constant([5, 2, 0]), tf.constant([3, 77, 77]), 32)
    np.testing.assert_array_equal(crowd[1, :29], alone)
    assert not np.any(crowd[2, :29] == alone)


def test_draws_are_uniform_and_uncorrelated() -> None:
    size = 20_000
    drawn = {
        "example": uniform(1, 0, tf.range(size), 4).numpy(),
        "epoch": uniform(1, tf.range(size), tf.zeros(size, tf.int32), 4).numpy(),
        "next example": uniform(1, 0, tf.range(size) + 1, 4).numpy(),
        "next epoch": uniform(1, 1, tf.range(size), 4).numpy(),
        "next seed": uniform(2, 0, tf.range(size), 4).numpy(),
        "high word of seed": uniform(1 + 2**32, 0, tf.range(size), 4).numpy(),
    }
    columns = np.concatenate(list(drawn.values()), axis=1)
    assert columns.min() >= 0.0 and columns.max() < 1.0
    # Five standard errors: of a mean, of the share in each tenth, of a correlation.
    bound = 5 / size**0.5
    assert np.abs(columns.mean(0) - 0.5).max() < bound * 12**-0.5
    for column in columns.T:
        shares = np.histogram(column, bins=10, range=(0, 1))[0] / size
        assert np.abs(shares - 0.1).max() < bound * 0.3
    # One column is another shifted by one example, so the two are compared in place.
    correlations = np.corrcoef(columns.T)
    assert np.abs(correlations[~np.eye(len(correlations), dtype=bool)]).max() < bound


@pytest.mark.parametrize("draws", [0, 33])
def test_the_number_of_draws_is_bounded(draws: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 32. Received: {draws}"):
        uniform(0, 0, tf.range(3), draws)
