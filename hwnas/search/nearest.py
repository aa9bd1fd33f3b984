"""The network that comes nearest to limits that none holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwnas.pareto import Scores, Tier


@dataclass(frozen=True)
class Nearest:
    """A network, and its scores of the limited metrics."""

    key: str
    scores: Scores
    """Scores of the limited metrics, as far as they are known."""

    def __str__(self) -> str:
        shown = ", ".join(f"{metric} {value:.4g}" for metric, value in self.scores.items())
        return f"the nearest, {self.key}, has {shown}" if shown else f"the nearest is {self.key}"


def nearest(networks: Iterable[tuple[str, Scores]], tier: Tier) -> Nearest | None:
    """Return the network that breaks the tier's limits least, by the sum of relative excesses; None if there is none.

    A network whose limited metrics are all known goes before one that was not scored to the end.

    Args:
        networks: key and scores of each.
        tier: whose limits are to be held.
    """
    metrics = dict.fromkeys(limit.metric for limit in tier.limits)

    def distance(network: tuple[str, Scores]) -> tuple[int, float]:
        _, scores = network
        over = [
            max(0.0, limit.excess(scores[limit.metric])) / (abs(limit.bound) or 1.0)
            for limit in tier.limits
            if limit.metric in scores
        ]
        return len(tier.limits) - len(over), sum(over)

    best = min(networks, key=distance, default=None)
    if best is None:
        return None
    key, scores = best
    return Nearest(key, {metric: scores[metric] for metric in metrics if metric in scores})
