"""The experiment: strict models, read from YAML, saved resolved beside the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from hwnas.config.links import LinkConfig, PairConfig
from hwnas.config.runners import RayConfig
from hwnas.config.settings import named_in, with_settings
from hwnas.config.setups import Few, Positive, SetupConfig, TierConfig
from hwnas.config.words import FormatName, SamplerName
from hwnas.errors import ConfigError, did_you_mean
from hwnas.io.storage_url import public_url
from hwnas.io.strict_model import StrictModel, parsed
from hwnas.io.yaml import dump_yaml, read_yaml
from hwnas.stored_names import current
from hwnas.words import brief

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


def _rule(text: str) -> str:
    """Return a rule of `hwnas.selection`, without its spaces."""
    from hwnas.pareto import Objective
    from hwnas.selection import check_rule

    rule = re.sub(r"\s", "", text)
    named = [Objective(name, "min") for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*(?==|,|$)", rule))]
    try:
        check_rule(rule, named, where="export.picks")
    except ConfigError as error:
        raise ValueError(f"{error.met}. {error.do}. {error.allowed}") from None
    return rule


Pick = Annotated[str, AfterValidator(_rule)]
"""Rule for the network of a front that is taken."""


class TrainConfig(StrictModel):
    """Training of the supernet; the fields of `hwnas.supernet.Recipe`, and files of weights."""

    weights: str | None = None
    """File of weights that were trained by the same recipe (`hwnas train --save`): nothing is trained then."""
    format: str | None = None
    """Project that published the file of `weights`, a name in `hwnas.supernet.published.PUBLISHED_SUPERNETS`."""
    initial_weights: str | None = None
    """File of weights of another space's supernet, that the training begins with (`hwnas adapt --how space`)."""
    epochs: Positive = 30
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.05, gt=0)
    warm_up_epochs: float = Field(default=1.0, ge=0)
    schedule: Literal["cosine", "linear", "step", "constant"] = "cosine"
    step_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    step_factor: float = Field(default=0.1, gt=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    max_grad_norm: float = Field(default=5.0, gt=0)
    strategy: str = "sandwich"
    num_random_subnets: int = Field(default=2, ge=0)
    phases: tuple[tuple[str, ...], ...] = ()
    phase_epochs: tuple[Positive, ...] = ()
    temperature: float = Field(default=1.0, gt=0)
    regularize: Literal["all", "largest"] = "all"
    grad_accumulation_steps: Positive = 1
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    augment: str = "none"
    """Random changes of inputs that keep their targets: an augmentation of the space's task."""
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    kernel_transform: bool = False
    warmup_largest_epochs: int = Field(default=0, ge=0)
    sort_channels_at: tuple[Annotated[int, Field(ge=2)], ...] = ()
    teacher: str | None = None
    teacher_space: str | None = None
    teacher_architecture: str = "largest"
    distill_weight: float = Field(default=0.5, gt=0, le=1)
    on_divergence: Literal["stop", "halve_lr"] = "stop"
    processes: Few = 1
    launcher: Literal["local", "ray"] = "local"
    checkpoint_every: Positive | None = None
    calibration_batches: Positive = 8
    layer_decay: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _sorted_within_the_training(self) -> TrainConfig:
        if never := [epoch for epoch in self.sort_channels_at if epoch > self.epochs]:
            raise ValueError(f"`sort_channels_at` names epoch {never[0]} of {self.epochs}")
        return self

    @model_validator(mode="after")
    def _of_a_file(self) -> TrainConfig:
        if self.format is not None and self.weights is None:
            raise ValueError(f"`format: {self.format}` says whose weights a file holds. Name the file: `weights: FILE`")
        return self


class AccuracyConfig(StrictModel):
    """Source of a network's accuracy; the fields of `hwnas.accuracy.Settings`."""

    source: str = "inherited"
    """A name in `hwnas.accuracy.PROXIES`, or a function of the user's: `file.py:function`."""
    quantity: Name | None = None
    """Quantity that a user's function returns: a metric of the task, or `score`, of which only the order counts."""
    samples: Positive | None = None
    """Number of validation samples (the first ones of the split, which is in random order); all if left out."""
    calibration_batches: Positive = 8
    batch_size: Positive = 128
    epochs: Positive | None = None
    """Of the sources that train each network: `standalone` as many as `train.epochs`, `finetuned` one if left out."""

    file: str = ""
    """Of `table`: a CSV, NPZ or Parquet file with a row for each architecture. Of `predicted`: the store of a run."""
    column: str = ""
    """Its column of accuracies; of a store, the metric."""
    key: str | None = None
    """Its column of architectures; if left out, it has a column for each choice of the space."""
    scale: Literal["fraction", "percent"] = "fraction"
    rows: Literal["mean", "first"] = "mean"
    """Rule for several rows that are one network."""

    @model_validator(mode="after")
    def _file_of_a_table(self) -> AccuracyConfig:
        if self.source not in ("table", "predicted") and (self.file or self.column or self.key):
            raise ValueError(
                f"`file`, `column` and `key` are those of a table. Say `source: table`, not `{self.source}`"
            )
        if self.source == "predicted" and self.key:
            raise ValueError("`key` is that of a table; a store tells which network a score is of: leave it out")
        return self

    @model_validator(mode="after")
    def _quantity_of_a_function(self) -> AccuracyConfig:
        if self.quantity is not None and ":" not in self.source:
            raise ValueError("`quantity` is that of a function, `source: file.py:function`: leave it out")
        return self


class RungConfig(StrictModel):
    """A score of accuracy, and how many networks are scored by it."""

    score: str
    """A name in `hwnas.accuracy.PROXIES` or `TRAINING_FREE`, or a function of the user's: `file.py:function`."""
    networks: Positive
    epochs: Positive | None = None
    """Of `finetuned` and `standalone`; as `accuracy.epochs` has it if left out."""


class EarlyStoppingConfig(StrictModel):
    """When the hypervolume has stopped growing."""

    patience: Positive = 50
    """Number of trials that are looked back."""
    min_delta: float = Field(default=0.001, gt=0, lt=1)
    """Least share by which the hypervolume grows in them; the search ends when it grew by less."""


class ZeroCostInitConfig(StrictModel):
    """Random networks of which the best by training-free scores and known costs are tried first."""

    proxies: tuple[str, ...] = ()
    """Names in `TRAINING_FREE` or `ENSEMBLES`; if left out, the first that holds of `hwnas.problem.warm_start`."""
    networks: Positive = 200
    """Number of networks that are drawn and scored."""
    keep: Positive = 10
    """Number of them that are tried."""

    @model_validator(mode="after")
    def _keeps_no_more_than_it_draws(self) -> ZeroCostInitConfig:
        if self.keep > self.networks:
            raise ValueError(f"`keep` is {self.keep}, of {self.networks} networks: keep no more than are drawn")
        return self


class SearchConfig(StrictModel):
    """How each tier is searched."""

    trials: Positive = 200
    sampler: SamplerName = "auto"
    """`auto`: `guided` for tiers whose latencies are known beforehand, from a table or published; `tpe` for those that
    are timed live."""
    population: int = Field(default=20, ge=2)
    storage: str | None = None
    """An Optuna storage URL, grpc://host:port, or env:NAME for a variable that holds one; by default a journal file for
    each tier in the run folder."""
    shared: bool = False
    """True if several processes may work on a study at a time; with a storage's URL they always may."""
    heartbeat_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds of silence until a process on another machine counts as dead, and its architecture is scored again."""
    runner: Literal["serial", "ray"] = "serial"
    ray: RayConfig = RayConfig()
    max_hours: float | None = Field(default=None, gt=0)
    """A tier's search ends after so many hours of scoring, those of earlier commands included."""
    early_stopping: EarlyStoppingConfig | None = None
    """A tier's search ends when its hypervolume has stopped growing."""
    warm_start: tuple[str, ...] = ()
    """Architectures that are tried first: runs, files of architectures, strings of the space's notation."""
    zero_cost_init: ZeroCostInitConfig | None = None
    """After `warm_start`, the best of random networks by training-free scores and known costs are tried."""
    tensorboard: bool = False
    """True if a log for TensorBoard is written beside the run."""
    mlflow: bool = False
    """True if runs, metrics and fronts are logged for MLflow beside the run."""
    successive_halving: tuple[RungConfig, ...] = ()
    """Rungs of `hwnas halving`: cheap scores of many networks, then dearer ones of the best of them."""

    @field_validator("successive_halving")
    @classmethod
    def _ever_fewer(cls, value: tuple[RungConfig, ...]) -> tuple[RungConfig, ...]:
        for below, above in pairwise(value):
            if above.networks > below.networks:
                raise ValueError(
                    f"a rung of {above.networks} networks follows one of {below.networks}: have ever fewer"
                )
        return value

    @property
    def is_shared(self) -> bool:
        """True if other processes may work on the studies."""
        return self.shared or self.storage is not None


class TimingConfig(StrictModel):
    """The measuring protocol; the fields of `hwnas.measure.timing.Timing`."""

    warm_up_ms: float = Field(default=20.0, ge=0)
    min_sample_ms: float = Field(default=5.0, gt=0)
    rounds: int = Field(default=60, ge=3)
    processes: int = Field(default=6, ge=0)
    files_per_session: Positive = 256
    max_retries: float = Field(default=0.5, ge=0)
    pin: bool = True
    max_seconds: float | None = Field(default=None, gt=0)
    process_seconds: float | None = Field(default=None, gt=0)
    pause_above_c: float | None = Field(default=None, gt=0)
    resume_below_c: float | None = Field(default=None, gt=0)
    pause_seconds: float = Field(default=300.0, ge=0)
    validation_networks: int = Field(default=20, ge=0)
    """Random whole networks timed beside the operators, from which the latency model corrects itself."""
    device_lock_timeout_s: float = Field(default=1800.0, ge=0)
    """Seconds to wait for a device on which somebody else measures."""


class CardConfig(StrictModel):
    """Parts of a model card that hwnas cannot know."""

    licence: str = ""
    """Licence of the networks, by its SPDX identifier."""
    data_licence: str = ""
    """Licence of the data that they were trained on."""
    intended_use: str = ""
    limitations: str = ""


class ExportConfig(StrictModel):
    """Networks and formats that are written as files."""

    picks: tuple[Pick, ...] = ("best", "knee", "fastest")
    formats: tuple[FormatName, ...] = Field(default=("onnx", "tflite"), min_length=1)
    tolerance: float = Field(default=1e-4, gt=0)
    """Largest allowed difference of an fp32 file's outputs from PyTorch's."""
    agreement: float = Field(default=0.95, ge=0, le=1)
    """Least allowed share of the test samples on which an fp16 or int8 file gives PyTorch's answer, as a class."""
    calibration_samples: Positive = 128
    """Number of training samples that determine the ranges of an int8 file's activations."""
    fine_tune_epochs: int = Field(default=0, ge=0)
    """Number of epochs that each pick is trained on from its inherited weights, before it is written."""
    quantized_epochs: int = Field(default=0, ge=0)
    """Number of epochs that each pick with int8 files is trained on with their rounding, before it is written."""
    input: Literal["normalised", "raw"] = "normalised"
    """Inputs that files take: normalised ones, or raw numbers, with the arithmetic between the two in the files."""
    dynamic_batch: bool = False
    """True if ONNX files take any number of samples at once."""
    features: bool = False
    """True if files have a second output, the features before the last layer, on which `adapt.py` fits a new head."""
    selftest_samples: int = Field(default=16, ge=0, le=16)
    """Number of test samples that a bundle carries with each file's outputs; 0 leaves them out."""
    card: CardConfig = CardConfig()

    @field_validator("picks", "formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


RUNS_AS = ("runtime", "threads", "batch", "precision", "accelerator", "device", "cores", "host", "activations")
"""Keys in which the set-ups of one tier agree, but for the precision."""


def name_in(setup: str, own: str, precision: str) -> str:
    """Return the name of a set-up in a precision: its own name in its own, else `NAME-PRECISION`."""
    return setup if precision == own else f"{setup}-{precision}"


@brief
class Experiment(StrictModel):
    """One search: a space, data, training, set-ups, tiers."""

    name: Name
    title: str = ""
    space: str | dict[str, Any]
    """A file, a shipped name, `file.py:function`, or a network of yours: its `network`, and `weights`, `input`,
    `choices` as they are needed."""
    plugins: tuple[str, ...] = ()
    """Python files with operators of a user's own, by paths from this file."""
    task: str | dict[str, Any] | None = None
    """Task of the networks, in place of the space's own: a name, a class of the user's as `file.py:Class`, or a
    section with its `name` and options."""
    data: str | dict[str, Any] | None = None
    """May be left out where accuracies come without data; then no files are exported."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: str = "auto"
    """Device on which PyTorch trains: auto, cpu, cuda, cuda:1, ..."""
    threads: Few | None = None
    """Threads of PyTorch's own, for training and scoring on a CPU; as many as PyTorch chooses if left out. They change
    how fast a training is and not which one it is; the threads that are timed are those of a set-up."""
    base: str | None = None
    """Folder in which relative paths of data and tables begin, beside the one that hwnas is started in; this file's own
    if left out."""
    train: TrainConfig = TrainConfig()
    accuracy: AccuracyConfig = AccuracyConfig()
    setups: dict[Name, SetupConfig] = Field(min_length=1)
    tiers: dict[Name, TierConfig] = Field(min_length=1)
    links: dict[Name, LinkConfig] = Field(default_factory=dict)
    """Links between edge and cloud that `hwnas plan --link NAME` may name."""
    pairs: dict[Name, PairConfig] = Field(default_factory=dict)
    """Pairs of tiers that are searched together, each by a search of its own beside those of the tiers."""
    search: SearchConfig = SearchConfig()
    timing: TimingConfig = TimingConfig()
    export: ExportConfig = ExportConfig()

    def sampler_of(self, tier: str) -> str:
        """Return the name of the sampler that a tier or a pair is searched with."""
        live = tier in self.tiers and self.tiers[tier].measure == "live"
        automatic = "tpe" if live else "guided"
        return automatic if self.search.sampler == "auto" else self.search.sampler

    def setups_of(self, tier: str) -> dict[str, str]:
        """Return the set-ups that a tier's networks run on, by precision: one, unless the tier lists precisions."""
        config = self.tiers[tier]
        own = self.setups[config.setup].precision
        return {one: name_in(config.setup, own, one) for one in config.precisions or (own,)}

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

    @model_validator(mode="after")
    def _setups_of_precisions(self) -> Experiment:
        """Add the set-ups of a tier's precisions; they differ from the tier's own in precision and table alone."""
        for name, tier in self.tiers.items():
            own = self.setups[tier.setup]
            if tier.precision is not None and own.latencies is not None:
                raise ValueError(
                    f"tiers.{name}: `precision` is asked of `{tier.setup}`. A published set-up tells latencies of one"
                )
            for precision, setup in self.setups_of(name).items() if tier.precision else ():
                made = own.model_copy(update={"precision": precision, "table": None})
                known = self.setups.setdefault(setup, made)
                if unlike := [key for key in RUNS_AS if getattr(known, key) != getattr(made, key)]:
                    raise ValueError(
                        f"setups.{setup}: its `{unlike[0]}` is {getattr(known, unlike[0])}, that of `{tier.setup}` in "
                        f"{precision} is {getattr(made, unlike[0])}. Set-ups of a tier's precisions are alike otherwise"
                    )
        return self

    @model_validator(mode="after")
    def _rounding_of_int8_files(self) -> Experiment:
        written = {
            one for tier in self.tiers.values() for one in tier.precisions or [self.setups[tier.setup].precision]
        }
        if self.export.quantized_epochs and "int8" not in written:
            raise ValueError(
                f"export.quantized_epochs: it is {self.export.quantized_epochs}, and no tier has files in int8. Leave "
                "it out, or set `precision: int8` of a tier's set-up"
            )
        return self

    @model_validator(mode="after")
    def _pairs_join_tiers_that_are_predicted(self) -> Experiment:
        for name, pair in self.pairs.items():
            if name in self.tiers:
                raise ValueError(f"pairs.{name}: there is a tier `{name}` too. A pair has a name of its own")
            for key, tier in (("edge", pair.edge), ("cloud", pair.cloud)):
                if tier not in self.tiers:
                    raise ValueError(f"pairs.{name}.{key}: `{tier}` is no tier. {did_you_mean(tier, self.tiers)}")
                if self.tiers[tier].measure == "live" or self.setups[self.tiers[tier].setup].latencies:
                    raise ValueError(
                        f"pairs.{name}.{key}: the latencies of `{tier}` are those of whole networks. Heads and tails "
                        "are predicted from a set-up's table"
                    )
        return self

    @model_validator(mode="after")
    def _confidence_of_a_sampler_that_learns(self) -> Experiment:
        for name, tier in self.tiers.items():
            if tier.limits.quality_confidence is not None and self.sampler_of(name) != "guided":
                raise ValueError(
                    f"tiers.{name}: `quality_confidence` is asked of `{self.sampler_of(name)}`. Only the sampler "
                    "`guided` predicts qualities: use it, or leave that out"
                )
        return self

    @model_validator(mode="after")
    def _published_knows_latency_only(self) -> Experiment:
        for name, tier in self.tiers.items():
            keys = [*tier.asks_of_a_table, *(["measure: live"] if tier.measure == "live" else [])]
            if self.setups[tier.setup].latencies and keys:
                raise ValueError(
                    f"tiers.{name}: `{keys[0]}` is asked of `{tier.setup}`. A published set-up tells latencies alone"
                )
        return self


def read_experiment(path: Path, settings: Sequence[str] = ()) -> Experiment:
    """Return the experiment in a YAML file, with settings `KEY=VALUE` in place of its own.

    Raises:
        ConfigError: unknown key (with the nearest known one), missing key, value out of range, unreadable file.
    """
    raw = read_yaml(path)
    if path.name == "experiment.yaml" and raw.get("base"):  # a run's own copy, which may be an earlier version's
        raw = current(raw)
    return parse_experiment(with_settings(raw, settings), where=f"{path}{named_in(settings)}")


def parse_experiment(raw: dict[str, Any], *, where: str) -> Experiment:
    """Return the experiment that a mapping describes; `where` stands in its errors."""
    return parsed(Experiment, raw, where)


def parse_setup(raw: dict[str, Any], *, where: str) -> SetupConfig:
    """Return the set-up that a mapping describes; `where` stands in its errors."""
    return parsed(SetupConfig, raw, where)


def parse_tier(raw: dict[str, Any], *, where: str) -> TierConfig:
    """Return the tier that a mapping describes; `where` stands in its errors."""
    return parsed(TierConfig, raw, where)


def dump_experiment(experiment: Experiment) -> str:
    """Return the experiment with every default written out, as YAML."""
    return dump_yaml(experiment.model_dump(mode="json"))


def published(experiment: Experiment) -> Experiment:
    """Return the experiment as it may leave this machine: without the storage's secrets and without local folders."""
    storage = experiment.search.storage
    hidden = storage and public_url(storage)
    search = experiment.search.model_copy(update={"storage": hidden})
    return experiment.model_copy(update={"search": search, "base": None})
