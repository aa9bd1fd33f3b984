"""Plans: ways in which an edge, a cloud and a link answer requests, before and after prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hwnas.collaborate.cascades import CascadePoint
from hwnas.collaborate.cuts import NO_TIME, PartTime, SampledTime
from hwnas.collaborate.links.tcp import wire_bytes
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.latency.posterior import Floats
from hwnas.words import brief

Kind = Literal["edge_only", "cloud_only", "split", "cascade"]

NOTHING_SENT: Floats = np.zeros(1)


@dataclass(frozen=True)
class PlanAccuracy:
    """A quality with its standard error, and where it comes from."""

    value: float
    error: float | None
    origin: str


@brief
@dataclass(frozen=True, eq=False)
class Candidate:
    """A plan before its latency is predicted.

    Args:
        kind: of the plan.
        accuracy: of its answers.
        edge: key of the network on the edge; None if there is none.
        cloud: key of the network in the cloud; of a split, the same network.
        cut: number of operators on the edge, of a split.
        codec: how the input or the boundary is sent; None if nothing is.
        head: time on the edge.
        tail: time in the cloud.
        encode_ms: time of encoding, on the edge.
        sent_bytes: bodies of requests, of some samples: one of them if all are alike.
        answer_bytes: body of an answer.
        escalated: share of the requests that the cloud answers.
        cascade: threshold, rule and guarantee, of a cascade.
        head_mj: energy of the edge's computing; None if it is not known.
        origins: of `latency`, `bytes` and others, as far as there is something to say.
        extras: more of it for the plan's entry, ready for JSON.
    """

    kind: Kind
    accuracy: PlanAccuracy
    edge: str | None = None
    cloud: str | None = None
    cut: int | None = None
    codec: str | None = None
    head: PartTime | SampledTime = NO_TIME
    tail: PartTime | SampledTime = NO_TIME
    encode_ms: float = 0.0
    sent_bytes: Floats = field(default_factory=lambda: NOTHING_SENT)
    answer_bytes: int = 0
    escalated: float = 1.0
    cascade: CascadePoint | None = None
    head_mj: float | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name that is unique among the plans of a run: `split-1a2b3c4d5e6f-after-3-int8`."""
        parts: list[str] = [self.kind]
        parts += dict.fromkeys(key for key in (self.edge, self.cloud) if key is not None)
        parts += [] if self.cut is None else [f"after-{self.cut}"]
        parts += [] if self.codec is None else [self.codec]
        parts += [] if self.cascade is None else [self.cascade.rule]
        return "-".join(parts)

    @property
    def bytes(self) -> float:
        """Mean bytes of bodies that a request sends, those that send nothing included."""
        return float(self.sent_bytes.mean()) * self.escalated

    @property
    def wire_bytes(self) -> tuple[float, float]:
        """Mean bytes on the wire of a request that is sent, and of its answer: with HTTP, TLS, TCP and IP."""
        up = np.mean(wire_bytes(self.sent_bytes + HTTP_BYTES))
        return float(up), float(wire_bytes(self.answer_bytes + HTTP_BYTES))

    @property
    def uses_cloud(self) -> bool:
        """True if some requests are answered by the cloud."""
        return self.kind != "edge_only"


@dataclass(frozen=True)
class PlanLatency:
    """Quantiles of a request's latency, in ms.

    Args:
        p50: the median.
        p95: the time within which 95 of 100 requests are answered.
        p99: the same of 99.
        low: lower end of the 90 % interval of the median.
        high: upper end of it.
        intervals: 90 % intervals of all three.
        waterfall: mean time of each step; steps that only some requests take count with their share.
    """

    p50: float
    p95: float
    p99: float
    low: float
    high: float
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    waterfall: Mapping[str, float] = field(default_factory=dict)


@brief
@dataclass(frozen=True, eq=False)
class Plan:
    """A plan with its prediction.

    Args:
        candidate: what is planned.
        latency: of a request.
        energy_mj: of the edge for a request: computing and radio; None if a coefficient is missing.
        money_per_million: of a million requests; None if a price is missing.
        refused: why a number is None, by its key.
        clients: number of clients within the limit that was asked for; None if none was.
        on_front: True if no other plan is at least as good in all respects.
    """

    candidate: Candidate
    latency: PlanLatency
    energy_mj: float | None = None
    money_per_million: float | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    clients: int | None = None
    on_front: bool = False

    @property
    def scores(self) -> dict[str, float]:
        """Numbers that plans are compared by."""
        known = {
            "accuracy": self.candidate.accuracy.value,
            "p50_ms": self.latency.p50,
            "p99_ms": self.latency.p99,
            "bytes": self.candidate.bytes,
            "energy_mj": self.energy_mj,
            "money_per_million": self.money_per_million,
        }
        return {name: value for name, value in known.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return the plan's entry, ready for JSON."""
        own, latency = self.candidate, self.latency
        cascade = own.cascade
        return {
            "name": own.name,
            "kind": own.kind,
            "edge": own.edge,
            "cloud": own.cloud,
            "cut": own.cut,
            "codec": own.codec,
            "threshold": None if cascade is None else cascade.threshold,
            "accuracy": own.accuracy.value,
            "latency_ms": {name: getattr(latency, name) for name in ("p50", "p95", "p99", "low", "high")},
            "bytes": own.bytes,
            "accuracy_error": own.accuracy.error,
            "latency_intervals_ms": {name: list(ends) for name, ends in latency.intervals.items()},
            "waterfall_ms": dict(latency.waterfall),
            "energy_mj": self.energy_mj,
            "money_per_million": self.money_per_million,
            "refused": dict(self.refused),
            "escalated": own.escalated,
            "rule": None if cascade is None else cascade.rule,
            "guarantee": None if cascade is None or cascade.guarantee is None else cascade.guarantee.as_dict(),
            "clients": self.clients,
            "on_front": self.on_front,
            "origins": {"accuracy": own.accuracy.origin, **own.origins},
            **own.extras,
        }
