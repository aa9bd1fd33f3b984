"""A link as requests meet it: distributions and records, drawn for many requests at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.presets import Preset, Radio
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate, DelaySeries, LinkSeries, RateSeries
from hwnas.collaborate.links.tcp import Connection, LinkDraws
from hwnas.latency.posterior import Floats
from hwnas.words import brief

UP_DOWN_CORRELATION = 0.57
"""Rank correlation of the two rates over the speed tests of ERRANT's sample; theirs with round trips is 0.01."""
BLOCK_MS = 30_000.0
"""Length of the blocks in which a record is resampled: longer than all but the longest outages of the traces."""
QUICK_DRAWS = 64
"""States of a link over which plans are enumerated."""


@dataclass(frozen=True)
class Tariff:
    """Money for traffic and for the cloud's time; a price that is None is not known, and what needs it is refused."""

    currency: str = "USD"
    server_hour: float | None = None
    """Of one worker of the cloud, which serves one request at a time."""
    gb_up: float | None = None
    gb_down: float | None = None
    source: str = ""


@brief
@dataclass(frozen=True, eq=False)
class LinkModel:
    """A link between the edge and the cloud.

    Args:
        name: as it was given.
        up_mbps: rates towards the cloud, where no record has them.
        down_mbps: rates towards the edge, likewise.
        rtt_ms: round trips, likewise.
        series: records, which come before distributions.
        connection: state that requests find the connection in.
        loss: share of segments that are lost.
        promotion_ms: time that a sleeping radio takes to wake.
        outage_share: share of the time in which nothing passes, beside outages of records.
        outage_ms: mean duration of an outage; durations are exponential.
        origins: for each of the above, where it comes from.
        radio: power of the edge's radio; None where it is not known.
        tariff: money.

    Example:
        >>> from hwnas.collaborate.links.presets import PRESETS
        >>> LinkModel.of_preset("wired", PRESETS["wired"]).describe()["rtt_ms"]["p50"]
        0.5
    """

    name: str
    up_mbps: Quantiles
    down_mbps: Quantiles
    rtt_ms: Quantiles
    series: LinkSeries = field(default_factory=LinkSeries)
    connection: Connection = "idle"
    loss: float = 0.0
    promotion_ms: float = 0.0
    outage_share: float = 0.0
    outage_ms: float = 0.0
    origins: Mapping[str, str] = field(default_factory=dict)
    radio: Radio | None = None
    tariff: Tariff = field(default_factory=Tariff)

    @classmethod
    def of_preset(cls, name: str, preset: Preset, **changes: Any) -> LinkModel:
        """Return the link of a preset, with other values in place of some of its own."""
        own = {
            "up_mbps": preset.up_mbps,
            "down_mbps": preset.down_mbps,
            "rtt_ms": preset.rtt_ms,
            "promotion_ms": preset.promotion_ms,
            "radio": preset.radio,
        }
        origins = {**preset.origins, **changes.pop("origins", {})}
        return cls(name=name, **{**own, **changes, "origins": origins})

    def draws(self, worlds: int, requests: int, seed: int) -> LinkDraws:
        """Return the link as (worlds, requests) meet it.

        A world is one time that the link might be used for as long as it was recorded: each has records of its own,
        resampled in blocks. Requests of a world begin at random moments of it. Distributions are drawn for each
        request.
        """
        rng, shape = np.random.default_rng(seed), (worlds, requests)
        records = self.series.records
        long = self.series.resampled(seed, BLOCK_MS, worlds) if records else self.series
        period = self.series.period_ms if records else 0.0
        starts = (np.arange(worlds)[:, None] + rng.random(shape)) * period
        common = rng.standard_normal((3, *shape))
        down_z = UP_DOWN_CORRELATION * common[0] + np.sqrt(1 - UP_DOWN_CORRELATION**2) * common[1]
        return LinkDraws(
            starts,
            RateSeries(long.up) if long.up is not None else ConstantRate(self.up_mbps.of_normal(common[0])),
            RateSeries(long.down) if long.down is not None else ConstantRate(self.down_mbps.of_normal(down_z)),
            DelaySeries(long.rtt) if long.rtt is not None else ConstantDelay(self.rtt_ms.of_normal(common[2])),
            self.connection,
            self.promotion_ms,
            self.loss,
            rng.random((2, *shape)) if self.loss else None,
            self._held_ms(rng.random((2, *shape))) if self.outage_share else 0.0,
        )

    def quick_draws(self, seed: int, count: int = QUICK_DRAWS) -> LinkDraws:
        """Return the link as `count` requests meet it; plans are enumerated over these states."""
        period = self.series.period_ms if self.series.records else 0.0
        rng = np.random.default_rng(seed)
        order = [rng.permutation(count) for _ in range(3)]
        normal = _normal_quantiles((np.arange(count) + 0.5) / count)
        up_z, other, rtt_z = (normal[places] for places in order)
        down_z = UP_DOWN_CORRELATION * up_z + np.sqrt(1 - UP_DOWN_CORRELATION**2) * other
        long = self.series
        return LinkDraws(
            (np.arange(count) + 0.5) / count * period,
            RateSeries(long.up) if long.up is not None else ConstantRate(self.up_mbps.of_normal(up_z)),
            RateSeries(long.down) if long.down is not None else ConstantRate(self.down_mbps.of_normal(down_z)),
            DelaySeries(long.rtt) if long.rtt is not None else ConstantDelay(self.rtt_ms.of_normal(rtt_z)),
            self.connection,
            self.promotion_ms,
            self.loss,
            _spread_twice(rng, count) if self.loss else None,
            self._held_ms(_spread_twice(rng, count)) if self.outage_share else 0.0,
        )

    def _held_ms(self, uniform: Floats) -> Floats:
        """Return the time until an outage is over, from two uniform numbers for each request; 0 outside of outages."""
        inside, left = uniform
        return np.where(inside < self.outage_share, -self.outage_ms * np.log1p(-left), 0.0)

    def median(self, key: str) -> float:
        """Return the median of `up_mbps`, `down_mbps` or `rtt_ms`, of its record where there is one; the mean of a
        record that is 0 most of the time."""
        if (half := self.quantiles(key)["p50"]) > 0:
            return half
        steps = self.series.records[key.partition("_")[0]]
        return float(np.average(steps.values, weights=steps.durations_ms))

    def quantiles(self, key: str) -> dict[str, float]:
        """Return the 5 %, 50 % and 95 % quantiles of `up_mbps`, `down_mbps` or `rtt_ms`, over time of a record."""
        steps = self.series.records.get(key.partition("_")[0])
        if steps is None:
            known: Quantiles = getattr(self, key)
            return {name: float(getattr(known, name)) for name in ("p5", "p50", "p95")}
        order = np.argsort(steps.values)
        weight = np.cumsum(steps.durations_ms[order])
        return {
            f"p{q}": float(steps.values[order][min(np.searchsorted(weight, q / 100 * weight[-1]), len(order) - 1)])
            for q in (5, 50, 95)
        }

    def describe(self) -> dict[str, Any]:
        """Return the link as it is printed and stored, ready for JSON."""
        keys = ("up_mbps", "down_mbps", "rtt_ms")
        return {
            "name": self.name,
            **{key: {**self.quantiles(key), "origin": self.origins.get(key, "given")} for key in keys},
            "connection": self.connection,
            "loss": self.loss,
            "promotion_ms": self.promotion_ms,
            "outage_share": self.outage_share,
            "outage_ms": self.outage_ms,
            "recorded_s": self.series.period_ms / 1e3 if self.series.records else None,
            "radio": None if self.radio is None else vars(self.radio),
            "tariff": vars(self.tariff),
        }


def _spread_twice(rng: np.random.Generator, count: int) -> Floats:
    """Return (2, count) evenly spread numbers from 0 to 1, each row in an order of its own."""
    return np.stack([(rng.permutation(count) + 0.5) / count for _ in range(2)])


def _normal_quantiles(share: Floats) -> Floats:
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(q) for q in share])
