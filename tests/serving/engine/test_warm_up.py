"""Replaying the warm-up requests that a SavedModel brings along."""

from __future__ import annotations

import pathlib
import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.engine import warm_up
from serving.engine.servable import Servable
from serving.errors import ServingError


def write(version: pathlib.Path, records: list[prediction_log_pb2.PredictionLog]) -> pathlib.Path:
    """Writes the warm-up file of a version's folder."""
    path = version / warm_up.FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    return path


def predict(signature: str, alias: str, values: object) -> prediction_log_pb2.PredictionLog:
    """The record of a Predict request."""
    record = prediction_log_pb2.PredictionLog()
    request = record.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs[alias].CopyFrom(tf.make_tensor_proto(values))
    return record


def _with_example(request: object, signature: str, x: float) -> None:
    request.model_spec.signature_name = signature
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(x)


@pytest.fixture
def kinds(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> Servable:
    return Servable(shutil.copytree(saved_models / "kinds/1", tmp_path / "kinds"))


@pytest.fixture
def examples(saved_models: pathlib.Path, tmp_path: pathlib.Path) -> Servable:
    return Servable(shutil.copytree(saved_models / "examples/1", tmp_path / "examples"))


def _fails(servable: Servable, message: str) -> ServingError:
    with pytest.raises(ServingError) as caught:
        warm_up.replay(servable)
    assert message in caught.value.message
    return caught.value


def test_no_file_is_nothing_to_do(kinds: Servable):
    assert warm_up.replay(kinds) == set()


def test_predict_requests_run(kinds: Servable):
    embed = predict("", "x", np.ones((2, 4), np.float32))
    two = predict("two", "a", np.ones((1, 3), np.float32))
    two.predict_log.request.inputs["b"].CopyFrom(tf.make_tensor_proto([1]))
    two.predict_log.request.output_filter.append("c")
    write(kinds.path, [embed, predict("text", "img_bytes", [b"a"]), two, embed])
    assert warm_up.replay(kinds) == {"serving_default", "text", "two"}


def test_classify_regress_and_multi_inference_requests_run(examples: Servable):
    records = [prediction_log_pb2.PredictionLog() for _ in range(3)]
    _with_example(records[0].classify_log.request, "classify", 1)
    _with_example(records[1].regress_log.request, "regress", 1)
    multi = records[2].multi_inference_log.request
    multi.tasks.add().model_spec.signature_name = "regress"
    multi.tasks.add()
    multi.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
    for record, names in zip(
        records, [{"classify"}, {"regress"}, {"regress", "serving_default"}], strict=True
    ):
        write(examples.path, [record])
        assert warm_up.replay(examples) == names


def test_a_request_that_fails_is_named(kinds: Servable):
    good = predict("", "x", np.ones((1, 4), np.float32))
    write(kinds.path, [good, predict("below_ten", "x", [11.0])])
    error = _fails(kinds, "Warm-up request 1 of")
    assert "too big" in error.message
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("data", [b"no TFRecord", b"no TFRecord, and long enough to be one"])
def test_a_file_that_is_no_tfrecord_is_refused(kinds: Servable, data: bytes):
    write(kinds.path, []).write_bytes(data)
    assert _fails(kinds, "is damaged after 0 records").code == grpc.StatusCode.DATA_LOSS


def test_a_truncated_file_is_refused(kinds: Servable):
    record = predict("", "x", np.ones((1, 4), np.float32))
    path = write(kinds.path, [record, record])
    path.write_bytes(path.read_bytes()[:-3])
    _fails(kinds, "is damaged after 1 records")


def test_a_record_that_is_no_prediction_log_is_refused(kinds: Servable):
    path = write(kinds.path, [])
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff\xff")
    _fails(kinds, "Record 0 of the warm-up file")


def test_what_cannot_be_replayed_is_refused(kinds: Servable):
    write(kinds.path, [prediction_log_pb2.PredictionLog()])
    assert _fails(kinds, "Received: an empty record").code == grpc.StatusCode.UNIMPLEMENTED


def test_more_than_1000_records_are_refused(kinds: Servable):
    write(kinds.path, [predict("", "x", np.ones((1, 4), np.float32))] * 1001)
    _fails(kinds, "may hold 1000 records at most")
