"""How tiers are searched: sampler, rungs, where architectures are scored, and when a search ends."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hwnas.config.words import Positive, SamplerName
from hwnas.io.strict_model import StrictModel


class RayConfig(StrictModel):
    """Scoring by Ray; the fields of `hwnas.search.workers.ray_tune.Workers`."""

    workers: Positive = 2
    cpus: float = Field(default=1.0, gt=0)
    """Processors of each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of each worker; a fraction lets several share one."""
    address: str | None = None
    """A cluster that runs already: `auto`, or host:port. One is begun on this machine if left out."""
    batch: Positive = 1
    """Number of architectures that a worker gets at a time."""


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
