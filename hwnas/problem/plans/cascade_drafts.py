"""Cascades before their thresholds are set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwnas.collaborate.cascades import Pair
from hwnas.collaborate.plan import Candidate, PlanAccuracy
from hwnas.problem.plans.drafts import Promise


@dataclass(frozen=True, eq=False)
class CascadeDraft:
    """A pair of networks with a deferral rule.

    Args:
        pair: with its answers to samples.
        alone: the plan that answers on the edge alone.
        sent: the plan that always sends.
        rule: deferral rule.
    """

    pair: Pair
    alone: Candidate
    sent: Candidate
    rule: str

    def expected(self, epsilon: float) -> Candidate | None:
        """Return the cascade as the samples show it that the search saw; None if it asks for all of them or none."""
        value, escalated = self.pair.expected(self.rule, epsilon)
        if not 0 < escalated < 1:
            return None
        accuracy = PlanAccuracy(value, None, "the samples that the search saw")
        return replace(self.sent, kind="cascade", accuracy=accuracy, head=self.alone.head, escalated=escalated)

    def judged(self, promise: Promise, is_tested: bool, latency: str) -> Candidate | None:
        """Return the cascade as held-out samples show it; None if it asks for all of them or none.

        Args:
            promise: for which thresholds are tested.
            is_tested: whether those of this one are; else the laxest that holds on the calibration samples is taken.
            latency: where the latencies come from.
        """
        point = self.pair.certified(self.rule, promise.epsilon, promise.delta) if is_tested else None
        point = point or self.pair.empirical(self.rule, promise.epsilon)
        if not 0 < point.escalated < 1:
            return None
        samples, edge, cloud = len(self.pair.parts.judging), self.pair.edge.origin, self.pair.cloud.origin
        origin = f"measured on {samples:,} held-out samples: edge {edge}; cloud {cloud}"
        return replace(
            self.sent,
            kind="cascade",
            accuracy=PlanAccuracy(point.accuracy, point.error, origin),
            edge=self.alone.edge,
            head=self.alone.head,
            escalated=point.escalated,
            cascade=point,
            head_mj=self.alone.head_mj,
            origins={**self.sent.origins, "latency": latency},
            extras={**self.sent.extras, **promise.facts(self.pair, point, is_tested)},
        )
