"""What a run says while it trains: lines for a person, rows for `metrics.jsonl`."""

from __future__ import annotations

import dataclasses
import time

import keras
from tqdm import tqdm

from and_tf.method.callbacks import KNNEvaluation, NeighbourhoodDiscovery
from and_tf.runs.run_directory import RunDirectory

_FIRST_LINE_SECONDS = 8.0
_LINE_SECONDS = 60.0
"""Between what is said inside an epoch, from the end of the first step on."""


class Progress(keras.callbacks.Callback):
    """Prints a line and writes a row for the untrained encoder, every round and every epoch.

    Inside an epoch a terminal shows a bar; elsewhere, as in a log, there is a line after the first
    step, 8 s later and then every minute. Both say how long the whole run will take.

    Goes after the callbacks whose findings it reports.

    Args:
        run: Where `metrics.jsonl` lies.
        discovery: The callback that begins rounds.
        evaluation: The callback that evaluates, None without labels.
    """

    def __init__(
        self,
        run: RunDirectory,
        discovery: NeighbourhoodDiscovery,
        evaluation: KNNEvaluation | None,
    ) -> None:
        super().__init__()
        self.run = run
        self.discovery = discovery
        self.evaluation = evaluation
        self.curriculum = discovery.curriculum
        self._reported = discovery.latest
        self._epochs_done = 0
        self._is_first_step = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.evaluation is not None and self.evaluation.untrained is not None:
            accuracy = self.evaluation.untrained
            self.run.append_metrics({"event": "untrained", "epoch": 0, "knn_features": accuracy})
            self._print(f"untrained encoder  kNN features {accuracy:.1%}")
        if not self._epochs_done:
            self._started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        discovery = self.discovery.latest
        if discovery is not None and discovery is not self._reported:
            self._reported = discovery
            found = dataclasses.asdict(discovery)
            found = {name: value for name, value in found.items() if value is not None}
            self.run.append_metrics({"event": "round", "epoch": epoch, **found})
            line = (
                f"round {discovery.round}/{self.curriculum.rounds}  "
                f"{discovery.anchors:,} anchors  "
                f"entropy {discovery.anchor_entropy:.3f} (all {discovery.entropy:.3f})  "
                f"mutual neighbours {discovery.mutual_neighbours:.1%}"
            )
            if discovery.consistency is not None:
                line += f"  consistent {discovery.consistency:.1%}"
            if discovery.probe is not None:
                line += (
                    f"  ScaNN recall {discovery.probe.recall:.1%}, "
                    f"same anchors {discovery.probe.overlap:.1%}"
                )
            self._print(line)
        self._bar = tqdm(
            total=self.params.get("steps"),
            desc=f"epoch {epoch + 1}/{self.curriculum.total_epochs}",
            unit="step",
            leave=False,
            disable=None,  # where there is no terminal
        )
        self._epoch = epoch
        self._examples_before = self.model.examples_seen
        self._epoch_started = self._last_step = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._bar.update()
        self._last_step = time.monotonic()
        if self._is_first_step:  # takes long, since it is compiled
            self._is_first_step = False
            self._timed_from = self._last_step, self.model.examples_seen
            self._next_line = self._last_step + _FIRST_LINE_SECONDS
            if self._bar.disable:
                self._print(f"{self._place(batch)}  first step done")
        elif self._last_step >= self._next_line:
            self._next_line = self._last_step + _LINE_SECONDS
            started, before = self._timed_from
            seen = self.model.examples_seen
            speed = (seen - before) / (self._last_step - started)
            all_images = self.curriculum.total_epochs * self.model.num_examples
            left = f"{tqdm.format_interval((all_images - seen) / speed)} left in all"
            if self._bar.disable:
                loss = f"loss {logs['loss']:.4f}  " if logs else ""
                self._print(f"{self._place(batch)}  {loss}{speed:,.0f} images/s  {left}")
            else:
                self._bar.set_postfix_str(left)

    def _place(self, batch: int) -> str:
        total, steps = self.curriculum.total_epochs, self.params.get("steps")
        return f"epoch {self._epoch + 1}/{total}  step {batch + 1:,}/{steps:,}"

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._bar.close()
        logs = dict(logs or {})
        if self.evaluation is not None and not self.evaluation.is_fresh:
            for name in ("knn_bank", "knn_features"):  # an earlier epoch's
                logs.pop(name, None)
        seconds = self._last_step - self._epoch_started
        examples = self.model.examples_seen - self._examples_before
        speed = examples / max(seconds, 1e-9)
        # Fewer examples than there are: the rest were seen before the run was stopped and resumed.
        row = {"event": "epoch", "epoch": epoch + 1, "examples": examples, **logs}
        self.run.append_metrics(row | {"images_per_second": speed, "seconds": seconds})

        self._epochs_done += 1
        left = self.curriculum.total_epochs - (epoch + 1)
        seconds_left = left * (time.monotonic() - self._started) / self._epochs_done
        line = (
            f"round {logs['round']}/{self.curriculum.rounds}  "
            f"epoch {epoch + 1}/{self.curriculum.total_epochs}  loss {logs['loss']:.4f}  "
            f"{speed:,.0f} images/s  {tqdm.format_interval(seconds_left)} left"
        )
        if "knn_bank" in logs:
            line += f"  kNN bank {logs['knn_bank']:.1%}  features {logs['knn_features']:.1%}"
        elif self.evaluation is None:
            line += f"  spread {logs['embedding_spread']:.3f}"
            if "effective_rank" in logs:
                line += f"  effective rank {logs['effective_rank']:.1f}"
        self._print(line)

    @staticmethod
    def _print(line: str) -> None:
        print(line, flush=True)
