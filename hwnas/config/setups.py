"""Set-ups and tiers: what networks run on, and what is wanted there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hwnas.config.limits import Limits, LimitsConfig
from hwnas.config.measuring import EnergyConfig
from hwnas.config.words import Few, Positive, RuntimeName
from hwnas.errors import did_you_mean
from hwnas.io.strict_model import StrictModel
from hwnas.quantities import LATENCY, QUANTITIES, Quantity, quantity_of
from hwnas.quantities.quantity import Goal

Cost = Annotated[str, Field(examples=[name for name, one in QUANTITIES.own.items() if "objective" in one.uses])]
"""Name of a quantity that may be an objective."""


class LatenciesConfig(StrictModel):
    """Published latencies of whole networks: a CSV, NPZ or Parquet file with a row for each architecture."""

    file: str
    column: str
    key: str | None = None
    """Its column of architectures; if left out, it has a column for each choice of the space."""
    unit: Literal["ms", "us", "s"] = "ms"
    rows: Literal["mean", "first"] = "mean"
    """Rule for several rows that are one network."""


class SetupConfig(StrictModel):
    """A device, a runtime on it and how it is used. A table is valid for one set-up."""

    runtime: RuntimeName
    """Runtime of the files; `published`: nothing is run, `latencies` has the latencies of networks."""
    latencies: LatenciesConfig | None = None
    threads: Few = 1
    batch: Annotated[int, Field(ge=1, le=65_536)] = 1
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Precision that a network computes in; not every runtime offers each."""
    activations: Literal["auto", "unsigned", "signed"] = "auto"
    """Integers of the activations of int8 files, where the runtime knows both; `auto`: signed on an ARM processor."""
    accelerator: Literal["cpu", "cuda"] = "cpu"
    """Device that computes: the processor, or an NVIDIA GPU."""
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
    missing: Literal["error", "estimate"] = "error"
    """Treatment of an operator that the table has no row for."""
    energy: EnergyConfig | None = None
    """Protocol by which energy is measured beside time; None if it is not measured."""
    memory: bool = False
    """True if the memory of whole networks is measured."""

    @model_validator(mode="after")
    def _latencies_are_published(self) -> SetupConfig:
        if (self.latencies is None) == (self.runtime == "published"):
            raise ValueError("`runtime: published` and `latencies` go together: give both or neither")
        if self.latencies and (self.energy or self.memory or self.host or self.table):
            raise ValueError("nothing is run on a published set-up: leave out `energy`, `memory`, `host` and `table`")
        return self

    @model_validator(mode="after")
    def _activations_of_a_runtime_that_knows_both(self) -> SetupConfig:
        if self.activations != "auto" and not self.runtime.startswith("onnxruntime"):
            raise ValueError(
                f"`activations` is {self.activations}, and `{self.runtime}` knows one kind of integers. Only "
                "`onnxruntime` knows both: leave it out"
            )
        return self

    @field_validator("cores", mode="before")
    @classmethod
    def _cluster_or_numbers(cls, value: Any) -> Any:
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        if value is not None and not re.fullmatch(r"[a-z]+[0-9]?|\d+(-\d+)?(,\d+(-\d+)?)*", text):
            raise ValueError("`cores` is a cluster, such as `big` or `little`, or a list of numbers, such as [0, 1]")
        return None if value is None else text


SEARCHED_PRECISIONS = ("fp32", "int8")
"""Precisions in which the accuracy of a network is known without a file."""
MIXED = "mixed"
"""Word for a precision of each operator."""


class LiveConfig(StrictModel):
    """How candidates are timed during the search."""

    timeout_s: float = Field(default=300.0, gt=0)
    """A candidate whose timing takes longer counts as one for which the host did not answer."""
    tries: Positive = 3
    pause_s: float = Field(default=10.0, ge=0)
    """Seconds before the next try."""


