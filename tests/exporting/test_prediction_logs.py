from __future__ import annotations

import numpy as np
import tensorflow as tf

from and_tf.exporting.prediction_logs import prediction_log, read_logs, warm_up_logs, write_logs


def test_records_come_back_as_they_were(tmp_path):
    log = prediction_log("embed", {"images": np.ones([2, 3], np.uint8)}, {"y": np.zeros(2)})
    write_logs(tmp_path / "new/records", [log, log])
    found = read_logs(tmp_path / "new/records")
    assert found == [log, log]
    request = found[0].predict_log.request
    assert request.model_spec.signature_name == "embed"
    np.testing.assert_array_equal(tf.make_ndarray(request.inputs["images"]), np.ones([2, 3]))


def test_warm_up_is_small_whatever_the_size():
    logs = warm_up_logs({"embed": "images", "embed_bytes": "image_bytes"}, (224, 224, 3), 128)
    assert sum(log.ByteSize() for log in logs) < 100_000
    images, files = (logs[i].predict_log.request.inputs for i in (5, -1))
    assert tf.make_ndarray(images["images"]).shape == (32, 224, 224, 3)
    (file, *_) = tf.make_ndarray(files["image_bytes"])
    assert len(tf.make_ndarray(files["image_bytes"])) == 32
    np.testing.assert_array_equal(tf.io.decode_png(file), np.full([224, 224, 3], 128))
