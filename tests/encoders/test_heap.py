"""No encoder of ours writes outside of its memory, as glibc's checks of the heap see it."""

from __future__ import annotations

import ctypes.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBUG = ctypes.util.find_library("c_malloc_debug")


@pytest.mark.slow
@pytest.mark.skipif(DEBUG is None, reason="needs glibc's libc_malloc_debug")
def test_gradients_of_the_narrowest_encoders():
    checks = {
        "LD_PRELOAD": str(DEBUG),
        "MALLOC_CHECK_": "3",
        "GLIBC_TUNABLES": "glibc.malloc.check=3",
        # By default TensorFlow takes oneDNN's kernels on some processors alone.
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    process = subprocess.run(
        [sys.executable, "-m", "tests.encoders.narrow_encoders"],
        env=os.environ | checks | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
