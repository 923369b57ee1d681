"""Loading a SavedModel, running its signatures, assigning its variables, freeing it."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shutil
import threading

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.engine import slow_lane
from serving.engine.servable import Servable
from serving.errors import ServingError


@pytest.fixture(scope="module")
def kinds(saved_models: pathlib.Path) -> Servable:
    return Servable(saved_models / "kinds/1")


def _saved(module: tf.Module, path: pathlib.Path, **options: object) -> pathlib.Path:
    tf.saved_model.save(module, str(path), **options)
    return path


class Bank(tf.Module):
    """Rows that can be exchanged: a float and a string variable of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = tf.Variable(tf.zeros([0, 2]), shape=[None, 2], name="rows")
        self.names = tf.Variable(tf.zeros([0], tf.string), shape=[None], name="names")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        sums = tf.reduce_sum(self.rows, axis=1)
        return {"sums": sums + tf.reduce_sum(x), "names": tf.identity(self.names)}


@pytest.fixture(scope="module")
def bank_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    bank = Bank()
    return _saved(bank, tmp_path_factory.mktemp("bank") / "1", signatures=bank.__call__)


def test_runs_a_signature(kinds: Servable):
    answer = kinds.run("serving_default", {"x": np.array([[3, 0, 4, 0]], np.float32)})
    np.testing.assert_allclose(answer["embedding"], [[0.6, 0, 0.8, 0]], rtol=1e-6)


def test_computes_only_the_outputs_asked_for(kinds: Servable):
    inputs = {"a": np.ones((2, 3), np.float32), "b": np.array([1, 2], np.int32)}
    assert kinds.run("two", inputs, ["c", "s"]).keys() == {"c", "s"}
    assert kinds.run("two", inputs).keys() == {"c", "p", "s"}


