"""One configured model: its versions, from the folder to the last request and away."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pathlib
from collections.abc import Awaitable, Callable, Collection, Mapping

from tensorflow_serving.apis import get_model_status_pb2 as status_pb2
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from serving.engine import version_folder
from serving.engine.served_version import ServedVersion
from serving.errors import ServingError

State = status_pb2.ModelVersionStatus.State
# Versions that are gone are listed, as TensorFlow Serving lists them, but not without end.
ENDED_VERSIONS_LISTED = 100

_logger = logging.getLogger(__name__)


@dataclasses.dataclass
class VersionState:
    """Where a version stands: what GetModelStatus answers for it."""

    version: int
    state: int
    error: ServingError | None = None


class Model:
    """The versions of one model. Belongs to the event loop.

    `labels` maps each label to a version; `problem` says what is wrong with the model's folder as
    a whole, None if nothing is.
    """

    def __init__(
        self,
        config: config_pb2.ModelConfig,
        load: Callable[[str, int, pathlib.Path], Awaitable[ServedVersion]],
        keep_last: bool,
    ) -> None:
        """`load` loads and checks a version; `keep_last` is Models.__init__'s."""
        self.config = config
        self.labels: dict[str, int] = {}
        self.problem: str | None = None
        self._load = load
        self._keep_last = keep_last
        self._served: dict[int, ServedVersion] = {}
        self._states: dict[int, VersionState] = {}
        self._refused: dict[int, version_folder.Contents] = {}
        self._last_look: dict[int, version_folder.Contents] | None = None
        self._draining: set[asyncio.Task] = set()

    def served(self, version: int | None = None) -> ServedVersion | None:
        """The version asked for, by default the latest, if it is AVAILABLE."""
        if version is None and self._served:
            version = max(self._served)
        return None if version is None else self._served.get(version)

    @property
    def available(self) -> Collection[int]:
        """The numbers of the versions that are AVAILABLE."""
        return self._served.keys()

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch of one of the versions."""
        return sum(version.queued_rows for version in self._served.values())

    def states(self) -> list[VersionState]:
        """All versions seen, newest first."""
        return sorted(self._states.values(), key=lambda state: -state.version)

    async def poll(self) -> None:
        """Looks into the folder once, loads what is wanted and unloads what is not."""
        last_look = self._last_look
        while True:
            try:
                choice = await self._choose(self.config, last_look)
            except OSError as error:
                self._report(
                    f"Could not find base path {self.config.base_path}: {error.strerror or error}"
                )
                return
            self._last_look = dict(choice.contents)
            self._set_waiting(choice.waiting)
            served = self._served_paths()
            new = next((n for n, path in choice.wanted.items() if path not in served), None)
            if new is None:
                break
            await self._bring_in(new, choice.wanted[new], choice.contents[new])
        self._retire(choice)

    async def versions_under(self, config: config_pb2.ModelConfig) -> Collection[int]:
        """The versions that the model would have under another configuration, if all load.

        Raises OSError if the folder cannot be read.
        """
        choice = await self._choose(config, None)
        return choice.wanted.keys() or self._served.keys()

    def reconfigure(self, config: config_pb2.ModelConfig) -> None:
        """Takes another configuration; the next poll follows it."""
        if config != self.config:
            self.config = config
            self._last_look = None

    def remove(self) -> None:
        """Unloads all versions, because the model is no longer configured."""
        self.labels = {}
        self._last_look = None
        for number in list(self._served):
            self._unload(number)

    async def drained(self) -> None:
        """Waits for versions that are being unloaded."""
        while self._draining:
            await asyncio.wait(self._draining)

    async def _choose(
        self,
        config: config_pb2.ModelConfig,
        last_look: Mapping[int, version_folder.Contents] | None,
    ) -> version_folder.Choice:
        return await asyncio.to_thread(
            version_folder.choose,
            pathlib.Path(config.base_path),
            config.model_version_policy,
            self._served_paths(),
            self._refused,
            last_look,
        )

    def _served_paths(self) -> set[pathlib.Path]:
        return {version.path for version in self._served.values()}

    async def _bring_in(
        self, number: int, path: pathlib.Path, contents: version_folder.Contents
    ) -> None:
        old = self._served.get(number)
        if old is None:
            self._set(number, State.LOADING)
        _logger.info("Loading version %d of model %s", number, self.config.name)
        try:
            version = await self._load(self.config.name, number, path)
        except ServingError as error:
            _logger.warning("Version %d of model %s: %s", number, self.config.name, error)
            self._refused[number] = contents
            if error.retry_after is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(error.retry_after, self._refused.pop, number, None)
            if old is None:
                self._set(number, State.END, error)
            return
        self._refused.pop(number, None)
        self._served[number] = version
        self._set(number, State.AVAILABLE)
        _logger.info("Version %d of model %s is available", number, self.config.name)
        if old is not None:
            self._drain(old)

    def _retire(self, choice: version_folder.Choice) -> None:
        self._report(None if choice.wanted else "No version to serve was found in the folder")
        if not choice.wanted and (self._keep_last or choice.waiting):
            return
        for number in self._served.keys() - choice.wanted.keys():
            self._unload(number)

    def _unload(self, number: int) -> None:
        self._set(number, State.UNLOADING)
        self._drain(self._served.pop(number), then_end=True)

    def _drain(self, version: ServedVersion, then_end: bool = False) -> None:
        async def drain() -> None:
            await version.drain()
            # The version may have come back meanwhile.
            if then_end and version.version not in self._served:
                self._set(version.version, State.END)

        task = asyncio.get_running_loop().create_task(drain())
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    def _set_waiting(self, numbers: Collection[int]) -> None:
        for number in [n for n, known in self._states.items() if known.state == State.START]:
            del self._states[number]
        for number in numbers:
            if number not in self._served:
                self._set(number, State.START)

    def _set(self, number: int, state: int, error: ServingError | None = None) -> None:
        self._states[number] = VersionState(number, state, error)
        ended = sorted(n for n, known in self._states.items() if known.state == State.END)
        for old in ended[:-ENDED_VERSIONS_LISTED]:
            del self._states[old]

    def _report(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            _logger.warning("Model %s: %s", self.config.name, problem)
        self.problem = problem
