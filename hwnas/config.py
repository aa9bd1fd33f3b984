"""The experiment: strict models, read from YAML, saved resolved beside the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from hwnas.errors import did_you_mean
from hwnas.strict import StrictModel, parsed
from hwnas.yaml_file import read_yaml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Positive = Annotated[int, Field(ge=1)]
Pick = Literal["fastest", "best", "knee"]


class TrainConfig(StrictModel):
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
    kernel_transform: bool = False
    largest_epochs: int = Field(default=0, ge=0)
    sort_channels_at: tuple[Annotated[int, Field(ge=2)], ...] = ()
    calibration_batches: Positive = 8

    @model_validator(mode="after")
    def _sorted_within_the_training(self) -> TrainConfig:
        if never := [epoch for epoch in self.sort_channels_at if epoch > self.epochs]:
            raise ValueError(f"`sort_channels_at` names epoch {never[0]} of {self.epochs}")
        return self


class AccuracyConfig(StrictModel):
    """Where a network's accuracy comes from; the fields of `hwnas.proxies.Settings`."""

    source: str = "inherited"
    """A name in `hwnas.proxies.PROXIES`, or a function of the user's: `file.py:function`."""
    quantity: Literal["top1", "score"] | None = None
    """What a user's function returns: an accuracy, 0 to 1, or a score of which only the order counts."""
    images: Positive | None = None
    """So many validation images (the first ones of the split, which is in random order); all if left out."""
    calibration_batches: Positive = 8
    batch_size: Positive = 128
    epochs: Positive | None = None
    """Of the sources that train each network: `alone` as many as `train.epochs`, `short` one if left out."""

    @model_validator(mode="after")
    def _quantity_of_a_function(self) -> AccuracyConfig:
        if self.quantity is not None and ":" not in self.source:
            raise ValueError("`quantity` is that of a function, `source: file.py:function`: leave it out")
        return self


class EnergyConfig(StrictModel):
    """How the energy of a call is measured; the fields of `hwnas.latency.energy.meter.EnergyProtocol`."""

    sensor: Literal["auto", "rapl", "hwmon", "iio", "nvml", "command"] = "auto"
    command: str = ""
    """What prints watts; it is run without a shell."""
    error: float = Field(default=0.05, gt=0, lt=1)
    """By so much, relatively, the sensor may be off at most."""
    repeats: int = Field(default=3, ge=2)
    longest_s: float = Field(default=30.0, gt=0)
    """A sensor that needs longer loops is refused."""

    @model_validator(mode="before")
    @classmethod
    def _sensor_alone(cls, value: Any) -> Any:
        return {"sensor": value} if isinstance(value, str) else value


class SetupConfig(StrictModel):
    """A device, a runtime on it and how it is used. A table is valid for one set-up."""

    runtime: Literal["onnxruntime", "pytorch", "tflite"]
    threads: Positive = 1
    batch: Positive = 1
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """What a network computes in; not every runtime offers each."""
    accelerator: Literal["cpu", "cuda"] = "cpu"
    """What computes: the processor, or an NVIDIA GPU."""
    device: str | None = None
    """The processor's or the GPU's name; found out if left out."""
    cores: str | None = None
    """The cores that are used: a cluster (`big`, `little`) or numbers; any if left out."""
    host: str | None = None
    """The board that the table is measured on: `pi@raspberrypi`, a name in ~/.ssh/config, or `adb:SERIAL`; this machine
    if left out."""
    python: str = "python3"
    """The Python on that board."""
    ssh_config: Path | None = None
    """A file for ssh instead of ~/.ssh/config."""
    table: str | None = None
    """A table file to use and to add to; by default one beside the run."""
    missing: Literal["refuse", "estimate"] = "refuse"
    """What becomes of an operator that the table has no row for."""
    energy: EnergyConfig | None = None
    """Whether energy is measured beside time, and how."""
    memory: bool = False
    """Whether the memory of whole networks is measured."""

    @field_validator("cores", mode="before")
    @classmethod
    def _cluster_or_numbers(cls, value: Any) -> Any:
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        if value is not None and not re.fullmatch(r"[a-z]+[0-9]?|\d+(-\d+)?(,\d+(-\d+)?)*", text):
            raise ValueError("`cores` is a cluster, such as `big` or `little`, or a list of numbers, such as [0, 1]")
        return None if value is None else text


class LimitsConfig(StrictModel):
    """Hard limits of a tier; a network that breaks one is on no front."""

    latency_ms: float | None = Field(default=None, gt=0)
    confidence: float | None = Field(default=None, ge=0.5, lt=1)
    """The predicted latency limit is held with this probability; if left out, the expected latency holds it."""
    params: float | None = Field(default=None, gt=0)
    macs: float | None = Field(default=None, gt=0)
    activation_kib: float | None = Field(default=None, gt=0)
    """Peak memory of activations for one image in float32."""
    file_kib: float | None = Field(default=None, gt=0)
    energy_mj: float | None = Field(default=None, gt=0)
    """Of one call, above idling."""
    peak_mb: float | None = Field(default=None, gt=0)
    """Peak of resident memory, above the runtime alone."""
    top1: float | None = Field(default=None, ge=0, le=1)
    """At least this accuracy, 0 to 1; the others are upper bounds."""

    @model_validator(mode="after")
    def _confidence_of_a_limit(self) -> LimitsConfig:
        if self.confidence is not None and self.latency_ms is None:
            raise ValueError("`confidence` says how surely `latency_ms` is held: give both")
        return self


