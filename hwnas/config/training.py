"""How the supernet is trained, and where a network's accuracy comes from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hwnas.config.words import Few, Name, Positive
from hwnas.io.strict_model import StrictModel


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

    file_every: Positive | None = None
    """One network in so many is judged in int8 by its real file, and corrects the simulated accuracies of the others;
    all are simulated if left out."""
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
