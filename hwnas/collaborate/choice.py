"""Which plan to take: the front of all, the winner under a rule, and the winner at other rates and round trips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hwnas.collaborate.breakeven import BITS_PER_BYTE_MS, BreakEven, energy_bytes, price_per_gb
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.series import ConstantDelay, ConstantRate
from hwnas.collaborate.links.tcp import HANDSHAKES, LinkDraws, flights
from hwnas.collaborate.plan import Plan
from hwnas.collaborate.predict import mean_ms
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.latency.posterior import Floats
from hwnas.pareto import Objective, front

Goal = Literal["min", "max"]

RATES_MBPS: Floats = np.geomspace(0.1, 1000.0, 13)
RTTS_MS: Floats = np.geomspace(0.5, 1000.0, 12)


def with_front(plans: Sequence[Plan], goal: Goal = "max") -> list[Plan]:
    """Return the plans, those marked that no other beats in accuracy, median, 99 % quantile, bytes, energy and money;
    the last two count where all plans have them."""
    rows = [plan.scores for plan in plans]
    known = [
        name
        for name in ("p50_ms", "p99_ms", "bytes", "energy_mj", "money_per_million")
        if all(name in row for row in rows)
    ]
    best = (
        set(front(rows, [Objective("accuracy", goal), *(Objective(name, "min") for name in known)])) if rows else set()
    )
    return [replace(plan, on_front=index in best) for index, plan in enumerate(plans)]


def eligible(plans: Sequence[Plan], epsilon: float, goal: Goal = "max") -> list[Plan]:
    """Return the plans whose accuracy is within `epsilon` of the best; of cascades, those with a guarantee."""
    sound = [one for one in plans if one.candidate.cascade is None or one.candidate.cascade.guarantee is not None]
    sign = 1 if goal == "max" else -1
    best = max((sign * one.candidate.accuracy.value for one in sound), default=0.0)
    return [one for one in sound if sign * one.candidate.accuracy.value >= best - epsilon]


def winner_of(plans: Sequence[Plan], epsilon: float, goal: Goal = "max") -> Plan | None:
    """Return the eligible plan whose 95 % quantile is least; of equals, the one that sends less; None of no plans."""
    left = eligible(plans, epsilon, goal)
    return min(left, key=lambda one: (one.latency.p95, one.candidate.bytes), default=None)


def fastest_of_kinds(plans: Sequence[Plan], epsilon: float, goal: Goal = "max") -> list[Plan]:
    """Return of each kind the plan whose 95 % quantile is least, the winner first: eligible ones, where there are
    some."""
    left = eligible(plans, epsilon, goal)
    winner = winner_of(plans, epsilon, goal)
    chosen = [] if winner is None else [winner]
    for kind in dict.fromkeys(one.candidate.kind for one in plans):
        some = [one for one in left if one.candidate.kind == kind] or [
            one for one in plans if one.candidate.kind == kind
        ]
        best = min(some, key=lambda one: (one.latency.p95, one.candidate.bytes))
        chosen += [] if best is winner else [best]
    return chosen


def rule_of(epsilon: float) -> str:
    """Return the rule of the winner, in words."""
    return (
        f"the least 95 % quantile of latency among plans whose accuracy is within {epsilon:g} of the best one; of "
        "cascades, those with a guarantee"
    )


def break_even(plans: Sequence[Plan], link: LinkModel, epsilon: float, goal: Goal = "max") -> dict[str, Any] | None:
    """Return where the best edge-only plan and the best of the cloud are equally fast, and where bytes cost what they
    save, ready for JSON; None where there are not both. Points that do not exist are None."""
    left = eligible(plans, epsilon, goal)

    def fastest(*kinds: str) -> Plan | None:
        some = [one for one in left if one.candidate.kind in kinds] or [
            one for one in plans if one.candidate.kind in kinds
        ]
        return min(some, key=lambda one: one.latency.p50, default=None)

    edge, cloud, split = fastest("edge_only"), fastest("cloud_only"), fastest("split")
    if edge is None or cloud is None:
        return None
    own, (up, down), warm = cloud.candidate, cloud.candidate.wire_bytes, link.connection == "warm"
    sent, back = float(own.sent_bytes.mean()) + HTTP_BYTES, own.answer_bytes + HTTP_BYTES
    trips = HANDSHAKES[link.connection] + (1 if warm else flights(int(sent)) + flights(back) - 1)
    waking = 0.0 if warm else link.promotion_ms
    beyond = waking + own.encode_ms + own.tail.ms + BITS_PER_BYTE_MS * down / link.median("down_mbps")
    even = BreakEven(edge.candidate.head.ms, beyond, up, trips)
    rate, rtt, head_mj = link.median("up_mbps"), link.median("rtt_ms"), edge.candidate.head_mj
    result: dict[str, Any] = {
        "edge": edge.candidate.name,
        "cloud": own.name,
        "rate_mbps": even.rate_mbps(rtt),
        "rtt_ms": even.rtt_ms(rate),
        "wire_bytes": even.bytes(rate, rtt),
        "energy_bytes": None if link.radio is None or head_mj is None else energy_bytes(head_mj, link.radio, rate),
        "price_per_gb": None,
    }
    if split is not None and link.tariff.server_hour is not None:
        extra = sum(split.candidate.wire_bytes) - sum(own.wire_bytes)
        saved = (own.tail.ms - split.candidate.tail.ms) / 3.6e6 * link.tariff.server_hour
        result["price_per_gb"] = price_per_gb(saved, extra) if extra > 0 < saved else None
    return result


def regimes(plans: Sequence[Plan], link: LinkModel, epsilon: float, goal: Goal = "max") -> dict[str, Any]:
    """Return the winner by mean latency at other rates up and round trips, of a link that is constant, ready for JSON.

    The rate down keeps its ratio to the rate up.
    """
    left = eligible(plans, epsilon, goal)
    ratio = link.median("down_mbps") / link.median("up_mbps")
    rates, rtts = RATES_MBPS[:, None], RTTS_MS[None, :]
    draws = LinkDraws(
        np.zeros((1, 1)),
        ConstantRate(rates),
        ConstantRate(rates * ratio),
        ConstantDelay(rtts),
        link.connection,
        link.promotion_ms,
    )
    table = np.stack([mean_ms(plan.candidate, draws) for plan in left])
    best = table.argmin(axis=0)
    return {
        "up_mbps": RATES_MBPS.tolist(),
        "rtt_ms": RTTS_MS.tolist(),
        "winners": [[left[index].candidate.name for index in row] for row in best],
        "mean_ms": table.min(axis=0).tolist(),
    }