class LiveConfig(StrictModel):
    """How candidates are timed during the search."""

    timeout_s: float = Field(default=300.0, gt=0)
    """A candidate whose timing takes longer counts as one for which the host did not answer."""
    tries: Positive = 3
    pause_s: float = Field(default=10.0, ge=0)
    """Before the next try."""


class TierConfig(StrictModel):
    """A set-up with limits, for which a front is wanted."""

    setup: str
    limits: LimitsConfig = LimitsConfig()
    minimise: tuple[Literal["latency_ms", "energy_mj"], ...] = ("latency_ms",)
    """What is traded against accuracy; latency always is."""
    measure: Literal["table", "live"] = "table"
    """Whether latencies are predicted from the set-up's table, or candidates are timed during the search."""
    live: LiveConfig = LiveConfig()

    @model_validator(mode="after")
    def _live_knows_latency_only(self) -> TierConfig:
        limits = self.limits
        predicted = {
            "confidence": limits.confidence, "energy_mj": limits.energy_mj or "energy_mj" in self.minimise,
            "peak_mb": limits.peak_mb, "file_kib": limits.file_kib,
        }  # fmt: skip
        if self.measure == "live" and (asked := [name for name, value in predicted.items() if value]):
            raise ValueError(f"`{asked[0]}` is predicted from a table: leave it out, or `measure: live`")
        return self

    @field_validator("minimise")
    @classmethod
    def _latency_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(["latency_ms", *value]))


class SearchConfig(StrictModel):
    """How each tier is searched."""

    trials: Positive = 200
    sampler: Literal["nsga2", "nsga3", "tpe", "gp", "random"] = "tpe"
    population: int = Field(default=20, ge=2)
    storage: str | None = None
    """An Optuna storage URL; by default a journal file for each tier in the run folder."""


class TimingConfig(StrictModel):
    """The measuring protocol; the fields of `hwnas.latency.measure.Timing`."""

    warm_up_ms: float = Field(default=20.0, ge=0)
    sample_ms: float = Field(default=5.0, gt=0)
    rounds: int = Field(default=60, ge=3)
    processes: int = Field(default=6, ge=0)
    group: Positive = 256
    retakes: float = Field(default=0.5, ge=0)
    pin: bool = True
    max_seconds: float | None = Field(default=None, gt=0)
    process_seconds: float | None = Field(default=None, gt=0)
    pause_above_c: float | None = Field(default=None, gt=0)
    resume_below_c: float | None = Field(default=None, gt=0)
    pause_seconds: float = Field(default=300.0, ge=0)
    checks: int = Field(default=20, ge=0)
    """Random whole networks timed beside the operators, from which the latency model corrects itself."""


class ExportConfig(StrictModel):
    """What becomes files."""

    picks: tuple[Pick, ...] = ("best", "knee", "fastest")
    formats: tuple[Literal["onnx", "tflite", "pt2"], ...] = Field(default=("onnx", "tflite"), min_length=1)
    tolerance: float = Field(default=1e-4, gt=0)
    """Largest allowed difference of an fp32 file's logits from PyTorch's."""
    agreement: float = Field(default=0.95, ge=0, le=1)
    """Least allowed share of the test images on which an fp16 or int8 file names the same class as PyTorch."""
    calibration_images: Positive = 128
    """So many training images tell the ranges of an int8 file's activations."""

    @field_validator("picks", "formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


class Experiment(StrictModel):
    """One search: a space, data, training, set-ups, tiers."""

    name: Name
    title: str = ""
    space: str
    plugins: tuple[str, ...] = ()
    """Python files with operators of a user's own, by paths from this file."""
    data: str | dict[str, Any]
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: str = "auto"
    """Where PyTorch trains: auto, cpu, cuda, cuda:1, ..."""
    threads: Positive | None = None
    """Threads of PyTorch's own, for training and scoring on a CPU; as many as PyTorch chooses if left out. They change
    how fast a training is and not which one it is; the threads that are timed are those of a set-up."""
    base: str | None = None
    """Folder in which relative paths of data and tables begin, beside the one that hwnas is started in; this file's own
    if left out."""
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
            raise ValueError("A device is auto, cpu, cuda, cuda:N or mps")
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
    return parsed(Experiment, raw, where)


def parse_setup(raw: dict[str, Any], *, where: str) -> SetupConfig:
    """The set-up that a mapping describes; `where` stands in its errors."""
    return parsed(SetupConfig, raw, where)


def dump_experiment(experiment: Experiment) -> str:
    """The experiment with every default written out, as YAML."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def published(experiment: Experiment) -> Experiment:
    """The experiment as it may leave this machine: without the storage's password and without local folders."""
    storage = experiment.search.storage
    hidden = storage and re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", storage)
    search = experiment.search.model_copy(update={"storage": hidden})
    return experiment.model_copy(update={"search": search, "base": None})