def test_ever_new_choices_of_outputs_are_not_all_kept(
    saved_models: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("serving.engine.servable.MOST_CALLABLES", 2)
    kinds = Servable(saved_models / "kinds/1")
    inputs = {"a": np.ones((2, 3), np.float32), "b": np.array([1, 2], np.int32)}
    for outputs in (["c"], ["s"], ["p"], ["c", "s"], ["c"]):
        assert kinds.run("two", inputs, outputs).keys() == {*outputs}
        assert len(kinds._callables) <= 2


def test_strings_and_scalars_are_arrays(kinds: Servable):
    text = kinds.run("text", {"img_bytes": np.array([b"ab", b""], dtype=object)})
    assert text["echo"].dtype == object
    assert text["echo"].tolist() == [b"ab", b""]
    assert text["length"].tolist() == [2, 0]
    scalar = kinds.run("text", {"img_bytes": np.array(b"abc", dtype=object)})["echo"]
    assert scalar.shape == ()
    assert scalar.item() == b"abc"
    total = kinds.run("total", {"x": np.array([1, 2], np.float32)})["total"]
    assert total.shape == ()
    assert total == 3


@pytest.mark.parametrize("name", ["uint8", "int64", "bool", "float16", "float64"])
def test_dtypes_are_kept(kinds: Servable, name: str):
    given = np.array([0, 1], name)
    answer = kinds.run(name, {"x": given})["y"]
    assert answer.dtype == given.dtype
    np.testing.assert_array_equal(answer, given)


def test_the_initialiser_is_no_signature(kinds: Servable):
    assert "two" in kinds.signatures
    assert not [name for name in kinds.signatures if name.startswith("__")]


@pytest.mark.parametrize(
    ("signature", "inputs", "outputs", "message"),
    [
        ("nope", {}, None, "No signature was found with the name: nope"),
        ("serving_default", {"y": np.zeros(1)}, None, "takes the inputs {x}. Received: {y}"),
        ("total", {"x": np.ones(1, np.float32)}, ["zzz"], "not found in signature: zzz"),
        ("total", {"x": np.ones(1, np.int32)}, None, "actual int32 vs. expect float"),
        ("below_ten", {"x": np.array([11], np.float32)}, None, "too big"),
    ],
)
def test_a_wrong_request_is_an_invalid_argument(
    kinds: Servable, signature: str, inputs: dict, outputs: list | None, message: str
):
    with pytest.raises(ServingError) as caught:
        kinds.run(signature, inputs, outputs)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.message


def test_inputs_left_out_take_the_default(saved_models: pathlib.Path, tmp_path: pathlib.Path):
    shutil.copytree(saved_models / "half_plus_two/1", tmp_path / "1")
    model = tmp_path / "1/saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(model.read_bytes())
    signature = proto.meta_graphs[0].signature_def["serving_default"]
    signature.defaults["x"].CopyFrom(tf.make_tensor_proto([4.0]))
    model.write_bytes(proto.SerializeToString())
    servable = Servable(tmp_path / "1")
    assert servable.run("serving_default", {})["y"].tolist() == [4]
    assert servable.run("serving_default", {"x": np.float32([2])})["y"].tolist() == [3]


def test_a_folder_without_a_model_is_not_found(saved_models: pathlib.Path):
    with pytest.raises(ServingError) as caught:
        Servable(saved_models / "empty/1")
    assert caught.value.code == grpc.StatusCode.NOT_FOUND
    assert caught.value.message.startswith(
        "Specified file path does not appear to contain a SavedModel bundle"
    )


def test_assets_and_tables_are_loaded(tmp_path: pathlib.Path):
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("zero\none\n")

    class Words(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(
                    str(vocabulary),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                num_oov_buckets=1,
            )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
        def __call__(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"id": self.table.lookup(word)}

    words = Words()
    path = _saved(words, tmp_path / "1", signatures=words.__call__)
    vocabulary.unlink()
    servable = Servable(path)
    asked = np.array([b"one", b"zero", b"two"], dtype=object)
    assert servable.run("serving_default", {"word": asked})["id"].tolist() == [1, 0, 2]


def test_assigns_variables_of_another_length(bank_path: pathlib.Path):
    servable = Servable(bank_path)
    zero = {"x": np.zeros(1, np.float32)}
    assert servable.run("serving_default", zero)["sums"].tolist() == []
    names = _variables(servable)
    servable.assign(
        {
            names[tf.float32]: np.array([[1, 2], [3, 4]], np.float32),
            names[tf.string]: np.array([b"a", b"b"], dtype=object),
        }
    )
    answer = servable.run("serving_default", zero)
    assert answer["sums"].tolist() == [3, 7]
    assert answer["names"].tolist() == [b"a", b"b"]


def test_runs_see_an_assignment_whole(bank_path: pathlib.Path):
    servable = Servable(bank_path)
    names = _variables(servable)
    zero = {"x": np.zeros(1, np.float32)}

    def assign(length: int) -> None:
        rows = np.full((length, 2), length, np.float32)
        labels = np.full(length, str(length).encode(), dtype=object)
        servable.assign({names[tf.float32]: rows, names[tf.string]: labels})

    done = threading.Event()

    def lengths() -> set[tuple[int, int]]:
        seen = set()
        while not done.is_set():
            answer = servable.run("serving_default", zero)
            seen.add((len(answer["sums"]), len(answer["names"])))
        return seen

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(lengths) for _ in range(3)]
        for length in range(100):
            assign(length)
        done.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert all(rows == labels for rows, labels in seen)
    assert len(seen) > 1


def test_assigning_what_is_no_variable_is_not_found(bank_path: pathlib.Path):
    servable = Servable(bank_path)
    for name in ("nope", "serving_default_x"):
        with pytest.raises(ServingError) as caught:
            servable.assign({name: np.zeros(1, np.float32)})
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
        assert repr(name) in caught.value.message


def test_loading_and_closing_keeps_no_memory(tmp_path: pathlib.Path):
    class Large(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            # Many middle-sized tensors, which malloc does not map one by one, and a large one.
            self.tables = [tf.Variable(tf.random.normal([90, 90])) for _ in range(20)]
            self.large = tf.Variable(tf.random.normal([2000, 1000]))

        @tf.function(input_signature=[tf.TensorSpec([None, 90], tf.float32, name="x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            for table in self.tables:
                x = tf.nn.relu(x @ table)
            return {"y": x, "z": tf.reduce_sum(self.large)}

    large = Large()
    path = _saved(large, tmp_path / "1", signatures=large.__call__)
    del large
    process = psutil.Process()

    def swap() -> int:
        servable = Servable(path)
        servable.run("serving_default", {"x": np.ones((64, 90), np.float32)})
        servable.close()
        return process.memory_info().rss

    for _ in range(3):
        before = swap()
    # Each model holds more than 8 MB, twelve that stayed more than 100. malloc itself may keep 20 MB
    # more, in the arenas of its threads.
    assert max(swap() for _ in range(12)) < before + 50e6


def _variables(servable: Servable) -> dict[tf.DType, str]:
    """Names of the variables' handles by dtype."""
    operations = servable._graph.get_operations()
    return {op.get_attr("dtype"): op.name for op in operations if op.type == "VarHandleOp"}


def test_a_slow_run_answers_the_same_in_threads_that_give_way(kinds: Servable) -> None:
    def nicest() -> int:
        threads = os.listdir("/proc/self/task")
        return max(os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads)

    inputs = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
    slow = kinds.run("serving_default", inputs, slow=True)
    np.testing.assert_array_equal(
        slow["embedding"], kinds.run("serving_default", inputs)["embedding"]
    )
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert nicest() == min(19, own + slow_lane.NICENESS)
