"""Set-ups and tiers: what networks run on, and what is wanted there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hwnas.config.words import RuntimeName, SensorName
from hwnas.io.strict_model import StrictModel

Positive = Annotated[int, Field(ge=1)]
Few = Annotated[int, Field(ge=1, le=1024)]
"""Threads and processes: no device that networks are timed or trained on has more processors."""


class EnergyConfig(StrictModel):
    """How the energy of a call is measured; the fields of `hwnas.measure.energy.meter.EnergyProtocol`."""

    sensor: SensorName = "auto"
    command: str = ""
    """Command that prints watts; it is run without a shell."""
    error: float = Field(default=0.05, gt=0, lt=1)
    """Largest relative error of the sensor."""
    repeats: int = Field(default=3, ge=2)
    longest_s: float = Field(default=30.0, gt=0)
    """A sensor that needs longer loops is refused."""

    @model_validator(mode="before")
    @classmethod
    def _sensor_alone(cls, value: Any) -> Any:
        return {"sensor": value} if isinstance(value, str) else value


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
    missing: Literal["refuse", "estimate"] = "refuse"
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
    """Energy of one call, above idling."""
    peak_mb: float | None = Field(default=None, gt=0)
    """Peak of resident memory, above the runtime alone."""
    top1: float | None = Field(default=None, ge=0, le=1)
    """At least this accuracy, 0 to 1; the others are upper bounds."""
    top1_confidence: float | None = Field(default=None, ge=0.5, lt=1)
    """So surely `guided` predicts that a network holds `top1` before it tries it; 0.5 if left out."""

    @model_validator(mode="after")
    def _confidence_of_a_limit(self) -> LimitsConfig:
        if self.confidence is not None and self.latency_ms is None:
            raise ValueError("`confidence` says how surely `latency_ms` is held: give both")
        if self.top1_confidence is not None and self.top1 is None:
            raise ValueError("`top1_confidence` says how surely `top1` is held: give both")
        return self


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
    limits: LimitsConfig = LimitsConfig()
    minimise: tuple[Literal["latency_ms", "energy_mj"], ...] = ("latency_ms",)
    """Costs that are traded against accuracy; latency always is."""
    measure: Literal["table", "live"] = "table"
    """Source of latencies: predictions from the set-up's table, or timing of candidates during the search."""
    live: LiveConfig = LiveConfig()

    @model_validator(mode="after")
    def _live_knows_latency_only(self) -> TierConfig:
        if self.measure == "live" and (keys := self.asks_of_a_table):
            raise ValueError(f"`{keys[0]}` is predicted from a table: leave it out, or `measure: live`")
        return self

    @property
    def asks_of_a_table(self) -> list[str]:
        """Keys in use whose values only a set-up's table can predict."""
        limits = self.limits
        predicted = {
            "confidence": limits.confidence, "energy_mj": limits.energy_mj or "energy_mj" in self.minimise,
            "peak_mb": limits.peak_mb, "file_kib": limits.file_kib,
        }  # fmt: skip
        return [name for name, value in predicted.items() if value]

    @field_validator("minimise")
    @classmethod
    def _latency_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(["latency_ms", *value]))
