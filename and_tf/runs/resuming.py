"""What must stay the same for a run to go on: its config and its images."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from and_tf.runs.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from and_tf.data.image_set import ImageSet

_PLACES = ("data.data_dir", "data.path", "data.test_path", "data.labels")
# May differ when a run goes on: where its images lie (their names and number may not), what it
# computes on and reports, and how fast it learns, for a run that diverged.
_FREE = (
    *_PLACES,
    "objective.bank",
    "optimizer.learning_rate",
    "optimizer.schedule",
    "optimizer.warmup_epochs",
    "optimizer.drops",
    "optimizer.drop_factor",
    "train.devices",
    "train.worker_timeout_seconds",
    "train.checkpoint_every_epochs",
    "train.checkpoint_every_minutes",
    "train.keep_checkpoints",
    "train.keep_rounds",
    "watchdog",
    "evaluation",
)


def check_same_config(begun_with: RunConfig, asked_for: RunConfig) -> None:
    """Refuse to go on with a run under a config that would make it another one.

    Raises:
        ConfigError: With every key that differs.
    """
    old, new = begun_with.model_dump(mode="json"), asked_for.model_dump(mode="json")
    problems = []
    for section, values in old.items():
        if not isinstance(values, dict):
            pairs = [(section, values, new[section])]
        else:
            pairs = [
                (f"{section}.{key}", value, new[section][key]) for key, value in values.items()
            ]
        problems += [
            f"{key}: the run was begun with {json.dumps(before)}, which cannot change now. "
            f"Received: {json.dumps(after)}."
            for key, before, after in pairs
            if before != after and key not in _FREE and section not in _FREE
        ]
    if problems:
        raise ConfigError(problems)


def without_places(config: RunConfig) -> dict:
    """A config as JSON without where its images lie, which may differ from machine to machine."""
    return config.model_dump(
        mode="json", exclude={"data": {key.removeprefix("data.") for key in _PLACES}}
    )


def fingerprint(images: ImageSet) -> dict:
    """What tells one set of images, in one order, from another."""
    found = {"examples": images.num_examples, "shape": [*images.image_shape]}
    if images.sources is None:
        found["name"] = images.name
    else:  # whatever their folder is called now
        names = "\n".join(images.sources).encode("utf-8", "surrogateescape")
        found["sources_sha256"] = hashlib.sha256(names).hexdigest()
    return found


def check_same_images(begun_with: dict, images: ImageSet) -> None:
    """Refuse to go on with a run on other images: bank rows belong to images by their index.

    Args:
        begun_with: The `fingerprint` of the images that the run was begun with.
        images: What was loaded now.

    Raises:
        ValueError: They differ.
    """
    found = fingerprint(images)
    if found != {key: value for key, value in begun_with.items() if key in found}:
        raise ValueError(
            "The images are not those that the run was begun with; restore them, or begin another "
            f"run. Received: {json.dumps(found)}, begun with {json.dumps(begun_with)}"
        )
