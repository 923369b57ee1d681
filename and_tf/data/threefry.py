"""Counter-based random numbers: a pure function of (seed, epoch, example, which draw).

Nothing is drawn from a state, so a number does not depend on what else is in the batch, on the
order of examples, on the device or on the replica.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow import bitwise

# Threefry-2x32: rotations of eight consecutive rounds, and the constant of the key schedule.
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
KEY_PARITY = 0x1BD11BDA
ROUNDS = 20

MAX_DRAWS = 32


def uniform(
    seed: int | tf.Tensor, epochs: int | tf.Tensor, indices: tf.Tensor, draws: int
) -> tf.Tensor:
    """`draws` numbers in [0, 1) for each example, float32 [B, draws], multiples of 2^-24.

    `seed` is a Python int or an integer scalar, of which the low 64 bits count; `indices` are
    integers [B], told apart modulo 2^32; `epochs` is an integer or integers [B], modulo 2^28.
    Draw d is the same number for any `draws` > d. Raises ValueError for more than 32 draws.
    """
    if not 0 < draws <= MAX_DRAWS:
        raise ValueError(f"`draws` must be between 1 and {MAX_DRAWS}. Received: {draws}")
    # A counter gives two words, so 4 bits number the pairs of one example's draws.
    pairs = (draws + 1) // 2
    epochs = bitwise.left_shift(_low_word(epochs), tf.constant(4, tf.uint32))
    counter = (
        _low_word(indices)[:, None],
        bitwise.bitwise_or(tf.reshape(epochs, [-1, 1]), tf.constant(list(range(pairs)), tf.uint32)),
    )
    words = tf.stack(threefry_2x32(_seed_words(seed), counter), axis=-1)
    words = tf.reshape(words, [-1, 2 * pairs])[:, :draws]
    # Of the 24 high bits float32 loses none, so that no number rounds up to 1.
    return tf.cast(bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def threefry_2x32(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds: two random words a counter, element by element.

    `key`, `counter` and the result are pairs of uint32 tensors that broadcast together.
    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    parity = bitwise.bitwise_xor(tf.constant(KEY_PARITY, tf.uint32), key[0])
    keys = (*key, bitwise.bitwise_xor(parity, key[1]))
    x0 = counter[0] + keys[0]
    x1 = counter[1] + keys[1]
    for number in range(1, ROUNDS + 1):
        x0 += x1
        x1 = bitwise.bitwise_xor(_rotate_left(x1, ROTATIONS[(number - 1) % 8]), x0)
        if number % 4 == 0:
            injection = number // 4
            x0 += keys[injection % 3]
            x1 += keys[(injection + 1) % 3] + tf.constant(injection, tf.uint32)
    return x0, x1


def _rotate_left(words: tf.Tensor, bits: int) -> tf.Tensor:
    high = bitwise.left_shift(words, tf.constant(bits, tf.uint32))
    low = bitwise.right_shift(words, tf.constant(32 - bits, tf.uint32))
    return bitwise.bitwise_or(high, low)


def _low_word(integers: int | tf.Tensor) -> tf.Tensor:
    """The low 32 bits, uint32, of a Python int or of integers of any type."""
    if isinstance(integers, int):
        return tf.constant(integers & 0xFFFFFFFF, tf.uint32)
    return tf.cast(integers, tf.uint32)


def _seed_words(seed: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    if isinstance(seed, int):
        return _low_word(seed), _low_word(seed >> 32)
    seed = tf.cast(seed, tf.uint64)
    return _low_word(seed), _low_word(bitwise.right_shift(seed, tf.constant(32, tf.uint64)))
