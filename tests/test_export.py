"""The export command, and what it leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

import and_tf
from and_tf import data, export
from and_tf.evaluation.knn import knn_scores
from and_tf.exporting import saved_model, trained_encoder
from and_tf.exporting.prediction_logs import read_logs

NAMES = {
    "serving_default", "embed", "embed_bytes", "classify", "classify_bytes", "neighbours",
    "neighbours_bytes", "classify_embedding", "neighbours_embedding",
}  # fmt: skip


class Loaded:
    """A SavedModel in a graph and a session, as TensorFlow Serving has it."""

    def __init__(self, folder):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.session = tf.compat.v1.Session(graph=self.graph)
            self.meta_graph = tf.compat.v1.saved_model.loader.load(
                self.session, ["serve"], str(folder)
            )

    def __call__(self, name, **inputs):
        signature = self.meta_graph.signature_def[name]
        return self.session.run(
            {alias: tensor.name for alias, tensor in signature.outputs.items()},
            {signature.inputs[alias].name: value for alias, value in inputs.items()},
        )


@pytest.fixture(scope="module")
def loaded(exported):
    return Loaded(exported)


@pytest.fixture(scope="module")
def description(exported):
    return json.loads((exported / "assets.extra/and_tf.json").read_text())


@pytest.fixture(scope="module")
def embeddings(trained_run):
    """Of the training images and of the test images, by the model that training left."""
    model = keras.models.load_model(trained_run / "model.keras")
    return [model.predict(images.images, verbose=0) for images in data.load("digits")]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def variables_of(folder) -> dict[str, list[int]]:
    reader = tf.train.load_checkpoint(str(folder / "variables/variables"))
    return {
        name: shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if not name.startswith("_CHECKPOINTABLE_OBJECT_GRAPH")
    }


def test_a_version_is_whole(exported):
    assert os.listdir(exported.parent) == ["1"]
    found = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert found == {
        "saved_model.pb", "fingerprint.pb", "model_card.md", "assets.extra/and_tf.json",
        "assets.extra/tf_serving_warmup_requests", "assets.extra/projection.json", "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    }  # fmt: skip


def test_embeds_as_the_model_does(loaded, embeddings, digits):
    images = digits[1].images[:20]
    files = [tf.io.encode_png(image).numpy() for image in images]
    expected = embeddings[1][:20]
    for name in ("embed", "serving_default"):
        found = loaded(name, images=images)["embedding"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        loaded("embed_bytes", image_bytes=files)["embedding"], expected, atol=1e-5
    )


def test_classifies_as_the_evaluation_does(loaded, embeddings, digits):
    train, test = digits
    scores = knn_scores(embeddings[1][:20], embeddings[0], train.labels, 50, 0.1)
    answer = loaded("classify", images=test.images[:20])
    assert answer["scores"].dtype == np.float32 and answer["scores"].shape == (20, 5)
    np.testing.assert_allclose(answer["scores"], np.sort(scores)[:, :-6:-1], atol=1e-5)
    labels = answer["classes"].astype(int)
    np.testing.assert_allclose(np.take_along_axis(scores, labels, 1), answer["scores"], atol=1e-5)


def test_neighbours_name_their_rows(loaded, digits):
    train, _ = digits
    answer = loaded("neighbours", images=train.images[100:103])
    assert answer["ids"].shape == (3, 10)
    np.testing.assert_allclose(answer["similarities"][:, 0], 1, atol=1e-5)
    first = answer["ids"][:, 0]
    assert (train.images[first] == train.images[100:103]).all()
    assert answer["sources"][0, 0].decode() == f"digits/train:{first[0]}"
    np.testing.assert_array_equal(answer["label_ids"], train.labels[answer["ids"]])
    np.testing.assert_array_equal(answer["labels"].astype(int), answer["label_ids"])


def test_bytes_and_images_agree(loaded, digits):
    images = digits[1].images[:3]
    files = [tf.io.encode_png(image).numpy() for image in images]
    for name in ("classify", "neighbours"):
        of_images = loaded(name, images=images)
        of_bytes = loaded(f"{name}_bytes", image_bytes=files)
        for alias, value in of_images.items():
            np.testing.assert_array_equal(of_bytes[alias], value, err_msg=alias)


def test_what_the_description_says_is_so(loaded, description, exported, trained_run):
    assert description["format"] == 1 and description["name"] == "digits"
    assert description["image_size"] == [16, 16] and description["embedding_dim"] == 16
    assert description["num_rows"] == description["num_labelled_rows"] == 1437
    assert description["class_names"] == [str(digit) for digit in range(10)]
    assert description["vote"] == {"neighbours": 50, "temperature": 0.1}
    assert set(description["signatures"]) == NAMES
    for name, signature in description["signatures"].items():
        found = loaded.meta_graph.signature_def[name]
        for stated, actual in (
            (signature["inputs"], found.inputs),
            (signature["outputs"], found.outputs),
        ):
            assert set(stated) == set(actual)
            for alias, tensor in stated.items():
                assert tensor["description"]
                assert tf.as_dtype(tensor["dtype"]) == actual[alias].dtype
                dims = [None if d.size < 0 else d.size for d in actual[alias].tensor_shape.dim]
                assert tensor["shape"] == dims
    assert [description["signatures"][n]["k"] for n in ("embed", "neighbours", "classify")] == [
        None, 10, 5,
    ]  # fmt: skip
    encoder = keras.models.load_model(trained_run / "model.keras").encoder
    assert description["fingerprint"] == trained_encoder.fingerprint_of(encoder)
    card = (exported / "model_card.md").read_text()
    assert "kNN" in card and all(f"| `{name}` |" in card for name in NAMES)


def test_every_variable_is_stored_once(exported, trained_run, tmp_path):
    encoder = keras.models.load_model(trained_run / "model.keras").encoder
    stored = variables_of(exported)
    assert len(stored) == len(encoder.weights) + 3 + 5  # the bank; what can be taught
    for shape in {tuple(weight.shape) for weight in encoder.weights}:
        of_encoder = [weight for weight in encoder.weights if tuple(weight.shape) == shape]
        assert list(stored.values()).count(list(shape)) == len(of_encoder)
    encoder.export(str(tmp_path / "keras"), verbose=False)
    twice = [shape for name, shape in variables_of(tmp_path / "keras").items()]
    assert len(twice) >= 2 * len(encoder.weights)  # what there is to avoid


def test_holds_stock_operations_only(exported):
    saved = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    operations = {node.op for node in nodes}
    assert {"MatMul", "TopKV2", "DecodeJpeg", "DecodeImage"} <= operations
    assert not any("PyFunc" in name or "Scann" in name for name in operations)


def test_warm_up_has_every_signature_in_every_usual_size(exported, loaded):
    path = exported / "assets.extra/tf_serving_warmup_requests"
    assert path.stat().st_size < 100_000
    found = set()
    for log in read_logs(path):
        request = log.predict_log.request
        ((alias, tensor),) = request.inputs.items()
        values = tf.make_ndarray(tensor)
        found.add((request.model_spec.signature_name, len(values)))
        if len(values) == 2:
            answer = loaded(request.model_spec.signature_name, **{alias: values})
            assert all(len(value) == 2 for value in answer.values())
    assert found == {(name, size) for name in NAMES for size in (1, 2, 4, 8, 16, 32)}


def test_rows_can_be_taught_in_a_session(exported, description, digits):
    loaded = Loaded(exported)
    images = digits[1].images[:1]
    before = loaded("classify", images=images)  # a run before, so that nothing may be folded after
    row = loaded("embed", images=images)["embedding"]
    rows = {
        "taught_rows": np.repeat(row, 60, 0),
        "taught_labels": np.full(60, 10, np.int32),
        "taught_ids": np.arange(5000, 5060),
        "taught_sources": np.array([b"taught"] * 60, object),
        "taught_class_names": np.array([b"new"], object),
    }
    assert set(description["taught"]) == set(rows)
    with loaded.graph.as_default():
        assignments, feed = [], {}
        for alias, name in description["taught"].items():
            handle = loaded.graph.get_operation_by_name(name).outputs[0]
            dtype = loaded.graph.get_operation_by_name(name).get_attr("dtype")
            value = tf.compat.v1.placeholder(dtype)
            assignments.append(tf.raw_ops.AssignVariableOp(resource=handle, value=value))
            feed[value] = rows[alias]
    loaded.session.run(assignments, feed)
    after = loaded("classify", images=images)
    assert after["classes"][0, 0] == b"new"
    np.testing.assert_allclose(after["scores"][0, 0], 1, atol=1e-5)
    nearest = loaded("neighbours", images=images)
    assert nearest["ids"][0].tolist() == list(range(5000, 5010))
    assert set(nearest["sources"][0]) == {b"taught"} and set(nearest["labels"][0]) == {b"new"}
    loaded.session.run(assignments, {value: array[:0] for value, array in feed.items()})
    np.testing.assert_array_equal(loaded("classify", images=images)["classes"], before["classes"])


@pytest.fixture
def unfinished(trained_run, tmp_path):
    """A run that was stopped: a checkpoint, and no model yet."""
    run = tmp_path / "unfinished"
    shutil.copytree(trained_run, run)
    (run / "model.keras").unlink()
    (run / "model_card.md").unlink()
    return run


def test_an_unfinished_run_with_rows_of_ones_own(unfinished, tmp_path, monkeypatch, capsys):
    """Without labels there is no classify; a labels file adds them later."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for number in range(3):
        Image.fromarray(np.full((30, 40, 3), 80 * number, np.uint8)).save(gallery / f"{number}.png")
    output = tmp_path / "out"
    arguments = [str(unfinished), "--output", str(output), "--rows", str(gallery), "--thumbnails"]
    assert export.main(arguments) == 0
    assert "the run is not over: exporting its last checkpoint, after 6 epochs" in (
        capsys.readouterr().out
    )
    loaded = Loaded(output / "1")
    assert set(loaded.meta_graph.signature_def) - {"__saved_model_init_op"} == {
        name for name in NAMES if "classify" not in name
    }
    file = (gallery / "1.png").read_bytes()
    answer = loaded("neighbours_bytes", image_bytes=[file])
    assert answer["sources"][0, 0] == b"1.png" and answer["labels"][0].tolist() == [b""] * 3
    described = json.loads((output / "1/assets.extra/and_tf.json").read_text())
    assert described["class_names"] is described["vote"] is None
    assert described["num_labelled_rows"] == 0
    assert len(np.load(output / "1/assets.extra/thumbnails/offsets.npy")) == 4

    labels = tmp_path / "labels.csv"
    monkeypatch.setattr(saved_model, "verify_saved_model", lambda *_: None)  # takes its time
    labels.write_text("file,label\n0.png,dark\n2.png,bright\n")
    assert export.main([*arguments, "--labels", str(labels), "--top", "1"]) == 0
    answer = Loaded(output / "2")("classify_bytes", image_bytes=[file])
    assert answer["classes"].shape == (1, 1) and answer["classes"][0, 0] in (b"dark", b"bright")


