from __future__ import annotations

import numpy as np
import pytest

from and_tf.data import InMemoryImageSet, from_arrays
from and_tf.runs.config import ConfigError, load_config
from and_tf.runs.resuming import (
    check_same_config,
    check_same_images,
    fingerprint,
    folder_fingerprints,
)


def test_what_a_run_learns_from_cannot_change():
    begun_with = load_config(None)
    changed = load_config(None, ["curriculum.rounds=2", "seed=3", "optimizer.momentum=0.5"])
    with pytest.raises(ConfigError) as raised:
        check_same_config(begun_with, changed)
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "seed",
        "curriculum.rounds",
        "optimizer.momentum",
    ]
    assert "begun with 4, which cannot change now. Received: 2." in str(raised.value)


def test_what_a_run_reports_its_rate_and_where_its_bank_lies_can_change():
    changed = [
        "evaluation.every_epochs=3",
        "optimizer.learning_rate=0.01",
        "objective.bank=sharded",
    ]
    check_same_config(load_config(None), load_config(None, changed))


def test_other_images_are_noticed():
    images = from_arrays(np.zeros((4, 8, 8, 3), np.uint8))
    begun_with = fingerprint(images)
    check_same_images(begun_with, images)
    with pytest.raises(ValueError, match="not those.*Received: 5 images, before 4$"):
        check_same_images(begun_with, from_arrays(np.zeros((5, 8, 8, 3), np.uint8)))


def test_a_folder_may_be_called_otherwise():
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    images = [InMemoryImageSet(name, pixels, sources=("a", "b")) for name in ("photos", "moved")]
    for begun_with in (fingerprint(images[0]), fingerprint(images[0]) | {"name": "photos/train"}):
        check_same_images(begun_with, images[1])
    with pytest.raises(ValueError, match="not those"):
        check_same_images(
            fingerprint(images[0]), InMemoryImageSet("photos", pixels, sources=("a", "c"))
        )


def test_says_which_folders_have_changed():
    def images(*sources: str, side: int = 8) -> InMemoryImageSet:
        pixels = np.zeros((len(sources), side, side, 3), np.uint8)
        return InMemoryImageSet("photos", pixels, sources=sources)

    before = images("cat/1", "cat/2", "dog/1", "emu/1", "x")
    begun_with = fingerprint(before) | {"folders": folder_fingerprints(before)}
    check_same_images(begun_with, before)
    for now, changes in (
        (images("cat/1", "cat/2", "cat/3", "dog/1", "emu/1", "x"), "6 .* 5; cat/ has 3, before 2"),
        (images("cat/1", "cat/2", "dog/2", "emu/1", "x"), "Received: dog/ has others"),
        (images("cat/1", "cat/2", "dog/1", "x"), "4 images, before 5; emu/ has 0, before 1"),
        (images("cat/1", "cat/2", "dog/1", "emu/1", "y", side=9), r"\[9, 9, 3\].*; \./ has others"),
        (images(*(f"{i}/1" for i in range(9))), "; 8 more folders differ"),
        (from_arrays(np.zeros((5, 8, 8, 3), np.uint8)), "of arrays, before files in a folder"),
    ):
        with pytest.raises(ValueError, match=f"{changes}$") as raised:
            check_same_images(begun_with, now)
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="Received: files of other names$"):
        check_same_images(fingerprint(before), images("cat/1", "cat/2", "dog/2", "emu/1", "x"))
