"""The experiment: strict models, read from YAML, saved resolved beside the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from hwnas.config.export import ExportConfig
from hwnas.config.links import LinkConfig, PairConfig
from hwnas.config.measuring import TimingConfig
from hwnas.config.search import SearchConfig
from hwnas.config.settings import named_in, with_settings
from hwnas.config.setups import SetupConfig, TierConfig
from hwnas.config.training import AccuracyConfig, TrainConfig
from hwnas.config.words import Few, Name
from hwnas.errors import did_you_mean
from hwnas.io.storage_url import public_url
from hwnas.io.strict_model import StrictModel, parsed
from hwnas.io.yaml import dump_yaml, read_yaml
from hwnas.stored_names import current
from hwnas.words import brief

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
        if self.accuracy.file_every and not any("int8" in (tier.precision or ()) for tier in self.tiers.values()):
            raise ValueError(
                f"accuracy.file_every: it is {self.accuracy.file_every}, and no tier lists int8 among its precisions. "
                "Leave it out, or set `precision: [fp32, int8]` of a tier"
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
