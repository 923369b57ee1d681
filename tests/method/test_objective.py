from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from and_tf.method import objective
from and_tf.method.objective import neighbourhood_losses

FORMS = {"plain": 1 << 62, "fused": 0}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either form, whatever the size; the fused one in blocks of 16 rows."""
    use(monkeypatch, request.param)
    return request.param


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "fused")


def use(monkeypatch: pytest.MonkeyPatch, form: str, block_rows: int = 16) -> None:
    monkeypatch.setattr(objective, "PLAIN_LOGITS", FORMS[form])
    monkeypatch.setattr(objective, "_BLOCK_ROWS", block_rows)


def unit_rows(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive_losses_and_gradients(embeddings, bank, positives, temperature):
    """Eq. 2, 3 and 7 one example at a time in float64, with the gradient worked out on paper."""
    losses, gradients = [], []
    for embedding, ids in zip(embeddings, positives, strict=True):
        ids = ids[ids >= 0]
        logits = bank @ embedding / temperature
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        share = np.exp(logits[ids] - logits[ids].max())
        losses.append(logits.max() - np.log(np.exp(logits[ids]).sum())
                      + np.log(np.exp(logits - logits.max()).sum()))  # fmt: skip
        pull = share / share.sum() @ bank[ids]
        gradients.append((probabilities @ bank - pull) / temperature)
    return np.array(losses), np.array(gradients)


def losses_and_gradients(embeddings, bank, positives, temperature):
    embeddings = tf.convert_to_tensor(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = neighbourhood_losses(embeddings, bank, positives, temperature)
    return losses, tape.gradient(losses, embeddings)


def some_positives(seed: int, batch: int, num_rows: int, size: int) -> np.ndarray:
    """Every other example is an instance: one positive, then padding."""
    rng = np.random.default_rng(seed)
    positives = np.stack([rng.permutation(num_rows)[:size] for _ in range(batch)])
    positives[::2, 1:] = -1
    return positives


def assert_formula_holds(found, embeddings, bank, positives, temperature):
    expected = naive_losses_and_gradients(embeddings, bank, positives, temperature)
    # Logits grow with 1 / temperature, and float32 knows them to about 1e-7 of their size.
    tolerance = 1e-6 / temperature + 1e-6
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=tolerance)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=tolerance / temperature)


@pytest.mark.parametrize("temperature", [0.01, 0.049, 0.05, 0.07, 0.1, 1.0])
@pytest.mark.parametrize("neighbours", [0, 1, 5])
def test_agrees_with_the_formula(form, temperature, neighbours):
    bank, embeddings = np.float32(unit_rows(0, (53, 8))), np.float32(unit_rows(1, (6, 8)))
    positives = some_positives(2, 6, 53, 1 + neighbours)
    found = losses_and_gradients(embeddings, bank, positives, temperature)
    assert_formula_holds(found, *map(np.float64, (embeddings, bank)), positives, temperature)


@pytest.mark.parametrize("num_rows", [1, 15, 16, 17, 32])
def test_agrees_with_the_formula_for_any_number_of_blocks(fused, num_rows):
    bank, embeddings = np.float32(unit_rows(0, (num_rows, 5))), np.float32(unit_rows(1, (3, 5)))
    positives = np.zeros((3, 1), int)
    found = losses_and_gradients(embeddings, bank, positives, 0.1)
    assert_formula_holds(found, *map(np.float64, (embeddings, bank)), positives, 0.1)


@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_both_forms_agree_in_blocks_of_the_usual_size(monkeypatch, temperature):
    bank, embeddings = np.float32(unit_rows(0, (9973, 16))), np.float32(unit_rows(1, (4, 16)))
    found = {}
    for name in FORMS:
        use(monkeypatch, name, block_rows=4096)
        case = (embeddings, bank, some_positives(2, 4, 9973, 2), temperature)
        found[name] = losses_and_gradients(*case)
    np.testing.assert_allclose(found["plain"][0], found["fused"][0], rtol=1e-5)
    np.testing.assert_allclose(found["plain"][1], found["fused"][1], rtol=1e-4, atol=1e-3)


def test_gradient_agrees_with_finite_differences(form):
    bank, embeddings = unit_rows(0, (20, 4)), unit_rows(1, (3, 4))
    positives = np.array([[0, 5], [1, -1], [2, 7]])
    _, gradient = losses_and_gradients(np.float32(embeddings), bank, positives, 0.2)
    expected = np.zeros_like(embeddings)
    for at in np.ndindex(*embeddings.shape):
        step = np.zeros_like(embeddings)
        step[at] = 1e-6
        above = naive_losses_and_gradients(embeddings + step, bank, positives, 0.2)[0].sum()
        below = naive_losses_and_gradients(embeddings - step, bank, positives, 0.2)[0].sum()
        expected[at] = (above - below) / 2e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_every_example_is_weighted_by_the_gradient_that_reaches_it(form):
    bank, embeddings = np.float32(unit_rows(0, (20, 4))), np.float32(unit_rows(1, (3, 4)))
    _, gradients = losses_and_gradients(embeddings, bank, np.arange(3)[:, None], 0.2)
    x = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(x)
        losses = neighbourhood_losses(x, bank, np.arange(3)[:, None], 0.2)
        total = tf.tensordot(losses, [1.0, 0.0, -2.0], 1)
    expected = gradients.numpy() * np.array([[1], [0], [-2]])
    np.testing.assert_allclose(tape.gradient(total, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_graph", [False, True])
def test_the_bank_is_a_constant(form, in_graph):
    bank = tf.Variable(unit_rows(0, (20, 4)).astype("float32"))

    def gradient():
        with tf.GradientTape() as tape:
            losses = neighbourhood_losses(bank[:2], bank, np.array([[0], [1]]), 0.1)
        return tf.convert_to_tensor(tape.gradient(losses, bank))

    found = (tf.function(gradient) if in_graph else gradient)().numpy()
    assert np.any(found[:2]) and not np.any(found[2:])


def test_reads_a_variable_as_it_stands(form):
    rows, embeddings = np.float32(unit_rows(0, (37, 4))), np.float32(unit_rows(1, (3, 4)))
    bank, positives = tf.Variable(rows, trainable=False), some_positives(2, 3, 37, 3)
    step = tf.function(lambda: losses_and_gradients(embeddings, bank, positives, 0.1))
    step()
    changed = rows.copy()
    changed[[0, 36]] = unit_rows(3, (2, 4))
    bank.scatter_update(tf.IndexedSlices(changed[[0, 36]], [0, 36]))
    for found, expected in zip(
        step(), losses_and_gradients(embeddings, changed, positives, 0.1), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_computes_in_float32_whatever_comes_in(form, dtype):
    bank = tf.constant(unit_rows(0, (30, 8)), tf.float32)
    embeddings = tf.cast(unit_rows(1, (4, 8)), dtype)
    positives = np.arange(4)[:, None]
    losses, gradients = losses_and_gradients(embeddings, bank, positives, 0.1)
    expected = losses_and_gradients(tf.cast(embeddings, tf.float32), bank, positives, 0.1)
    assert losses.dtype == tf.float32 and gradients.dtype == dtype
    np.testing.assert_array_equal(losses, expected[0])
    np.testing.assert_array_equal(gradients, tf.cast(expected[1], dtype))


@pytest.mark.parametrize("temperature", [0.005, 0.01])
def test_is_right_where_exponentials_leave_float32(form, temperature):
    one = np.eye(8)[:1]
    bank = np.repeat(-one, 40, axis=0)  # every logit is -1 / tau ...
    bank[37] = one  # ... but one, which is 1 / tau
    embeddings, positives = np.repeat(one, 3, axis=0), np.array([[37, -1], [0, -1], [0, 37]])
    for rows in (bank, bank[:37], -bank[:37]):
        ids = np.where(positives < len(rows), positives, -1)[len(rows) < 38 :]
        ids[:, 0] = np.maximum(ids[:, 0], 0)
        x = embeddings[: len(ids)]
        found = losses_and_gradients(np.float32(x), np.float32(rows), ids, temperature)
        assert all(np.isfinite(part).all() for part in found)
        assert_formula_holds(found, x, rows, ids, temperature)


@pytest.mark.parametrize("length", [0.1, 1.5])
def test_rows_need_not_be_of_unit_length_exactly(form, length):
    bank, embeddings = length * unit_rows(0, (53, 8)), length * unit_rows(1, (4, 8))
    bank[3] = embeddings[0]
    bank, embeddings = np.float32(bank), np.float32(embeddings)
    positives = some_positives(2, 4, 53, 2)
    found = losses_and_gradients(embeddings, bank, positives, 0.05)
    assert_formula_holds(found, *map(np.float64, (embeddings, bank)), positives, 0.05)


@pytest.mark.parametrize("as_variable", [False, True])
@pytest.mark.parametrize("xla", [False, True])
def test_same_in_a_graph_with_xla_and_of_unknown_batch(form, xla, as_variable):
    rows, embeddings = np.float32(unit_rows(0, (53, 8))), np.float32(unit_rows(1, (4, 8)))
    bank = tf.Variable(rows, trainable=False) if as_variable else tf.constant(rows)
    signature = [tf.TensorSpec([None, 8]), tf.TensorSpec([None, 2], tf.int64)]

    @tf.function(jit_compile=xla, input_signature=signature)
    def step(embeddings, positives):
        return losses_and_gradients(embeddings, bank, positives, 0.04)

    for batch in (4, 3):
        positives = some_positives(2, batch, 53, 2)
        found = step(embeddings[:batch], positives)
        expected = losses_and_gradients(embeddings[:batch], rows, positives, 0.04)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-4)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-3, atol=1e-3)


def test_the_number_of_rows_may_be_unknown():
    rows, embeddings = np.float32(unit_rows(0, (53, 8))), np.float32(unit_rows(1, (4, 8)))
    positives = some_positives(2, 4, 53, 2)
    step = tf.function(
        lambda bank: neighbourhood_losses(embeddings, bank, positives, 0.1),
        input_signature=[tf.TensorSpec([None, None])],
    )
    expected = neighbourhood_losses(embeddings, rows, positives, 0.1)
    np.testing.assert_allclose(step(rows), expected, rtol=1e-5)


def largest_tensor(batch: int | None, num_rows: int) -> int:
    """Elements of the largest tensor in the graph of a step, in its loops' bodies too.

    Tensors of the bank's own size are left out; an unknown batch counts as 256.
    """
    bank = tf.Variable(tf.zeros([num_rows, 8]), trainable=False)
    signature = [tf.TensorSpec([batch, 8]), tf.TensorSpec([batch, 2], tf.int32)]
    step = tf.function(lambda x, ids: losses_and_gradients(x, bank, ids, 0.1), signature)
    graph = step.get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    sizes = [
        np.prod([256 if d.size < 0 else d.size for d in shape.dim], dtype=int)
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if not shape.unknown_rank
    ]
    return max(size for size in sizes if size != 8 * num_rows)


def test_beyond_the_limit_no_tensor_holds_all_logits(monkeypatch):
    monkeypatch.setattr(objective, "_BLOCK_ROWS", 128)
    rows = objective.PLAIN_LOGITS // 64
    assert largest_tensor(64, rows) == 64 * rows
    assert largest_tensor(64, rows + 1) == 64 * 128
    assert largest_tensor(None, rows) < 256 * rows / 8


def test_a_variable_is_not_copied(fused):
    bank = tf.Variable(tf.zeros([100, 8]), trainable=False)
    step = tf.function(
        lambda: losses_and_gradients(tf.zeros([4, 8]), bank, np.zeros((4, 1), int), 0.1)
    )
    graph = step.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    reads = {node.op for node in nodes if "Resource" in node.op or "ReadVariable" in node.op}
    assert reads == {"ResourceGather"}


@pytest.mark.parametrize("in_graph", [False, True])
def test_refuses_a_gradient_of_the_gradient_of_the_sweep(fused, in_graph):
    x, bank = tf.constant(unit_rows(1, (2, 4)), tf.float32), unit_rows(0, (20, 4))

    def twice():
        with tf.GradientTape() as outer:
            outer.watch(x)
            _, gradients = losses_and_gradients(x, bank, np.array([[0], [1]]), 0.1)
        return outer.gradient(gradients, x)

    with pytest.raises(NotImplementedError, match="first-order gradients only"):
        (tf.function(twice) if in_graph else twice)()