class TierConfig(StrictModel):
    """A set-up with limits, for which a front is wanted."""

    setup: str
    limits: Limits = LimitsConfig()
    minimize: tuple[Cost, ...] = (LATENCY.name,)
    """Quantities whose goal is low that are traded against accuracy; latency always is."""
    maximize: tuple[Cost, ...] = ()
    """Quantities whose goal is high that are traded against accuracy."""
    measure: Literal["table", "live"] = "table"
    """Source of latencies: predictions from the set-up's table, or timing of candidates during the search."""
    live: LiveConfig = LiveConfig()
    precision: Annotated[tuple[Literal["fp32", "int8"], ...], Field(min_length=1)] | Literal["mixed"] | None = None
    """Precisions among which the search chooses for each network; that of the set-up if left out. `mixed`: as
    `[fp32, int8]`, and each network of the front also with the best precisions of its single operators."""

    @field_validator("precision", mode="before")
    @classmethod
    def _precisions_are_listed(cls, value: Any) -> Any:
        if value == MIXED:
            return value
        named = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if unknown := [one for one in named if one not in SEARCHED_PRECISIONS]:
            raise ValueError(
                f"`{unknown[0]}` is no precision that a search chooses. A list of any of "
                f"{', '.join(SEARCHED_PRECISIONS)} is: `precision: [fp32, int8]`; or `precision: {MIXED}`, by operator"
            )
        return tuple(dict.fromkeys(named)) if named or value is not None else None

    @property
    def precisions(self) -> tuple[str, ...] | None:
        """Precisions of whole networks that the search chooses among; None if it does not choose."""
        return SEARCHED_PRECISIONS if isinstance(self.precision, str) else self.precision

    @model_validator(mode="after")
    def _precisions_have_tables(self) -> TierConfig:
        if self.precision is not None and self.measure == "live":
            raise ValueError("`precision` needs a table of each precision: leave it out, or `measure: live`")
        return self

    @model_validator(mode="after")
    def _mixed_knows_latency_only(self) -> TierConfig:
        if self.precision == MIXED and (keys := self.asks_of_a_table):
            raise ValueError(
                f"`{keys[0]}` of networks with a precision for each operator is not predicted: leave it out, or "
                "`precision: mixed`"
            )
        return self

    @model_validator(mode="after")
    def _live_knows_latency_only(self) -> TierConfig:
        if self.measure == "live" and (keys := self.asks_of_a_table):
            raise ValueError(f"`{keys[0]}` is predicted from a table: leave it out, or `measure: live`")
        return self

    @property
    def asks_of_a_table(self) -> list[str]:
        """Keys in use whose values only a set-up's table can predict."""
        surely = ["latency_quantile"] if self.limits.latency_quantile is not None else []
        return surely + [one.name for one in self.quantities if one.model is not None and one is not LATENCY]

    @property
    def quantities(self) -> list[Quantity]:
        """The quantities that the tier minimises, maximises or limits; metrics of a task are not among them."""
        limited = [name for name in self.limits.names if name in QUANTITIES]
        return [quantity_of(name, where="tier") for name in dict.fromkeys([*self.minimize, *self.maximize, *limited])]

    @field_validator("minimize")
    @classmethod
    def _latency_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _objectives([LATENCY.name, *value], "min")

    @field_validator("maximize")
    @classmethod
    def _high_is_good(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _objectives(value, "max")


def _objectives(names: Iterable[str], goal: Goal) -> tuple[str, ...]:
    """Return the names, each once, if they are of quantities that may be objectives of this goal."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        quantity = quantity_of(name, where="tier") if name in QUANTITIES else None
        if quantity is None or (quantity.goal, "objective" in quantity.uses) != (goal, True):
            own = [one.name for one in QUANTITIES.own.values() if one.goal == goal and "objective" in one.uses]
            known = did_you_mean(name, [*own, *QUANTITIES.installed])
            raise ValueError(f"`{name}` is no cost whose goal is {goal}. {known}")
    return names
