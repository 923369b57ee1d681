"""What a run is: one typed, validated description, read from JSON and written back to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from and_tf.runs.config_errors import KnownKeys, explain, unknown_key
from and_tf.runs.config_file import ConfigError, parse_json, problem_line, read_text

Share = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_default=True
    )


class DataConfig(_Section):
    """Where the images come from."""

    source: Literal["digits", "tfds", "folder"] = Field(
        "digits", description="scikit-learn's digits, a TensorFlow Datasets builder, or a folder"
    )
    name: str | None = Field(None, description="tfds: the builder's name, such as svhn_cropped")
    data_dir: str | None = Field(
        None, description="tfds: where prepared data sets lie; null is ~/tensorflow_datasets"
    )
    path: str | None = Field(None, description="folder: the directory of training images")
    test_path: str | None = Field(None, description="folder: a directory of held-out images")
    labels: str | None = Field(
        None,
        description="folder: folders (the folders inside are classes), none, or a CSV file with the "
        "columns file,label; null takes folders where every image is in one of several",
    )
    train_split: str = Field("train", description="tfds: the split to learn from")
    test_split: str | None = Field(
        "test", description="tfds: the split to evaluate on; null for none"
    )
    image_size: PositiveInt | None = Field(
        None, description="Side in pixels to which images are resized; null keeps theirs"
    )
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="folder: the share of the images held out for evaluation"
    )
    in_memory: bool | Literal["auto"] = Field(
        "auto", description="Decode once and keep all images; auto does so up to 2 GiB"
    )
    mean: tuple[Share, Share, Share] = Field(
        (0.485, 0.456, 0.406), description="Mean of each channel, on the 0-1 scale (ImageNet's)"
    )
    std: tuple[Deviation, Deviation, Deviation] = Field(
        (0.229, 0.224, 0.225), description="Standard deviation of each channel, same scale"
    )

    @field_validator(
        "name",
        "data_dir",
        "path",
        "test_path",
        "labels",
        "train_split",
        "test_split",
        "test_fraction",
        "in_memory",
    )
    @classmethod
    def _belongs_to_source(
        cls, value: str | float | None, info: ValidationInfo
    ) -> str | float | None:
        source, key = info.data.get("source"), info.field_name
        assert key is not None  # as for every validator of fields
        if value == "":
            raise ValueError("is empty; leave it out or give a value")
        if source is not None and value != cls.model_fields[key].default:
            readers = _READERS[key]
            if source not in readers:
                names = " or ".join(f'"{reader}"' for reader in readers)
                raise ValueError(f'is read only when data.source is {names}, which is "{source}"')
        if key == "name" and source == "tfds" and value is None:
            raise ValueError('must name a builder, such as "cifar10", when data.source is "tfds"')
        if key == "path" and source == "folder" and value is None:
            raise ValueError('must name a directory of images when data.source is "folder"')
        if key == "test_fraction" and value and info.data.get("test_path"):
            raise ValueError("must be 0 when data.test_path gives the held-out images")
        return value


_READERS = {
    "name": ("tfds",),
    "data_dir": ("tfds",),
    "train_split": ("tfds",),
    "test_split": ("tfds",),
    "path": ("folder",),
    "test_path": ("folder",),
    "labels": ("folder",),
    "test_fraction": ("folder",),
    "in_memory": ("tfds", "folder"),
}


class AugmentConfig(_Section):
    """Random views of an image (torchvision's definitions); 0 or false switches a part off.

    A crop_scale and a crop_ratio of [1, 1] switch the crop off. With a data.image_size from 64 pixels
    on, crops are cut from whole photographs when these are decoded, else from what a model is given.
    """

    crop_scale: tuple[Deviation, Deviation] = Field(
        (0.2, 1.0), description="Least and greatest share of the image's area that a crop keeps"
    )
    crop_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (3 / 4, 4 / 3), description="Least and greatest width:height of a crop"
    )
    brightness: NonNegativeFloat = Field(0.4, description="Brightness factor in 1 +- this")
    contrast: NonNegativeFloat = Field(0.4, description="Contrast factor in 1 +- this")
    saturation: NonNegativeFloat = Field(0.4, description="Saturation factor in 1 +- this")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.4, description="Greatest hue shift either way, in turns of the colour circle"
    )
    greyscale: Share = Field(0.2, description="Probability of turning the image grey")
    flip: bool = Field(False, description="Mirror left to right with probability one half")
    jitter_probability: Share = Field(
        1.0, description="Probability of changing brightness, contrast, saturation and hue at all"
    )

    @field_validator("crop_scale", "crop_ratio")
    @classmethod
    def _ascends(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must give the lower bound first")
        return value


class EncoderConfig(_Section):
    """The network that embeds an image."""

    name: Literal["conv4", "alexnet", "resnet18", "resnet50", "resnet101"] = Field(
        "resnet18", description="Architecture"
    )
    width: Annotated[float, Field(gt=0, le=16)] = Field(
        1.0, description="Multiplies every convolution's number of filters"
    )
    embedding_dim: PositiveInt = Field(128, description="Size d of the unit-norm embedding")
    stem: Literal["auto", "small", "large"] = Field(
        "auto", description="First layers for 32-pixel (small) or 224-pixel (large) images"
    )

    @field_validator("stem")
    @classmethod
    def _has_stems(cls, value: str, info: ValidationInfo) -> str:
        if value != "auto" and info.data.get("name") == "conv4":
            raise ValueError('must be "auto": encoder.name "conv4" has one stem only')
        return value


class ObjectiveConfig(_Section):
    """The softmax over the memory bank (Eq. 2, 3, 7) and the bank's update (Eq. 8)."""

    temperature: PositiveFloat = Field(0.1, description="Temperature tau of the softmax")
    bank_momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Weight of the old row in the update of the bank, 1 - eta in Eq. 8"
    )
    bank: Literal["mirrored", "sharded"] = Field(
        "mirrored",
        description="Every device holds the whole bank, or a part of it, to the same result",
    )
    views: Literal[1, 2] = Field(
        1,
        description="Views of an image in a step: 1, against the bank (the paper), or 2, against all "
        "other views of the batch; crops are then cut from what a model is given",
    )


