"""The experiment: strict models, read from YAML, saved resolved beside the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hwnas.errors import ConfigError, did_you_mean
from hwnas.yaml_file import read_yaml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Positive = Annotated[int, Field(ge=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class TrainConfig(_Model):
    """Training of the supernet; the fields of `hwnas.supernet.Recipe`."""

    epochs: Positive = 30
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.05, gt=0)
    warm_up_epochs: float = Field(default=1.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float = Field(default=5.0, gt=0)
    middles: int = Field(default=2, ge=0)
    augment: str = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    calibration_batches: Positive = 8


class AccuracyConfig(_Model):
    """How a network inherits its accuracy from the supernet."""

    images: Positive | None = None
    """So many validation images (the first ones of the split, which is in random order); all if left out."""
    calibration_batches: Positive = 8
    batch_size: Positive = 128


class SetupConfig(_Model):
    """A device, a runtime on it and how it is used. A table is valid for one set-up."""

    runtime: Literal["onnxruntime", "tflite"]
    threads: Positive = 1
    batch: Positive = 1
    precision: Literal["fp32"] = "fp32"
    device: str | None = None
    """The processor's name; found out if left out."""
    table: str | None = None
    """A table file to use and to add to; by default one beside the run."""


class LimitsConfig(_Model):
    """Hard limits of a tier; a network that breaks one is on no front."""

    latency_ms: float | None = Field(default=None, gt=0)
    params: float | None = Field(default=None, gt=0)
    macs: float | None = Field(default=None, gt=0)
    file_kib: float | None = Field(default=None, gt=0)
    top1: float | None = Field(default=None, ge=0, le=1)
    """At least this accuracy, 0 to 1; the others are upper bounds."""


class TierConfig(_Model):
    """A set-up with limits, for which a front is wanted."""

    setup: str
    limits: LimitsConfig = LimitsConfig()


class SearchConfig(_Model):
    """How each tier is searched."""

    trials: Positive = 200
    sampler: Literal["nsga2", "nsga3", "tpe", "gp", "random"] = "tpe"
    population: int = Field(default=20, ge=2)
    storage: str | None = None
    """An Optuna storage URL; by default a journal file for each tier in the run folder."""


class TimingConfig(_Model):
    """The measuring protocol; the fields of `hwnas.latency.measure.Timing`."""

    warm_up_ms: float = Field(default=20.0, ge=0)
    sample_ms: float = Field(default=2.0, gt=0)
    rounds: int = Field(default=50, ge=3)
    group: Positive = 16
    max_seconds: float | None = Field(default=None, gt=0)
    checks: int = Field(default=12, ge=0)
    """Random whole networks timed beside the operators, from which the latency model corrects itself."""


class ExportConfig(_Model):
    """What becomes files."""

    picks: tuple[Literal["fastest", "best", "knee"], ...] = ("best", "knee", "fastest")
    formats: tuple[Literal["onnx", "tflite"], ...] = ("onnx", "tflite")
    tolerance: float = Field(default=1e-4, gt=0)
    """Largest allowed difference of a file's logits from PyTorch's."""


class Experiment(_Model):
    """One search: a space, data, training, set-ups, tiers."""

    name: Name
    title: str = ""
    space: str
    data: str | dict[str, Any]
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: str = "auto"
    """Where PyTorch trains: auto, cpu, cuda, cuda:1, ..."""
    train: TrainConfig = TrainConfig()
    accuracy: AccuracyConfig = AccuracyConfig()
    setups: dict[Name, SetupConfig] = Field(min_length=1)
    tiers: dict[Name, TierConfig] = Field(min_length=1)
    search: SearchConfig = SearchConfig()
    timing: TimingConfig = TimingConfig()
    export: ExportConfig = ExportConfig()

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
            raise ValueError("a device is auto, cpu, cuda, cuda:N or mps")
        return value

    @model_validator(mode="after")
    def _setups_exist(self) -> Experiment:
        for name, tier in self.tiers.items():
            if tier.setup not in self.setups:
                raise ValueError(
                    f"tiers.{name}.setup: `{tier.setup}` is no set-up. {did_you_mean(tier.setup, self.setups)}"
                )
        return self


def read_experiment(path: Path) -> Experiment:
    """The experiment in a YAML file.

    Raises:
        ConfigError: unknown key (with the nearest known one), missing key, value out of range, unreadable file.
    """
    return parse_experiment(read_yaml(path), where=str(path))


def parse_experiment(raw: dict[str, Any], *, where: str) -> Experiment:
    """The experiment that a mapping describes; `where` stands in its errors."""
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise _explained(error, where) from None


def dump_experiment(experiment: Experiment) -> str:
    """The experiment with every default written out, as YAML."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _explained(error: ValidationError, where: str) -> ConfigError:
    first = error.errors(include_url=False)[0]
    trail = [str(part) for part in first["loc"]]
    at = f"{where}: {'.'.join(trail[:-1])}" if len(trail) > 1 else where
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(trail[:-1])
        return ConfigError(
            f"unknown key `{trail[-1]}`{more}",
            where=at,
            allowed=did_you_mean(trail[-1], known),
            do="Correct or remove it",
        )
    if first["type"] == "missing":
        return ConfigError(
            f"the key `{trail[-1]}` is missing{more}",
            where=at,
            allowed=f"Keys here: {', '.join(_known_keys(trail[:-1]))}",
            do="Add it",
        )
    if not trail:
        return ConfigError(
            first["msg"].removeprefix("Value error, "),
            where=where,
            allowed="Names refer to what is declared",
            do="Correct the name or declare it",
        )
    return ConfigError(
        f"`{trail[-1]}` is {first['input']!r}{more}",
        where=at,
        allowed=first["msg"].removeprefix("Value error, "),
        do="Correct the value",
    )


def _known_keys(trail: list[str]) -> list[str]:
    model: type[BaseModel] = Experiment
    inner: dict[str, type[BaseModel]] = {
        "setups": SetupConfig,
        "tiers": TierConfig,
        "limits": LimitsConfig,
        "train": TrainConfig,
        "accuracy": AccuracyConfig,
        "search": SearchConfig,
        "timing": TimingConfig,
        "export": ExportConfig,
    }
    for part in trail:
        model = inner.get(part, model)
    return list(model.model_fields)
