"""All models of a server: found by name, polled, reconfigured."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import pathlib
from collections.abc import Callable, Collection, Iterator

import grpc
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.engine import model_config, version_check
from serving.engine.batching import BatchRecord
from serving.engine.batching_settings import BatchingSettings
from serving.engine.model import Model, VersionState
from serving.engine.servable import Servable
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError

_logger = logging.getLogger(__name__)


class Models:
    """The configured models and their versions. Belongs to one event loop.

    Versions are loaded in a thread, one at a time, beside those in service.
    """

    def __init__(
        self,
        config: config_pb2.ModelServerConfig,
        *,
        poll_seconds: float = 1.0,
        keep_last: bool = True,
        batching: BatchingSettings | None = None,
        on_batch: Callable[[ServedVersion, BatchRecord], None] | None = None,
        before_swap: Callable[[str, Servable], Callable[[], None]] | None = None,
        intra_op_threads: int = 0,
        inter_op_threads: int = 0,
    ) -> None:
        """Takes the models of `config`; `start` loads them.

        `poll_seconds` is the time between looks into the folders, 0 for none after the first.
        `keep_last` keeps the last versions in service when all are gone from the folder;
        TensorFlow Serving does so only with servable_versions_always_present. `on_batch` is called
        on the event loop after each run of a signature. `before_swap` is called, in a thread, with
        a model's name and each version that is about to serve, and may refuse it by a ServingError;
        what it returns is called before the version is freed.

        Raises ServingError for a configuration that TensorFlow Serving would refuse.
        """
        model_config.validate(config)
        self._poll_seconds = poll_seconds
        self._keep_last = keep_last
        self._batching = batching or BatchingSettings()
        self._on_batch = on_batch
        self._before_swap = before_swap
        self._threads = (intra_op_threads, inter_op_threads)
        self._models: dict[str, Model] = {}
        self._removed: dict[str, Model] = {}
        self._changing = asyncio.Lock()
        self._loader = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="load")
        self._closing = asyncio.Event()
        self._polling: asyncio.Task | None = None
        self._reloading: set[asyncio.Task] = set()
        self._config = config

    async def start(self) -> None:
        """Loads the configured versions and starts to poll.

        Models of which no version can be loaded are polled on; see `status` and `problem`.
        """
        async with self._changing:
            self._configure(self._config)
            await self._poll_all()
            self._set_labels()
        if self._poll_seconds > 0:
            self._polling = asyncio.create_task(self._poll_until_closing())

    async def close(self) -> None:
        """Stops polling, waits for requests in progress and frees everything."""
        self._closing.set()
        if self._polling is not None:
            await self._polling
        async with self._changing:
            for model in self._models.values():
                model.remove()
            for model in [*self._models.values(), *self._removed.values()]:
                await model.drained()
        self._loader.shutdown()

    @property
    def names(self) -> list[str]:
        """The names of the configured models, sorted."""
        return sorted(self._models)

    @property
    def ready(self) -> bool:
        """Whether there are models, and each has an AVAILABLE version."""
        served = [model.served() is not None for model in self._models.values()]
        return bool(served) and all(served)

    def queued_rows(self) -> dict[str, int]:
        """By model, the rows of requests that wait for a batch."""
        return {name: model.queued_rows for name, model in self._models.items()}

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[ServedVersion]:
        """The version of a model that a request asks for, by default the latest.

        It stays loaded until the block ends.

        Raises ServingError, in TensorFlow Serving's words: NOT_FOUND if no such version is
        AVAILABLE, INVALID_ARGUMENT for an unknown label.
        """
        model = self._models.get(name)
        if label is not None:
            version = model.labels.get(label) if model else None
            if version is None:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Unrecognized servable version label: {label}",
                )
        served = model.served(version) if model else None
        if served is None:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}"
            )
        with served.in_use():
            yield served

    def status(self, name: str, version: int | None = None) -> list[VersionState]:
        """The states of a model's versions, newest first, or of one of them.

        Raises ServingError, in TensorFlow Serving's words: NOT_FOUND if there is none.
        """
        model = self._models.get(name) or self._removed.get(name)
        states = model.states() if model else []
        if version is not None:
            states = [state for state in states if state.version == version]
        if not states:
            what = "any versions" if version is None else f"version {version}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {name}")
        return states

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a configured model and the versions that they stand for."""
        return dict(self._models[name].labels)

    def problem(self, name: str) -> str | None:
        """What is wrong with a configured model's folder as a whole; None if nothing is."""
        return self._models[name].problem

    async def poll_once(self) -> None:
        """Looks into all folders now, and returns when what is new serves or is refused."""
        async with self._changing:
            await self._poll_all()

    async def reload(self, config: config_pb2.ModelServerConfig, *, timeout: float = 600.0) -> None:
        """Serves what another configuration says; returns when it does.

        Models that it lacks are unloaded. Labels change last, all of them or none.

        Raises ServingError: as `__init__`, or FAILED_PRECONDITION for a label of a version that it
        does not have, and then nothing has changed; UNKNOWN for a new model that could not be
        loaded; FAILED_PRECONDITION for a label of a version that could not, and then no label has
        changed; DEADLINE_EXCEEDED after `timeout` seconds, and then it goes on in the background.
        """
        model_config.validate(config, served=self._models.keys())
        applying = asyncio.create_task(self._apply(config))
        self._reloading.add(applying)
        applying.add_done_callback(self._reloading.discard)
        done, _ = await asyncio.wait({applying}, timeout=timeout)
        if not done:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"The configuration was taken, but its models were not loaded within {timeout:g} "
                "seconds. Loading goes on: ask for their status",
            )
        applying.result()

    async def _poll_until_closing(self) -> None:
        while not self._closing.is_set():
            try:
                await asyncio.wait_for(self._closing.wait(), self._poll_seconds)
            except TimeoutError:
                await self._poll_and_carry_on()

    async def _poll_and_carry_on(self) -> None:
        try:
            await self.poll_once()
        except Exception:  # what is served must not depend on the next poll
            _logger.exception("Looking for new versions failed")

    async def _apply(self, config: config_pb2.ModelServerConfig) -> None:
        async with self._changing:
            new = {model.name for model in config.model_config_list.config} - self._models.keys()
            await self._check_new_labels(config)
            self._configure(config)
            await self._poll_all()
            self._refuse_unavailable(sorted(new))
            for model in self._models.values():
                _check_labels(model.config, model.available)
            self._set_labels()

    async def _poll_all(self) -> None:
        for model in list(self._models.values()):
            await model.poll()

    def _configure(self, config: config_pb2.ModelServerConfig) -> None:
        wanted = {model.name: model for model in config.model_config_list.config}
        for name in self._models.keys() - wanted.keys():
            self._models[name].remove()
            self._removed[name] = self._models.pop(name)
        for name, model in wanted.items():
            if name in self._removed:
                self._models[name] = self._removed.pop(name)
            if name in self._models:
                self._models[name].reconfigure(model)
            else:
                self._models[name] = Model(model, self._load, self._keep_last)

    def _refuse_unavailable(self, names: list[str]) -> None:
        reasons = []
        for name in names:
            model = self._models[name]
            if model.served() is None:
                broken = [state for state in model.states() if state.error]
                what = f"{{name: {name} version: {broken[0].version}}}" if broken else name
                why = broken[0].error if broken else model.problem
                reasons.append(f"{{{what} due to error: {why}}}, ")
        if reasons:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                f"{len(reasons)} model(s) did not become available: {{{''.join(reasons)}}}",
            )

    async def _check_new_labels(self, config: config_pb2.ModelServerConfig) -> None:
        """Refuses labels of versions that the models will not have."""
        known = {**self._removed, **self._models}
        for wanted in config.model_config_list.config:
            if wanted.version_labels:
                model = known.get(wanted.name) or Model(wanted, self._load, self._keep_last)
                # A folder that cannot be read is reported when the model is loaded.
                with contextlib.suppress(OSError):
                    _check_labels(wanted, await model.versions_under(wanted))

    def _set_labels(self) -> None:
        for model in self._models.values():
            model.labels = dict(model.config.version_labels)

    async def _load(self, name: str, number: int, path: pathlib.Path) -> ServedVersion:
        loop = asyncio.get_running_loop()
        servable, before_close = await loop.run_in_executor(
            self._loader, self._load_blocking, name, path
        )
        return ServedVersion(name, number, servable, self._batching, self._on_batch, before_close)

    def _load_blocking(
        self, name: str, path: pathlib.Path
    ) -> tuple[Servable, Callable[[], None] | None]:
        servable = version_check.load_checked(path, *self._threads)
        if self._before_swap is None:
            return servable, None
        try:
            return servable, self._before_swap(name, servable)
        except Exception as error:  # what an export says of itself may be wrong in any way
            servable.close()
            if isinstance(error, ServingError):
                raise
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                f"The version in {path} cannot be prepared: {type(error).__name__}: {error}",
            ) from error


def _check_labels(config: config_pb2.ModelConfig, versions: Collection[int]) -> None:
    for version in config.version_labels.values():
        if version not in versions:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {config.name}, which is "
                "not currently available for inference",
            )
