"""Links between edge and cloud, as an experiment or a file of their own describes them, and pairs that they join."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hwnas.io.strict_model import StrictModel

Above0 = Annotated[float, Field(gt=0)]


class QuantilesConfig(StrictModel):
    """A quantity that varies, by three of its quantiles."""

    p5: Above0
    p50: Above0
    p95: Above0

    @model_validator(mode="after")
    def _ascending(self) -> QuantilesConfig:
        if not self.p5 <= self.p50 <= self.p95:
            raise ValueError("quantiles do not ascend. `p5` is the least and `p95` the largest")
        return self


def _constant(value: object) -> object:
    """Return the quantiles of a number that never varies."""
    return value if isinstance(value, dict | QuantilesConfig | bool) else {"p5": value, "p50": value, "p95": value}


Varying = Annotated[QuantilesConfig, BeforeValidator(_constant)]
"""A number, or a section of quantiles."""


class RadioConfig(StrictModel):
    """Power of the edge's radio while it sends and receives; of one device, in one year, from a source."""

    device: str
    year: Annotated[int, Field(ge=1990, le=2100)]
    source: str
    up_mw: Annotated[float, Field(ge=0)]
    up_mw_per_mbps: Annotated[float, Field(ge=0)] = 0.0
    down_mw: Annotated[float, Field(ge=0)]
    down_mw_per_mbps: Annotated[float, Field(ge=0)] = 0.0


class TariffConfig(StrictModel):
    """Money for traffic and for the cloud's time; what is left out is not known."""

    currency: str = "USD"
    server_hour: Annotated[float, Field(ge=0)] | None = None
    """Of one worker, which serves one request at a time."""
    gb_up: Annotated[float, Field(ge=0)] | None = None
    gb_down: Annotated[float, Field(ge=0)] | None = None
    source: str = ""


class LinkConfig(StrictModel):
    """A link; a preset has the values of keys that are left out."""

    preset: str | None = None
    """Name of a link that comes with hwnas; if left out, `lte`, and for recorded round trips `5g`."""
    trace: str | None = None
    """File of a recorded link."""
    direction: Literal["up", "down"] = "down"
    """Direction of a trace with one rate."""
    up_share: Annotated[float, Field(gt=0)] | None = None
    """The rate up as a share of the recorded rate down."""
    up_mbps: Varying | None = None
    down_mbps: Varying | None = None
    rtt_ms: Varying | None = None
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of segments that are lost."""
    promotion_ms: Annotated[float, Field(ge=0)] | None = None
    """Time that a sleeping radio takes to wake."""
    outage_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the time in which nothing passes, beside outages of a trace."""
    outage_ms: Annotated[float, Field(gt=0)] = 1000.0
    """Mean duration of an outage."""
    connection: Literal["cold", "idle", "warm"] = "idle"
    """State that requests find the connection in: new, open for a while, in steady use."""
    radio: RadioConfig | None = None
    tariff: TariffConfig = TariffConfig()

    @model_validator(mode="after")
    def _share_of_a_trace(self) -> LinkConfig:
        if self.up_share is not None and (self.trace is None or self.up_mbps is not None):
            raise ValueError("`up_share` is of a recorded rate: give it with `trace`, and without `up_mbps`")
        return self


class PairConfig(StrictModel):
    """An edge, a cloud and a link that are searched as one: for networks that are fast with their best cut."""

    edge: str
    """Tier on whose set-up heads run; networks within its limits may run there whole."""
    cloud: str
    """Tier on whose set-up tails run; networks within its limits may run there whole."""
    link: str
    """A name under `links`, a preset, or a file."""
    minimize: Literal["mean", "p50", "p95", "p99"] = "p95"
    """Latency of a request that is traded against accuracy."""
    boundary: Literal["fp32", "fp16", "int8"] = "fp32"
    """Precision in which boundaries are sent. Rounding is taken to change no answer."""
    cascades: Annotated[int, Field(ge=0)] = 40
    """Most networks, the least dominated of those that were searched, of which all cascades are judged; 0 for none."""

    @property
    def quantile(self) -> float | None:
        """Quantile that is minimised; None for the mean."""
        return None if self.minimize == "mean" else float(self.minimize[1:]) / 100

    @model_validator(mode="after")
    def _two_tiers(self) -> PairConfig:
        if self.edge == self.cloud:
            raise ValueError(f"`edge` and `cloud` are both `{self.edge}`. A pair joins two tiers")
        return self