class CurriculumConfig(_Section):
    """Rounds of neighbourhood discovery (Eq. 6)."""

    rounds: Annotated[int, Field(ge=0)] = Field(
        4, description="Rounds R after round 0; 0 learns instances alone"
    )
    neighbours: PositiveInt = Field(1, description="Neighbours k of an anchor, itself left out")
    initial_epochs: PositiveInt = Field(200, description="Epochs of round 0 (instances)")
    epochs_per_round: PositiveInt = Field(200, description="Epochs of each later round")
    searcher: Literal["exact", "scann", "auto"] = Field(
        "auto",
        description="How neighbours are found: by comparing all images with all, approximately by "
        "ScaNN, or as is the faster for so many",
    )


class OptimizerConfig(_Section):
    """SGD with L2 weight decay in the gradient."""

    learning_rate: PositiveFloat = Field(0.03, description="The highest learning rate")
    schedule: Literal["rounds", "cosine"] = Field(
        "rounds",
        description="Whether the rate starts anew every round and drops inside it (rounds), or falls to "
        "0 once over all rounds (cosine)",
    )
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="cosine: epochs at the start in which the rate rises"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="Momentum")
    nesterov: bool = Field(True, description="Nesterov's momentum")
    weight_decay: NonNegativeFloat = Field(5e-4, description="L2 on every trainable weight")
    drops: tuple[float, ...] = Field(
        (0.6, 0.8), description="Where in a round, as fractions of it, the learning rate drops"
    )
    drop_factor: Deviation = Field(0.1, description="What each drop multiplies the rate by")

    @field_validator("nesterov")
    @classmethod
    def _has_momentum(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("momentum") == 0:
            raise ValueError("must be false when optimizer.momentum is 0")
        return value

    @field_validator("warmup_epochs", "drops", "drop_factor")
    @classmethod
    def _belongs_to_schedule(cls, value: Any, info: ValidationInfo) -> Any:
        key, schedule = info.field_name, info.data.get("schedule")
        assert key is not None  # as for every validator of fields
        reader = "cosine" if key == "warmup_epochs" else "rounds"
        if schedule not in (None, reader) and value != cls.model_fields[key].default:
            raise ValueError(f'is read only when optimizer.schedule is "{reader}"')
        return value

    @field_validator("drops")
    @classmethod
    def _ascend_inside_a_round(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        bounds = (0.0, *value, 1.0)
        if any(low >= high for low, high in itertools.pairwise(bounds)):
            raise ValueError("must ascend strictly between 0 and 1")
        return value


class TrainConfig(_Section):
    """How the training loop runs."""

    batch_size: PositiveInt = Field(128, description="Images per step, over all devices")
    devices: Literal["auto", "cpu", "gpu"] | PositiveInt = Field(
        "auto",
        description="Devices that share each batch, to the same result: all GPUs or else the CPU "
        "(auto), all GPUs (gpu), the CPU, or so many GPUs; without GPUs, so many parts of the CPU. Of "
        "several machines, those of each",
    )
    worker_timeout_seconds: PositiveFloat = Field(
        60,
        description="On several machines, when at the latest one that does not answer is given up",
    )
    precision: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32",
        description="Compute precision of the encoder, the rest stays float32; auto takes "
        "bfloat16 where the hardware multiplies it",
    )
    checkpoint_every_epochs: PositiveInt = Field(1, description="Epochs between checkpoints")
    checkpoint_every_minutes: PositiveFloat | None = Field(
        30, description="Minutes between checkpoints inside a long epoch; null for none there"
    )
    keep_checkpoints: PositiveInt = Field(2, description="How many of the latest are kept")
    keep_rounds: bool = Field(
        False, description="Keep the checkpoint at the end of every round as well"
    )
    report: bool = Field(
        True, description="End with report.html, in at most a twentieth of the time and a minute"
    )
    deterministic: bool = Field(
        True, description="Ask TensorFlow for kernels that give the same bits every time"
    )


class WatchdogConfig(_Section):
    """What happens when the numbers of a run go wrong; what was saved before it is kept."""

    non_finite: Literal["stop", "warn"] = Field(
        "stop",
        description="At a loss or a gradient that is not finite; warn goes on without such "
        "gradients. Weights that are not finite always stop the run",
    )
    collapse: Literal["stop", "warn"] = Field(
        "warn", description="At embeddings that have collapsed to one point"
    )
    collapse_spread: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="Spread of the bank (1: all over the sphere, 0: one point) below which"
    )
    off_sphere: Literal["stop", "warn"] = Field(
        "stop", description="At a row of the bank that has left the unit sphere"
    )


