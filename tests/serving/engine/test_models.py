"""Models from their folders to their users: polling, policies, labels, swaps, reloading."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import threading
from collections.abc import Awaitable, Callable

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.engine import version_check
from serving.engine.model import State
from serving.engine.models import Models
from serving.engine.servable import Servable
from serving.errors import ServingError

ONE = {"x": np.array([1], np.float32)}


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
    """SavedModels whose answer to 1 is 1, 2, 3 and 4."""

    class Times(tf.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = tf.Variable(factor)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": self.factor * x}

    root = tmp_path_factory.mktemp("scales")
    for factor in range(1, 5):
        times = Times(float(factor))
        tf.saved_model.save(times, str(root / str(factor)), signatures=times.__call__)
    return [root / str(factor) for factor in range(1, 5)]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "scale"
    path.mkdir()
    return path


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Versions are loaded while this is set, as it is at first."""
    gate = threading.Event()
    gate.set()
    load = version_check.load_checked

    def when_open(path: pathlib.Path, *threads: int) -> Servable:
        gate.wait(10)
        return load(path, *threads)

    monkeypatch.setattr(version_check, "load_checked", when_open)
    return gate


def _put(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a version beside its place and renames it, as an export does."""
    hidden = target.with_name(f".{target.name}")
    shutil.copytree(source, hidden)
    hidden.rename(target)


def _config(folder: pathlib.Path, more: str = "", name: str = "scale") -> str:
    return f"config {{ name: '{name}' base_path: '{folder}' model_platform: 'tensorflow' {more} }}"


def _parsed(*models: str) -> config_pb2.ModelServerConfig:
    text = f"model_config_list {{ {' '.join(models)} }}"
    return text_format.Parse(text, config_pb2.ModelServerConfig())


def _serving(
    config: config_pb2.ModelServerConfig,
    use: Callable[[Models], Awaitable[None]],
    **options: object,
) -> None:
    """Runs `use` with the started models."""

    async def main() -> None:
        models = Models(config, **{"poll_seconds": 0, **options})
        await models.start()
        try:
            await use(models)
        finally:
            await models.close()

    asyncio.run(asyncio.wait_for(main(), 60))


async def _answer(models: Models, version: int | None = None, label: str | None = None) -> float:
    with models.use("scale", version, label) as served:
        return (await served.run("serving_default", ONE))["y"].item()


def _states(models: Models, name: str = "scale") -> dict[int, str]:
    return {state.version: State.Name(state.state) for state in models.status(name)}


async def _poll_twice(models: Models) -> None:
    """A new folder must look the same in two polls."""
    await models.poll_once()
    await models.poll_once()


async def _drained(models: Models) -> None:
    await models._models["scale"].drained()


def test_the_latest_version_is_served(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        assert models.ready
        assert models.names == ["scale"]
        assert await _answer(models) == 2
        assert _states(models) == {2: "AVAILABLE"}
        assert models.problem("scale") is None

    for version in (1, 2):
        _put(scales[version - 1], folder / str(version))
    _serving(_parsed(_config(folder)), use)


def test_what_is_not_there_is_not_found(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        for wanted, message in [
            (("nope",), "Servable not found for request: Latest(nope)"),
            (("../scale",), "Servable not found for request: Latest(../scale)"),
            (("scale", 9), "Servable not found for request: Specific(scale, 9)"),
        ]:
            with pytest.raises(ServingError) as caught, models.use(*wanted):
                pass
            assert caught.value.code == grpc.StatusCode.NOT_FOUND
            assert caught.value.message == message
        for name in ("scale", "nope"):
            with pytest.raises(ServingError) as caught, models.use(name, label="nope"):
                pass
            assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
            assert caught.value.message == "Unrecognized servable version label: nope"
        for wanted, message in [
            (("nope",), "Could not find any versions of model nope"),
            (("scale", 9), "Could not find version 9 of model scale"),
        ]:
            with pytest.raises(ServingError) as caught:
                models.status(*wanted)
            assert caught.value.code == grpc.StatusCode.NOT_FOUND
            assert caught.value.message == message

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_a_new_version_takes_over(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        _put(scales[2], folder / "3")
        await models.poll_once()
        assert _states(models) == {3: "START", 1: "AVAILABLE"}
        assert await _answer(models) == 1
        await models.poll_once()
        assert await _answer(models) == 3
        await _drained(models)
        assert _states(models) == {3: "AVAILABLE", 1: "END"}
        assert models.status("scale", 1)[0].error is None

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_polls_by_itself(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        assert not models.ready
        _put(scales[0], folder / "1")
        while not models.ready:
            await asyncio.sleep(0.01)
        assert await _answer(models) == 1

    _serving(_parsed(_config(folder)), use, poll_seconds=0.02)


def test_an_old_version_in_use_is_finished_first(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        with models.use("scale") as old:
            _put(scales[1], folder / "2")
            await _poll_twice(models)
            assert await _answer(models) == 2
            assert _states(models) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert (await old.run("serving_default", ONE))["y"].item() == 1
            with pytest.raises(ServingError), models.use("scale", 1):
                pass
        await _drained(models)
        assert _states(models) == {2: "AVAILABLE", 1: "END"}

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def _no_variables(version: pathlib.Path) -> None:
    shutil.rmtree(version / "variables")


def _corrupt_warm_up(version: pathlib.Path) -> None:
    (version / "assets.extra").mkdir()
    (version / "assets.extra/tf_serving_warmup_requests").write_bytes(b"no TFRecord")


def _empty(version: pathlib.Path) -> None:
    shutil.rmtree(version)
    version.mkdir()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_no_variables, "INVALID_ARGUMENT"),
        (_corrupt_warm_up, "DATA_LOSS"),
        (_empty, "NOT_FOUND"),
    ],
)
def test_the_old_version_stays_when_the_new_one_is_broken_until_it_is_mended(
    folder: pathlib.Path,
    scales: list[pathlib.Path],
    damage: Callable[[pathlib.Path], None],
    code: str,
):
    async def use(models: Models) -> None:
        damage(shutil.copytree(scales[1], folder / "2"))
        await _poll_twice(models)
        assert _states(models) == {2: "END", 1: "AVAILABLE"}
        assert models.status("scale", 2)[0].error.code.name == code
        assert await _answer(models) == 1
        shutil.rmtree(folder / "2")
        shutil.copytree(scales[1], folder / "2")
        await _poll_twice(models)
        assert await _answer(models) == 2
        assert _states(models)[2] == "AVAILABLE"

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_a_refused_version_is_not_loaded_again_while_it_stays_the_same(
    folder: pathlib.Path, scales: list[pathlib.Path], monkeypatch: pytest.MonkeyPatch
):
    loads = []
    load = version_check.load_checked

    def counted(path: pathlib.Path, *threads: int) -> Servable:
        loads.append(path.name)
        return load(path, *threads)

    monkeypatch.setattr(version_check, "load_checked", counted)

    async def use(models: Models) -> None:
        (folder / "2").mkdir()
        for _ in range(4):
            await models.poll_once()

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)
    assert loads == ["1", "2"]


def test_a_version_that_cannot_be_prepared_is_refused(
    folder: pathlib.Path, scales: list[pathlib.Path]
):
    prepared = []

    def prepare(name: str, servable: Servable) -> Callable[[], None]:
        prepared.append(servable.path.name)
        if servable.path.name == "2":
            raise KeyError("taught_rows")
        return lambda: None

    async def use(models: Models) -> None:
        _put(scales[1], folder / "2")
        for _ in range(4):
            await models.poll_once()
        assert await _answer(models) == 1
        assert _states(models)[2] == "END"

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use, before_swap=prepare)
    assert prepared == ["1", "2"]


def test_at_the_start_the_latest_sound_version_is_served(
    folder: pathlib.Path, scales: list[pathlib.Path]
):
    async def use(models: Models) -> None:
        assert models.ready
        assert await _answer(models) == 1
        assert _states(models) == {5: "END", 1: "AVAILABLE"}

    _put(scales[0], folder / "1")
    (folder / "5").mkdir()
    _serving(_parsed(_config(folder)), use)


def test_a_half_copied_folder_is_waited_for(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        new = folder / "2"
        new.mkdir()
        await models.poll_once()
        shutil.copy(scales[1] / "saved_model.pb", new)
        await models.poll_once()
        (new / "variables").mkdir()
        shutil.copy(scales[1] / "variables/variables.index", new / "variables")
        await models.poll_once()
        assert _states(models) == {2: "START", 1: "AVAILABLE"}
        shutil.copytree(scales[1], new, dirs_exist_ok=True)
        await models.poll_once()
        assert _states(models) == {2: "START", 1: "AVAILABLE"}
        await models.poll_once()
        assert await _answer(models) == 2

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


@pytest.mark.parametrize("keep_last", [True, False])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_all_versions_removed(
    folder: pathlib.Path, scales: list[pathlib.Path], keep_last: bool, whole_folder: bool
):
    async def use(models: Models) -> None:
        shutil.rmtree(folder if whole_folder else folder / "1")
        await _poll_twice(models)
        assert models.problem("scale")
        # A folder that cannot be read says nothing about its versions, to TensorFlow Serving either.
        if keep_last or whole_folder:
            assert await _answer(models) == 1
            assert _states(models) == {1: "AVAILABLE"}
        else:
            await _drained(models)
            assert not models.ready
            assert _states(models) == {1: "END"}
        folder.mkdir(exist_ok=True)
        _put(scales[1], folder / "2")
        await _poll_twice(models)
        assert await _answer(models) == 2
        assert models.problem("scale") is None

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use, keep_last=keep_last)


def test_a_model_without_a_folder_does_not_stop_the_others(
    folder: pathlib.Path, scales: list[pathlib.Path]
):
    async def use(models: Models) -> None:
        assert not models.ready
        assert "Could not find base path" in models.problem("other")
        assert await _answer(models) == 1

    _put(scales[0], folder / "1")
    other = _config(folder.with_name("other"), name="other")
    _serving(_parsed(_config(folder), other), use)


def test_policies_and_labels(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        assert _states(models) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"}
        assert await _answer(models) == 3
        assert await _answer(models, version=2) == 2
        assert await _answer(models, label="stable") == 1
        assert models.labels("scale") == {"stable": 1}
        await models.reload(
            _parsed(
                _config(
                    folder,
                    "model_version_policy { specific { versions: 1 versions: 2 } } "
                    "version_labels { key: 'stable' value: 2 }",
                )
            )
        )
        assert await _answer(models) == 2
        assert await _answer(models, label="stable") == 2
        with pytest.raises(ServingError, match=r"Specific\(scale, 3\)"):
            await _answer(models, version=3)

    for version in (1, 2, 3):
        _put(scales[version - 1], folder / str(version))
    label = "version_labels { key: 'stable' value: 1 }"
    _serving(_parsed(_config(folder, f"model_version_policy {{ all {{}} }} {label}")), use)


def test_a_version_may_come_with_its_label_if_it_loads(
    folder: pathlib.Path, scales: list[pathlib.Path]
):
    async def use(models: Models) -> None:
        _put(scales[1], folder / "2")
        (folder / "3").mkdir()
        every = "model_version_policy { all {} }"
        label = "version_labels { key: 'new' value: 2 }"
        await models.reload(_parsed(_config(folder, f"{every} {label}")))
        assert await _answer(models, label="new") == 2
        label = "version_labels { key: 'new' value: 3 }"
        with pytest.raises(ServingError, match="assign label to version 3 of model scale"):
            await models.reload(_parsed(_config(folder, f"{every} {label}")))
        assert models.labels("scale") == {"new": 2}

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_a_label_moves_to_available_versions_only(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        with pytest.raises(ServingError) as caught:
            await models.reload(
                _parsed(
                    _config(
                        folder,
                        "model_version_policy { specific { versions: 1 } } "
                        "version_labels { key: 'stable' value: 2 } "
                        "version_labels { key: 'new' value: 1 }",
                    )
                )
            )
        assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.message == (
            "Request to assign label to version 2 of model scale, which is not currently "
            "available for inference"
        )
        assert await _answer(models, label="stable") == 1
        assert models.labels("scale") == {"stable": 1}
        assert _states(models) == {2: "AVAILABLE", 1: "AVAILABLE"}

    for version in (1, 2):
        _put(scales[version - 1], folder / str(version))
    label = "version_labels { key: 'stable' value: 1 }"
    _serving(_parsed(_config(folder, f"model_version_policy {{ all {{}} }} {label}")), use)


def test_models_come_and_go(
    folder: pathlib.Path, scales: list[pathlib.Path], saved_models: pathlib.Path
):
    half = _config(saved_models / "half_plus_two", name="half")

    async def use(models: Models) -> None:
        await models.reload(_parsed(half))
        assert models.names == ["half"]
        assert models.ready
        with pytest.raises(ServingError, match=r"Latest\(scale\)"):
            await _answer(models)
        await models._removed["scale"].drained()
        assert _states(models) == {1: "END"}
        await models.reload(_parsed(half, _config(folder)))
        assert await _answer(models) == 1
        assert _states(models) == {1: "AVAILABLE"}

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_a_new_model_that_cannot_be_loaded_fails_the_reload(
    folder: pathlib.Path, scales: list[pathlib.Path], saved_models: pathlib.Path
):
    async def use(models: Models) -> None:
        empty = _config(saved_models / "empty", name="empty")
        nowhere = _config(folder / "nowhere", name="nowhere")
        with pytest.raises(ServingError) as caught:
            await models.reload(_parsed(_config(folder), empty, nowhere))
        assert caught.value.code == grpc.StatusCode.UNKNOWN
        assert caught.value.message.startswith("2 model(s) did not become available: {")
        assert "{name: empty version: 1} due to error: NOT_FOUND" in caught.value.message
        assert "Could not find base path" in caught.value.message
        assert await _answer(models) == 1

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_a_refused_config_changes_nothing(folder: pathlib.Path, scales: list[pathlib.Path]):
    async def use(models: Models) -> None:
        with pytest.raises(ServingError, match="Illegal to list model"):
            await models.reload(_parsed(_config(folder), _config(folder)))
        with pytest.raises(ServingError, match="Illegal setting neither"):
            await models.reload(_parsed(f"config {{ name: 'x' base_path: '{folder}' }}"))
        assert await _answer(models) == 1
        await models.reload(_parsed(_config(folder)))

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def test_another_base_path_swaps_versions_of_the_same_number(
    folder: pathlib.Path, scales: list[pathlib.Path], tmp_path: pathlib.Path
):
    async def use(models: Models) -> None:
        await models.reload(_parsed(_config(tmp_path / "elsewhere")))
        assert await _answer(models) == 4
        assert _states(models) == {1: "AVAILABLE"}

    _put(scales[0], folder / "1")
    (tmp_path / "elsewhere").mkdir()
    _put(scales[3], tmp_path / "elsewhere/1")
    _serving(_parsed(_config(folder)), use)


def test_a_reload_that_takes_too_long_goes_on_in_the_background(
    folder: pathlib.Path, scales: list[pathlib.Path], loading: threading.Event
):
    async def use(models: Models) -> None:
        loading.clear()
        policy = "model_version_policy { all {} }"
        with pytest.raises(ServingError) as caught:
            await models.reload(_parsed(_config(folder, policy)), timeout=0.05)
        assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert _states(models) == {2: "AVAILABLE", 1: "LOADING"}
        loading.set()
        await models.poll_once()
        assert _states(models) == {2: "AVAILABLE", 1: "AVAILABLE"}

    for version in (1, 2):
        _put(scales[version - 1], folder / str(version))
    _serving(_parsed(_config(folder)), use)


def test_the_event_loop_is_free_while_a_version_loads(
    folder: pathlib.Path, scales: list[pathlib.Path], loading: threading.Event
):
    async def use(models: Models) -> None:
        loading.clear()
        _put(scales[1], folder / "2")
        polling = asyncio.create_task(_poll_twice(models))
        while _states(models).get(2) != "LOADING":
            await asyncio.sleep(0.001)
        assert await _answer(models) == 1
        loading.set()
        await polling
        assert await _answer(models) == 2

    _put(scales[0], folder / "1")
    _serving(_parsed(_config(folder)), use)


def _swap_under_load(
    folder: pathlib.Path, scales: list[pathlib.Path], swaps: int, clients: int
) -> list[int]:
    """Memory of the process in bytes after each swap."""
    memory = []

    async def use(models: Models) -> None:
        stop = asyncio.Event()
        answered = 0

        async def client() -> None:
            nonlocal answered
            while not stop.is_set():
                assert await _answer(models) in (1, 2, 3, 4)
                answered += 1

        tasks = [asyncio.create_task(client()) for _ in range(clients)]
        for number in range(2, swaps + 2):
            before = answered
            _put(scales[number % 4], folder / str(number))
            await _poll_twice(models)
            assert _states(models)[number] == "AVAILABLE"
            assert await _answer(models) == number % 4 + 1
            while answered == before:  # until a client, too, had an answer
                await asyncio.sleep(0.001)
            shutil.rmtree(folder / str(number - 1))
            await _drained(models)
            memory.append(psutil.Process().memory_info().rss)
        stop.set()
        await asyncio.gather(*tasks)
        await _drained(models)
        assert list(_states(models).values()).count("AVAILABLE") == 1

    _put(scales[1], folder / "1")
    _serving(_parsed(_config(folder)), use)
    return memory


def test_swaps_under_load_fail_no_request(folder: pathlib.Path, scales: list[pathlib.Path]):
    _swap_under_load(folder, scales, swaps=10, clients=4)


@pytest.mark.slow
def test_many_swaps_under_load_fail_no_request(folder: pathlib.Path, scales: list[pathlib.Path]):
    memory = _swap_under_load(folder, scales, swaps=100, clients=16)
    assert memory[-1] < 1.05 * memory[0]


def test_runs_are_reported(folder: pathlib.Path, scales: list[pathlib.Path]):
    reports = []

    async def use(models: Models) -> None:
        await _answer(models)

    _put(scales[0], folder / "1")
    _serving(
        _parsed(_config(folder)),
        use,
        on_batch=lambda version, record: reports.append((version.version, record.rows)),
    )
    assert reports == [(1, 1)]
