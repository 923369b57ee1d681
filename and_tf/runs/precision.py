"""In which precision an encoder computes: `train.precision`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def choose_precision(
    precision: Literal["float32", "bfloat16", "float16", "auto"],
) -> Literal["float32", "bfloat16", "float16"]:
    """What `auto` stands for on this machine; any other precision as it is.

    bfloat16 on GPUs of compute capability 8.0 (Ampere) or newer, and on CPUs that multiply
    bfloat16 in hardware, where it is the faster one by docs/performance.md; else float32. float16
    is never chosen: it needs its loss scaled, and gains nothing over bfloat16 where that exists.
    """
    if precision != "auto":
        return precision
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        capabilities = [
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
            for gpu in gpus
        ]
        return "bfloat16" if min(capabilities) >= (8, 0) else "float32"
    return "bfloat16" if BFLOAT16_INSTRUCTIONS & cpu_flags() else "float32"


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Instruction sets of the processor as Linux lists them; empty where there is no such list."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    flags = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return set(flags[0]) if flags else set()


def set_precision(precision: Literal["float32", "bfloat16", "float16"]) -> None:
    """Make layers that are built from now on compute in `precision`, with float32 weights."""
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