class EvaluationConfig(_Section):
    """Weighted kNN classification while training, where there are labels."""

    knn_neighbours: PositiveInt = Field(200, description="Neighbours K that vote")
    knn_temperature: PositiveFloat = Field(0.1, description="Temperature of the votes' weights")
    every_epochs: PositiveInt = Field(10, description="Epochs between evaluations")
    batch_size: PositiveInt = Field(256, description="Images embedded at a time")


class RunConfig(_Section):
    """One run of `python -m and_tf.train`, complete and checked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = Field(
        "run", description="Names the run directory: letters, digits, dot, dash, underscore"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="Fixes weights, bank, data order and augmentation"
    )
    data: DataConfig = Field(DataConfig(), description="Where the images come from")
    augment: AugmentConfig = Field(AugmentConfig(), description="Random views")
    encoder: EncoderConfig = Field(EncoderConfig(), description="The network")
    objective: ObjectiveConfig = Field(ObjectiveConfig(), description="Softmax and bank")
    curriculum: CurriculumConfig = Field(CurriculumConfig(), description="Rounds")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="SGD")
    train: TrainConfig = Field(TrainConfig(), description="The training loop")
    watchdog: WatchdogConfig = Field(WatchdogConfig(), description="Numbers gone wrong")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Weighted kNN")

    def to_json(self) -> str:
        """JSON text with every key, which `load_config` reads back to an equal config."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def by_key(self) -> dict[str, Any]:
        """Every key, such as `train.batch_size`, to its value as JSON has it."""
        found: dict[str, Any] = {}
        for section, values in self.model_dump(mode="json").items():
            if isinstance(values, dict):
                found |= {f"{section}.{key}": value for key, value in values.items()}
            else:
                found[section] = values
        return found


# configs/digits.json says the same, and does not travel with an installed package.
DIGITS: dict[str, Any] = {
    "name": "digits",
    "data": {"source": "digits", "mean": [0.306] * 3, "std": [0.376] * 3},
    "encoder": {"name": "conv4"},
    "curriculum": {"rounds": 4, "initial_epochs": 40, "epochs_per_round": 40},
    "evaluation": {"knn_neighbours": 50},
}

_KNOWN = KnownKeys.of(RunConfig)


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """The run that a JSON file and `KEY=VALUE` overrides describe.

    Args:
        path: a JSON file; keys it leaves out take the defaults. None is the embedded digits run.
        overrides: such as `curriculum.rounds=2`. The value is JSON, or else a plain string;
            a later override of the same key wins.

    Raises:
        ConfigError: with every problem found, of the file and the overrides alike.
    """
    problems: list[str] = []
    text = json.dumps(DIGITS) if path is None else read_text(Path(path))
    where = "config" if path is None else str(path)
    values = parse_json(text, where, "", problems)
    if not isinstance(values, dict):
        raise ConfigError([problem_line(where, "should hold one JSON object, {...}", values)])
    for override in overrides:
        _apply(override, values, problems)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        problems.extend(explain(error, _KNOWN))
    if problems:
        raise ConfigError(problems)
    return config


def _apply(override: str, values: dict[str, Any], problems: list[str]) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    try:
        value = parse_json(text, key, key, problems)
    except ConfigError:
        value = text
    if not equals or not key:
        problems.append(problem_line("--set", "should read KEY=VALUE", override))
    elif key in _KNOWN.sections:
        advice = f"is a section; set its keys one by one, such as {_KNOWN.sections[key][0]}"
        problems.append(problem_line(key, advice, value))
    elif key not in _KNOWN.dotted:
        problems.append(unknown_key(key, value, _KNOWN))
    else:
        section, _, name = key.rpartition(".")
        target = values.setdefault(section, {}) if section else values
        if isinstance(target, dict):  # else validation reports the section itself
            target[name] = value
