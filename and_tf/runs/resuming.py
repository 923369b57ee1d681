"""What must stay the same for a run to go on: its config and its images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from and_tf.files import printable
from and_tf.runs.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from and_tf.data.image_set import ImageSet

SHOWN = 5
"""Folders that a message names."""

PLACES = ("data.data_dir", "data.path", "data.test_path", "data.labels")
# May differ when a run goes on: where its images lie (their names and number may not), what it
# computes on and reports, and how fast it learns, for a run that diverged.
_FREE = (
    *PLACES,
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
    "train.report",
    "watchdog",
    "evaluation",
)


def check_same_config(begun_with: RunConfig, asked_for: RunConfig) -> None:
    """Refuse to go on with a run under a config that would make it another one.

    Raises:
        ConfigError: With every key that differs.
    """
    asked = asked_for.by_key()
    problems = [
        f"{key}: the run was begun with {json.dumps(before)}, which cannot change now. "
        f"Received: {json.dumps(asked[key])}."
        for key, before in begun_with.by_key().items()
        if before != asked[key] and key not in _FREE and key.split(".")[0] not in _FREE
    ]
    if problems:
        raise ConfigError(problems)


def without_places(config: RunConfig) -> dict:
    """A config as JSON without where its images lie, which may differ from machine to machine."""
    return config.model_dump(
        mode="json", exclude={"data": {key.removeprefix("data.") for key in PLACES}}
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


def folder_fingerprints(images: ImageSet) -> dict[str, list]:
    """Of each folder inside a folder of images: how many there are, and a digest of their names.

    It says what has changed where `fingerprint` says that something has. Empty for other images.
    """
    names: dict[str, list[str]] = {}
    for source in images.sources or ():
        folder, slash, _ = source.partition("/")
        names.setdefault(folder if slash else ".", []).append(source)
    return {
        folder: [
            len(found),
            hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()[:16],
        ]
        for folder, found in sorted(names.items())
    }


def check_same_images(begun_with: dict, images: ImageSet) -> None:
    """Refuse to go on with a run on other images: bank rows belong to images by their index.

    Args:
        begun_with: The `fingerprint` of the images that the run was begun with, perhaps with their
            `folder_fingerprints` as `folders`.
        images: What was loaded now.

    Raises:
        ValueError: They differ; with what does.
    """
    found = fingerprint(images)
    if found != {key: value for key, value in begun_with.items() if key in found}:
        changes = "; ".join(_changes(begun_with, found | {"folders": folder_fingerprints(images)}))
        raise ValueError(
            "The images are not those that the run was begun with; restore them, or begin another "
            f"run. Received: {changes}"
        )


def _changes(before: dict, now: dict) -> Iterator[str]:
    """What differs, most telling first."""
    if before.get("examples") != now["examples"]:
        yield f"{now['examples']:,} images, before {before.get('examples', 0):,}"
    if before.get("shape") != now["shape"]:
        yield f"images of shape {now['shape']}, before {before.get('shape')}"
    if "name" in now and before.get("name") != now["name"]:
        yield f"the images of {now['name']}, before {before.get('name', 'files in a folder')}"
    if "sources_sha256" not in now or before.get("sources_sha256") == now["sources_sha256"]:
        return
    folders = before.get("folders")
    if folders is None:  # a run of before they were noted
        yield "files of other names"
        return
    changed = [
        (printable(folder), folders.get(folder, [0])[0], now["folders"].get(folder, [0])[0])
        for folder in sorted({*folders, *now["folders"]})
        if folders.get(folder) != now["folders"].get(folder)
    ]
    for folder, old, new in changed[:SHOWN]:
        yield f"{folder}/ has {new:,}, before {old:,}" if old != new else f"{folder}/ has others"
    if len(changed) > SHOWN:
        yield f"{len(changed) - SHOWN:,} more folders differ"
