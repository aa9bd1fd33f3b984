"""Plans that were measured over an imposed link, beside what is predicted for this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwnas.collaborate.cuts import NO_TIME, SampledTime
from hwnas.collaborate.imposed.measurement import TimedRequest, measured_quantiles
from hwnas.collaborate.imposed.states import NEAR
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, PlanLatency
from hwnas.collaborate.predict import Load, Worlds, quantiles_of, simulate, world_quantiles
from hwnas.collaborate.wire import HTTP_BYTES

BAND = 0.05, 0.95
"""Quantiles of single requests between which 90 % of them are predicted to lie."""
EQUAL = 0.05
"""A plan that is slower than the fastest by less is as good as it."""


def on_this_machine(candidate: Candidate, alone: Sequence[TimedRequest], extra_rtt_ms: float = 0.0) -> Candidate:
    """Return a candidate whose times of edge, encoding, cloud and the ends of the connection are those of some requests
    over `NEAR`, on this machine; what that link itself takes is not counted, of a round trip as long as told."""
    edge = SampledTime(np.array([one.edge_ms for one in alone])) if candidate.edge is not None else NO_TIME
    if not candidate.uses_cloud:
        return replace(candidate, head=SampledTime(np.array([one.total_ms for one in alone])))
    encode = float(np.mean([one.encode_ms for one in alone]))
    beyond = np.array([one.beyond_ms for one in alone]) - near_ms(candidate) - extra_rtt_ms
    return replace(candidate, head=edge, tail=SampledTime(np.maximum(beyond, 0.0), seed=1), encode_ms=encode)


def near_ms(candidate: Candidate) -> float:
    """Return what a request of a candidate takes on its way over `NEAR`."""
    up, down = (ConstantRate(np.asarray(mbps, dtype=float)) for mbps in (NEAR.up_mbps, NEAR.down_mbps))
    draws = LinkDraws(np.zeros(1), up, down, ConstantDelay(np.asarray(NEAR.rtt_ms, dtype=float)), "warm")
    sent, answer = candidate.sent_bytes.mean() + HTTP_BYTES, float(candidate.answer_bytes + HTTP_BYTES)
    return float(draws.transfer(np.asarray(sent), np.asarray(answer)).total[0])


@dataclass(frozen=True, eq=False)
class Compared:
    """A plan, predicted for this machine and measured.

    Args:
        name: of the plan.
        predicted: with the times of this machine, for as many requests: the medians of the quantiles of all worlds.
        band: times between which 90 % of single requests are predicted.
        requests: that were measured.
    """

    name: str
    predicted: PlanLatency
    band: tuple[float, float]
    requests: Sequence[TimedRequest]

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        alone: Sequence[TimedRequest],
        requests: Sequence[TimedRequest],
        worlds: Worlds,
        extra_rtt_ms: float = 0.0,
    ) -> Compared:
        """Return the comparison of a candidate."""
        here = on_this_machine(candidate, alone, extra_rtt_ms)
        drawn = simulate(here, worlds, Load().queue(here))
        low, high = np.quantile(drawn.total, BAND)
        p50, p95, p99 = (float(np.median(each)) for each in world_quantiles(drawn).values())
        predicted = replace(quantiles_of(drawn), p50=p50, p95=p95, p99=p99)
        return cls(candidate.name, predicted, (float(low), float(high)), requests)

    @property
    def totals(self) -> list[float]:
        """Latencies of the requests, in ms."""
        return [one.total_ms for one in self.requests]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan's entries, ready for JSON."""
        quantiles, intervals = measured_quantiles(self.totals)
        low, high = self.band
        return {
            "measured_ms": quantiles,
            "measured_intervals_ms": intervals,
            "predicted_here_ms": {name: getattr(self.predicted, name) for name in quantiles},
            "predicted_here_intervals_ms": {name: list(ends) for name, ends in self.predicted.intervals.items()},
            "within_band": float(np.mean([low <= total <= high for total in self.totals])),
            "measured_waterfall_ms": {
                "edge": float(np.mean([one.edge_ms for one in self.requests])),
                "encode": float(np.mean([one.encode_ms for one in self.requests])),
                "tail": float(np.mean([one.service_ms for one in self.requests])),
                "beyond": float(np.mean([one.beyond_ms - one.service_ms for one in self.requests])),
            },
            "measured_escalated": float(np.mean([one.escalated for one in self.requests])),
        }


def agreement(entries: Mapping[str, Mapping[str, Any]], eligible: Sequence[str]) -> dict[str, Any]:
    """Return which plan wins as predicted for this machine and as measured, and what the former loses.

    Args:
        entries: of the plans that were measured, by name.
        eligible: names of those that may win.
    """
    some = [name for name in entries if name in eligible]
    if not some:
        return {"planned_winner": None, "measured_winner": None, "loss": None, "agrees": None}
    planned = min(some, key=lambda name: entries[name]["predicted_here_ms"]["p95"])
    measured = min(some, key=lambda name: entries[name]["measured_ms"]["p95"])
    loss = entries[planned]["measured_ms"]["p95"] / entries[measured]["measured_ms"]["p95"] - 1
    return {"planned_winner": planned, "measured_winner": measured, "loss": loss, "agrees": loss <= EQUAL}
