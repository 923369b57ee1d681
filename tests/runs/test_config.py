"""The run's description: defaults, bounds, overrides, and what a wrong one is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from and_tf.runs.config import ConfigError, RunConfig, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = sorted((REPOSITORY / "configs").glob("*.json"))


def problems(path=None, overrides=()):
    """The lines that a wrong config is answered with."""
    with pytest.raises(ConfigError) as error:
        load_config(path, overrides)
    return str(error.value).split("\n")


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "run.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_embedded_default_is_the_digits_file():
    assert load_config(None) == load_config(REPOSITORY / "configs" / "digits.json")


def test_digits_statistics_are_those_of_the_images():
    pixels = pytest.importorskip("sklearn.datasets").load_digits().images / 16
    data = load_config(None).data
    np.testing.assert_allclose(data.mean, pixels.mean(), atol=2e-3)
    np.testing.assert_allclose(data.std, pixels.std(), atol=2e-3)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_file_loads_under_its_own_name_and_is_documented(path):
    assert load_config(path).name == path.stem
    assert f"configs/{path.name}" in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["svhn", "cifar10", "cifar100", "imagenet", "cub200", "dogs"])
def test_the_papers_data_sets_are_as_published(name):
    config = load_config(REPOSITORY / "configs" / f"{name}.json")
    curriculum, optimizer = config.curriculum, config.optimizer
    assert config.encoder.name == "resnet18" and config.encoder.embedding_dim == 128
    assert config.train.batch_size == (256 if name == "imagenet" else 128)
    assert config.objective.temperature == (0.07 if name == "imagenet" else 0.1)
    assert config.objective.bank_momentum == 0.5
    assert curriculum.rounds == 4 and curriculum.neighbours == 1
    assert curriculum.initial_epochs == curriculum.epochs_per_round == 200
    assert (optimizer.learning_rate, optimizer.momentum, optimizer.weight_decay) == (
        0.03,
        0.9,
        5e-4,
    )
    assert [200 * drop for drop in optimizer.drops] == [120, 160]
    assert optimizer.nesterov and optimizer.drop_factor == 0.1
    assert config.evaluation.knn_neighbours == 200
    large = name in ("imagenet", "cub200", "dogs")
    assert config.augment.flip == large
    assert config.data.image_size == (224 if large else None)


@pytest.mark.parametrize("path", [None, *CONFIGS], ids=lambda path: getattr(path, "stem", "none"))
def test_json_round_trip(path, write):
    options = ["seed=7", "optimizer.drops=[]", "augment.crop_ratio=[1, 1.7]"]
    config = load_config(path, [*options, "optimizer.schedule=rounds"])
    again = load_config(write(config.to_json()))
    assert again == config and again.to_json() == config.to_json()


def test_every_key_has_a_description():
    for section in [RunConfig, *(f.annotation for f in RunConfig.model_fields.values())]:
        for name, field in getattr(section, "model_fields", {}).items():
            assert field.description, name


def test_a_config_cannot_be_changed():
    config = load_config(None)
    with pytest.raises(ValueError, match="frozen"):
        config.data.source = "tfds"


def test_overrides_are_json_or_else_text():
    config = load_config(
        None,
        [
            "data.source=folder",
            "data.path=my images/a=b",
            "data.labels=labels.csv",
            "data.mean=[0.5, 0.5, 0.5]",
            "data.in_memory=false",
            "data.image_size=32",
            "train.batch_size=8",
            "train.batch_size=16",
            'name="2024"',
        ],
    )
    assert config.data.path == "my images/a=b"
    assert config.data.mean == (0.5, 0.5, 0.5)
    assert config.data.in_memory is False
    assert config.data.image_size == 32
    assert config.train.batch_size == 16
    assert config.name == "2024"
    assert load_config(None, ["data.image_size=null"]).data.image_size is None


def test_overrides_win_over_the_file(write):
    path = write({"curriculum": {"rounds": 3, "neighbours": 5}})
    curriculum = load_config(path, ["curriculum.rounds=0"]).curriculum
    assert (curriculum.rounds, curriculum.neighbours) == (0, 5)


def test_all_problems_are_listed_at_once(write):
    path = write(
        {
            "seed": -1,
            "optimiser": {"momentum": 0.5},
            "optimizer": {"learning_rte": 0.1, "momentum": 1.0},
            "encoder": {"name": "vgg"},
        }
    )
    assert problems(path, ["train.batch_size=0", "nothing"]) == [
        '--set: should read KEY=VALUE. Received: "nothing".',
        "optimizer.learning_rte: unknown key. Received: 0.1. Did you mean optimizer.learning_rate?",
        'optimiser: unknown key. Received: {"momentum": 0.5}. Did you mean optimizer?',
        "seed: should be greater than or equal to 0. Received: -1.",
        (
            "encoder.name: should be 'conv4', 'alexnet', 'resnet18', 'resnet50' or 'resnet101'."
            ' Received: "vgg".'
        ),
        "optimizer.momentum: should be less than 1. Received: 1.0.",
        "train.batch_size: should be greater than 0. Received: 0.",
    ]


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("optimizer.learning_rte=1", "optimizer.learning_rate"),
        ("optimiser.learning_rate=1", "optimizer.learning_rate"),
        ("train.temperature=1", "objective.temperature"),
        ("evaluation.knn_neighbors=1", "evaluation.knn_neighbours"),
        ("batch_size=1", "train.batch_size"),
        ("sed=1", "seed"),
        ("name.first=1", "name"),
        ("data.mean.0=1", "data.mean"),
        (".seed=1", "seed"),
    ],
)
def test_unknown_keys_name_the_nearest(override, suggestion):
    key = override.partition("=")[0]
    assert problems(None, [override]) == [
        f"{key}: unknown key. Received: 1. Did you mean {suggestion}?"
    ]


def test_an_unknown_key_like_no_other_lists_those_there_are():
    (line,) = problems(None, ["objective.zzz=1"])
    assert line.endswith(
        "Known here: objective.temperature, objective.bank_momentum, objective.bank, objective.views."
    )


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ('train.batch_size="128"', "train.batch_size"),
        ("train.batch_size=128.0", "train.batch_size"),
        ("train.batch_size=true", "train.batch_size"),
        ("seed=4294967296", "seed"),
        (f"seed={'9' * 5000}", "seed"),
        ("seed=", "seed"),
        ("name=a/b", "name"),
        ("data.path=5", "data.path"),
        ("data.in_memory=1", "data.in_memory"),
        ("data.in_memory=yes", "data.in_memory"),
        ("data.mean=[0.5, 0.5]", "data.mean[2]"),
        ("data.mean=[0.5, 0.5, 0.5, 0.5]", "data.mean"),
        ("data.mean=[0.5, 125, 0.5]", "data.mean[1]"),
        ("data.mean=0.5", "data.mean"),
        ("data.std=[0.5, 0, 0.5]", "data.std[1]"),
        ("augment.hue=0.6", "augment.hue"),
        ("augment.flip=1", "augment.flip"),
        ("augment.crop_scale=[0.0, 1.0]", "augment.crop_scale[0]"),
        ("augment.crop_scale=[1.0, 0.2]", "augment.crop_scale"),
        ("augment.crop_ratio=[2, 1]", "augment.crop_ratio"),
        ("objective.temperature=0", "objective.temperature"),
        ("objective.temperature=NaN", "objective.temperature"),
        ("objective.temperature=1e999", "objective.temperature"),
        ("objective.bank_momentum=1", "objective.bank_momentum"),
        ("objective.bank=split", "objective.bank"),
        ("curriculum.rounds=-1", "curriculum.rounds"),
        ("curriculum.searcher=faiss", "curriculum.searcher"),
        ("optimizer.momentum=0", "optimizer.nesterov"),
        ("optimizer.drops=[0.8, 0.6]", "optimizer.drops"),
        ("optimizer.drops=[0.6, 0.6]", "optimizer.drops"),
        ("optimizer.drops=[0, 0.6]", "optimizer.drops"),
        ("optimizer.drops=[0.6, 1]", "optimizer.drops"),
        ('optimizer.drops=["0.6"]', "optimizer.drops[0]"),
        ("optimizer.drop_factor=0", "optimizer.drop_factor"),
        ("train.precision=float64", "train.precision"),
        ("data=5", "data"),
        ('data={"source": "tfds"}', "data"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_key_and_what_was_received(override, key):
    (line,) = problems(None, [override])
    assert line.startswith(f"{key}: ") and "Received: " in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["data.source=tfds"], "data.name"),
        (["data.source=folder"], "data.path"),
        (["data.name=cifar10"], "data.name"),
        (["data.data_dir=images"], "data.data_dir"),
        (["data.path=images"], "data.path"),
        (["data.path="], "data.path"),
        (["data.test_fraction=0.1"], "data.test_fraction"),
        (
            ["data.source=folder", "data.path=a", "data.test_path=b", "data.test_fraction=0.1"],
            "data.test_fraction",
        ),
    ],
)
def test_what_belongs_to_another_source_is_refused(overrides, key):
    (line,) = problems(None, overrides)
    assert line.startswith(f"{key}: ")


def test_a_section_that_is_not_an_object(write):
    (line,) = problems(write({"train": 5}), ["train.batch_size=4"])
    assert line == "train: is a section and should be an object, {...}. Received: 5."


def test_repeated_keys_are_refused_even_where_they_agree(write):
    text = '{"seed": 1, "train": {"batch_size": 8, "batch_size": 8}, "seed": 1}'
    assert problems(write(text)) == [
        "train.batch_size: appears more than once. Received: 8.",
        "seed: appears more than once. Received: 1.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"seed":\n x}', "line 2, column 2: malformed JSON"),
        ("", "line 1, column 1: malformed JSON"),
        ("[1]", "should hold one JSON object, {...}. Received: [1]."),
        ("null", "should hold one JSON object"),
        ("[" * 100_000, "malformed JSON"),
        ('{"seed": ' + "9" * 5000 + "}", "malformed JSON"),
    ],
)
def test_malformed_files(write, text, expected):
    path = write(text)
    (line,) = problems(path)
    assert line.startswith(str(path)) and expected in line


def test_files_that_cannot_be_read(tmp_path):
    assert "no such config file" in problems(tmp_path / "absent.json")[0]
    assert "is a directory" in problems(tmp_path)[0]
    assert "cannot be read" in problems("nul\0byte")[0]
    binary = tmp_path / "image.json"
    binary.write_bytes(b"\xff\xd8\xff")
    assert "is not UTF-8 text" in problems(binary)[0]


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b'\xef\xbb\xbf{"seed": 3}')
    assert load_config(path).seed == 3


def test_a_command_reads_its_config_without_starting_tensorflow():
    arguments = ["-X", "importtime", "-m", "and_tf.train", "--config", "absent.json"]
    result = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2 and "absent.json: no such config file" in result.stderr
    assert "pydantic" in result.stderr and "tensorflow" not in result.stderr


@pytest.mark.parametrize(
    ("override", "schedule"),
    [("drops=[0.5]", "cosine"), ("drop_factor=0.5", "cosine"), ("warmup_epochs=2", "rounds")],
)
def test_what_the_schedule_does_not_read_is_refused(override, schedule):
    (line,) = problems(None, [f"optimizer.schedule={schedule}", f"optimizer.{override}"])
    assert line.startswith(f"optimizer.{override.partition('=')[0]}: is read only when")
