"""Which machines train together, and which of them this is: TF_CONFIG."""

from __future__ import annotations

import dataclasses
import json
import os
import re

from and_tf.errors import RunError

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The machines of a run.

    Attributes:
        addresses: "host:port" of every worker; the first is the chief, which writes and reports.
        rank: Which of them this process is.
        tasks: What TensorFlow calls each of them.
    """

    addresses: tuple[str, ...] = ("localhost",)
    rank: int = 0
    tasks: tuple[tuple[str, int], ...] = (("worker", 0),)

    @classmethod
    def of_environment(cls) -> Cluster:
        """What TF_CONFIG says; this machine alone where it is not set or names one worker.

        Raises:
            RunError: It is malformed, or names parameter servers, evaluators, no such task, or one
                address twice.

        Source: TensorFlow's guide to distributed training, "Setting up the TF_CONFIG environment
        variable".
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text.strip():
            return cls()
        try:
            config = json.loads(text)
            jobs = config["cluster"]
            strangers = sorted(set(jobs) - {"chief", "worker"})
            task = config["task"]["type"], int(config["task"]["index"])
            is_listed = all(isinstance(addresses, list) for addresses in jobs.values())
        except (ValueError, KeyError, TypeError, AttributeError):
            is_listed = False
        if not is_listed:
            raise RunError(f"TF_CONFIG should read like {_EXAMPLE}. Received: {text}")
        if strangers:
            raise RunError(
                "TF_CONFIG: the cluster may have a chief and workers. Received: "
                + ", ".join(strangers)
            )
        tasks = [
            (job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, ())))
        ]
        if task not in tasks:
            raise RunError(
                f"TF_CONFIG: the task must be one of the cluster's. Received: {task[0]} {task[1]} of {jobs}"
            )
        addresses = tuple(jobs[job][index] for job, index in tasks)
        for number, address in enumerate(addresses):
            if not (isinstance(address, str) and re.fullmatch(r".+:\d+", address)):
                raise RunError(
                    f'TF_CONFIG: an address reads "host:port". Received: {json.dumps(address)}'
                )
            if address in addresses[:number]:  # they would wait for each other
                raise RunError(
                    f"TF_CONFIG: every task has an address of its own. Received: {address} twice"
                )
        return cls(addresses, tasks.index(task), tuple(tasks))

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def name(self, rank: int) -> str:
        """How messages call a worker."""
        return f"worker {rank} ({self.addresses[rank]})"

    def explain_loss(self, error: Exception) -> str | None:
        """What to tell about an error that comes of another worker, such as its end; None for others."""
        kind, text = type(error).__name__, str(error)
        if self.count > 1 and "is joining a group with size" in text:
            return (
                "TF_CONFIG must list the same machines on each of them. Received: "
                f"{', '.join(self.addresses)} here, on another machine more or fewer"
            )
        is_loss = kind == "UnavailableError" or (kind in _ENDS and "ollective" in text)
        if self.count == 1 or not is_loss:
            return None
        text = re.sub(r"\{\{.*?\}\}", "", text)  # the operation, and the device that ran it
        named = re.findall(r"/job:(\w+)/replica:0/task:(\d+)", text)
        others = {name: rank for rank, name in enumerate(self.tasks) if rank != self.rank}
        lost = [others[job, int(task)] for job, task in named if (job, int(task)) in others]
        who = self.name(lost[0]) if lost else "another worker"
        return (
            f"{self.name(self.rank)} stops: {who} does not answer any more; what it said last tells why. "
            "Start every worker again with --resume-or-start, on as many machines as there are: it goes on "
            "from the last checkpoint."
        )


# Errors of TensorFlow, which may not be imported here, that collective operations end in.
_ENDS = (
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "UnknownError",
)
