from __future__ import annotations

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from and_tf.errors import RunError
from and_tf.exporting import saved_model_check, verification
from and_tf.exporting.fresh_process import check_difference, check_output_of
from and_tf.exporting.prediction_logs import prediction_log, write_logs
from and_tf.exporting.verification import sample_images, verify_saved_model

IMAGES = sample_images((16, 16, 3))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (
            {"differences": [["embed", "embedding", 1e-4]]},
            "`embedding` of embed is not what the mo",
        ),
        (
            {"differences": [["classify", "scores", None]]},
            "`scores` of classify is not what the mo",
        ),
        ({"python_ops": ["PyFunc"]}, "The export would call Python. Received: ['PyFunc']"),
    ],
)
def test_what_is_found_is_refused(tmp_path, monkeypatch, found, reason):
    report = json.dumps({"python_ops": [], "differences": []} | found)
    monkeypatch.setattr(verification, "check_output_of", lambda *_: report)
    with pytest.raises(RunError, match=re.escape(reason)):
        verify_saved_model(tmp_path, [], None)


def test_resized_images_may_differ_a_little(tmp_path, monkeypatch):
    for signature, image_size, passes in (
        ("embed_bytes", 64, True),
        ("embed_bytes", 32, False),
        ("embed", 64, False),
    ):
        report = {"python_ops": [], "differences": [[signature, "embedding", 1e-4]]}
        monkeypatch.setattr(verification, "check_output_of", lambda *_, r=report: json.dumps(r))
        with contextlib.nullcontext() if passes else pytest.raises(RunError):
            verify_saved_model(tmp_path, [], image_size)


def test_a_damaged_version_is_refused(exported, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(exported, folder)
    data = folder / "variables/variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(RunError, match="The export failed its verification: "):
        verify_saved_model(folder, [prediction_log("embed", {"images": IMAGES})], None)


def test_replays_in_the_graph(exported, tmp_path):
    answers = {"embedding": np.zeros([3, 16], np.float32)}, {"embedding": np.zeros([2, 16])}
    strings = {"classes": np.full([3, 5], b"no", object)}
    logs = [
        prediction_log("embed", {"images": IMAGES}, answers[0]),
        prediction_log("embed", {"images": IMAGES}, answers[1]),
        prediction_log("classify", {"images": IMAGES}, strings),
    ]
    write_logs(tmp_path / "records", logs)
    found = saved_model_check.replay(exported, tmp_path / "records")
    assert found["python_ops"] == [] and "embed_bytes" in found["signatures"]
    (near, shape, names) = found["differences"]
    assert near[:2] == ["embed", "embedding"] and 0 < near[2] <= 1
    assert shape[2] is None and names == ["classify", "classes", None]


def test_operations_that_call_python_are_found(exported, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(x):
        return {"y": tf.numpy_function(lambda x: 2 * x, [x], tf.float32)}

    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "1"), {"double": double})
    shutil.copytree(exported / "assets.extra", tmp_path / "1/assets.extra")
    write_logs(tmp_path / "1/assets.extra/tf_serving_warmup_requests", [])
    write_logs(tmp_path / "records", [])
    found = saved_model_check.replay(tmp_path / "1", tmp_path / "records")
    assert found["python_ops"] == ["PyFunc"]


@pytest.mark.parametrize("difference", [None, float("nan"), 2e-5])
def test_differences(difference):
    check_difference("it", 1e-5, 1e-5)
    with pytest.raises(RunError, match="it is not what the model gives. Received: a difference of"):
        check_difference("it", difference, 1e-5)


def test_the_last_line_of_an_error_is_told():
    with pytest.raises(RunError, match="failed its verification: .*No module named nonsense"):
        check_output_of("nonsense")
    assert check_output_of("platform")
