from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from and_tf.runs import precision
from and_tf.runs.precision import choose_precision, cpu_flags, set_precision


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_a_precision_that_was_asked_for_is_kept(asked):
    assert choose_precision(asked) == asked


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ({"avx2", "avx512f"}, "float32"),
        (set(), "float32"),
        ({"avx512f", "avx512_bf16"}, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
    ],
)
def test_auto_takes_bfloat16_on_processors_that_multiply_it(monkeypatch, flags, chosen):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    assert choose_precision("auto") == chosen


@pytest.mark.parametrize(
    ("details", "chosen"),
    [
        ([{"compute_capability": (8, 0)}], "bfloat16"),
        ([{"compute_capability": (9, 0)}, {"compute_capability": (7, 5)}], "float32"),
        ([{}], "float32"),
    ],
)
def test_auto_takes_bfloat16_on_gpus_from_ampere_on(monkeypatch, details, chosen):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: range(len(details)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert choose_precision("auto") == chosen


def test_cpu_flags_are_read_as_linux_lists_them(tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n\nflags\t\t: fpu avx512_bf16\n")
    assert cpu_flags(listed) == {"fpu", "avx512_bf16"}
    assert cpu_flags(tmp_path / "absent") == set()


@pytest.mark.parametrize(
    ("name", "policy"), [("float32", "float32"), ("bfloat16", "mixed_bfloat16")]
)
def test_set_precision_keeps_weights_in_float32(name, policy):
    before = keras.config.dtype_policy()
    try:
        set_precision(name)
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        assert (keras.config.dtype_policy().name, layer.compute_dtype) == (policy, name)
        assert layer.kernel.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)