def test_the_encoder_alone(trained_run, tmp_path):
    output = tmp_path / "out"
    assert export.main([str(trained_run), "--output", str(output), "--rows", "none"]) == 0
    described = json.loads((output / "1/assets.extra/and_tf.json").read_text())
    assert set(described["signatures"]) == {"serving_default", "embed", "embed_bytes"}
    assert described["taught"] is None and described["num_rows"] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["RUN/checkpoints"], "There is no run of and_tf.train (no config.json) here. Received: "),
        (["nowhere"], "There is no run of and_tf.train (no config.json) here. Received: nowhere"),
        (["RUN", "--output", ""], '--output must name a folder. Received: ""'),
        (["RUN", "--output", "RUN/export"], "--output must lie outside of the run directory"),
        (["RUN", "--output", "RUN/config.json"], "--output must lie outside of the run directory"),
        (["RUN", "--output", "file/out"], "--output must be a folder, and file is a file."),
        (["RUN", "--rows", "nowhere"], "The folder of images does not exist. Received: 'nowhere'"),
        (["RUN", "--labels", "nowhere.csv"], "The labels in nowhere.csv cannot be read"),
        (["RUN", "--labels", "file"], "The labels in file need a header with the columns file,labe"),
        (["RUN", "--set", "encoder.width=2"], "the run was begun with 0.25, which cannot change"),
        (["RUN", "--set", "data.nonsense=2"], "data.nonsense: unknown key."),
        (["RUN", "--format", "onnx", "--rows", "all"], "holds the encoder alone, without rows."),
        (["RUN", "--format", "litert", "--thumbnails"], "without rows. Received: --thumbnails"),
        (["EMPTY"], "has neither a model nor a checkpoint yet. Train first: python -m and_tf.train"),
        (["BROKEN"], "The model cannot be read; python -m and_tf.train --run-dir "),
        (["MOVED"], "does not exist. Received: 'moved' If the images have moved, --set data.path="),
    ],
)  # fmt: skip
def test_bad_input_is_explained(trained_run, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for name, keep in (("EMPTY", []), ("BROKEN", ["model.keras"]), ("MOVED", ["model.keras"])):
        (tmp_path / name).mkdir()
        for file in ("config.json", *keep):
            shutil.copy(trained_run / file, tmp_path / name)
    (tmp_path / "BROKEN/model.keras").write_bytes(b"PK broken")
    config = json.loads((trained_run / "config.json").read_text())
    config["data"] |= {"source": "folder", "path": "moved", "image_size": 16}
    (tmp_path / "MOVED/config.json").write_text(json.dumps(config))
    before = sorted(path for path in tmp_path.rglob("*"))
    arguments = [argument.replace("RUN", str(trained_run)) for argument in arguments]
    assert export.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and reason in error and "Traceback" not in error
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_counts_are_whole_numbers(number, capsys):
    with pytest.raises(SystemExit, match="2"):
        export.parse_arguments(["run", "--neighbours", number])
    assert f"must be a whole number from 1 on. Received: {number}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (KeyboardInterrupt(), 130, "stopped; nothing was exported"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "No space left on the disk"),
        (tf.errors.ResourceExhaustedError(None, None, "No space left on device"), 2, "No space"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "denied. Received: out"),
        (MemoryError(), 2, "Not enough memory"),
    ],
)
def test_what_goes_wrong_on_the_way_leaves_nothing(
    trained_run, tmp_path, monkeypatch, capsys, error, code, reason
):
    def fail(folder, *arguments):
        (folder / "saved_model.pb").touch()
        raise error

    monkeypatch.setattr(saved_model, "write_saved_model", fail)
    arguments = [str(trained_run), "--output", str(tmp_path / "a/out"), "--rows", "none"]
    assert export.main(arguments) == code
    assert reason in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_the_version_of_the_package_is_on_record(description):
    assert description["and_tf"] == and_tf.__version__
