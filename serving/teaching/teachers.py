"""The teachers of all models that can be taught, by model."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path

from serving.engine.servable import Servable
from serving.teaching.export_facts import read_export_facts
from serving.teaching.taught_rows import TaughtRows
from serving.teaching.teacher import Teacher


class Teachers:
    """Makes a teacher for a model when its first version that can be taught is loaded.

    Args:
        folder: Where the rows are kept, a file for each model; made when it is needed.
        max_rows: How many rows each model may hold.
    """

    def __init__(self, folder: Path, max_rows: int) -> None:
        self._folder = folder
        self._max_rows = max_rows
        self._teachers: dict[str, Teacher] = {}
        self._lock = threading.Lock()

    def attach(self, model: str, servable: Servable) -> Callable[[], None]:
        """Gives a version that is about to serve the model's rows: see `Teacher.attach`.

        Returns what must be called before the version is freed.

        Raises:
            ServingError: The rows cannot be embedded, or another process has them.
        """
        facts = read_export_facts(servable.description)
        if facts is None or facts.taught is None:
            return lambda: None
        with self._lock:
            if model not in self._teachers:
                store = TaughtRows.of_model(self._folder, model)
                self._teachers[model] = Teacher(store, self._max_rows)
            teacher = self._teachers[model]
        teacher.attach(servable)
        return functools.partial(teacher.detach, servable)

    def get(self, model: str) -> Teacher | None:
        """The teacher of a model; None if no version of it could be taught so far."""
        return self._teachers.get(model)

    def rows(self) -> dict[str, int]:
        """By model, how many rows it was taught."""
        return {model: len(teacher.store) for model, teacher in self._teachers.items()}

    def waiting(self) -> dict[str, int]:
        """By model, the requests that wait for its teacher."""
        return {model: teacher.waiting for model, teacher in self._teachers.items()}

    def close(self) -> None:
        """Finishes what was asked for, and closes all stores."""
        with self._lock:
            for teacher in self._teachers.values():
                teacher.close()
            self._teachers.clear()
