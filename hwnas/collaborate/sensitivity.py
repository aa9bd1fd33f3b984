"""Sensitivity of plans to the link: their latencies if it were faster or slower, nearer or farther."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwnas.collaborate.choice import Goal, eligible, winner_of
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.plan import Plan, PlanLatency
from hwnas.collaborate.predict import WORLDS, Load, Worlds, mean_ms, quantiles_of, simulate

RATE_FACTORS = tuple(2.0**power for power in range(-5, 6))
RTT_FACTORS = tuple(2.0**power for power in range(-3, 4))
GRID_REQUESTS = 100
"""Requests in each world: fewer than of a prediction, as each plan is simulated on a grid of links."""
MOST_BARS = 10
"""Plans that are shown over the grid: those of the front, the winner first."""
DIGITS = 5
"""Significant digits of what is stored."""


def sensitivity(
    plans: Sequence[Plan], shown: Sequence[Plan], link: LinkModel, load: Load, epsilon: float, seed: int, goal: Goal
) -> dict[str, Any]:
    """Return the latencies of some plans over a grid of links, and who wins there, ready for JSON.

    Both rates are multiplied by one factor and round trips by another; outages and their lengths stay. Where both
    factors are 1, latencies are those of the plans themselves.

    Args:
        plans: all of them.
        shown: plans that are to be told of; beside them those that are eligible and fastest, by the mean, at a link of
            the grid. The winner of each link is one of both.
        link: as it was planned for.
        load: of the cloud.
        epsilon: how much less accurate than the best plan a winner may be.
        seed: of the simulation.
        goal: of the accuracy.
    """
    left = eligible(plans, epsilon, goal)
    shown_plans = [*shown, *(one for one in _fastest(left, link, seed) if all(one is not other for other in shown))]
    worlds = Worlds.drawn(link, seed, WORLDS, GRID_REQUESTS)
    latencies = [[_at(shown_plans, worlds, load, rate, trip) for trip in RTT_FACTORS] for rate in RATE_FACTORS]
    entries = {}
    for number, plan in enumerate(shown_plans):
        own = [[cell[number] for cell in row] for row in latencies]
        steps = plan.latency.waterfall
        entries[plan.candidate.name] = {
            **{key: [[_short(getattr(one, key)) for one in row] for row in own] for key in ("p50", "p95")},
            "waterfall_ms": {step: [[_short(one.waterfall[step]) for one in row] for row in own] for step in steps},
        }
    winners = [[_winner(shown_plans, cell, epsilon, goal, left) for cell in row] for row in latencies]
    return {
        "up_mbps": [_short(link.median("up_mbps") * factor) for factor in RATE_FACTORS],
        "rtt_ms": [_short(link.median("rtt_ms") * factor) for factor in RTT_FACTORS],
        "planned": [RATE_FACTORS.index(1.0), RTT_FACTORS.index(1.0)],
        "requests": WORLDS * GRID_REQUESTS,
        "winners": winners,
        "plans": entries,
    }


def shown_over_links(plans: Sequence[Plan], winner: Plan | None) -> list[Plan]:
    """Return the plans of the front that a page shows over a grid of links, the winner first, then by their median."""
    shown = [plan for plan in plans if plan.on_front or plan is winner]
    return sorted(shown, key=lambda plan: (plan is not winner, plan.latency.p50))[:MOST_BARS]


def _fastest(left: Sequence[Plan], link: LinkModel, seed: int) -> list[Plan]:
    """Return the plans that are fastest, by the mean, at some link of the grid."""
    if not left:
        return []
    draws = link.quick_draws(seed)
    found = set()
    for rate in RATE_FACTORS:
        for trip in RTT_FACTORS:
            scaled = draws.scaled(rate, trip)
            found.add(int(np.argmin([mean_ms(one.candidate, scaled).mean() for one in left])))
    return [left[index] for index in sorted(found)]


def _at(shown_plans: Sequence[Plan], worlds: Worlds, load: Load, rate: float, trip: float) -> list[PlanLatency]:
    """Return the latencies of plans at one link of the grid."""
    if rate == trip == 1.0:
        return [plan.latency for plan in shown_plans]
    there = replace(worlds, link=worlds.link.scaled(rate, trip))
    return [
        quantiles_of(simulate(plan.candidate, there, load.queue(plan.candidate)))
        if plan.candidate.uses_cloud
        else plan.latency
        for plan in shown_plans
    ]


def _winner(
    shown_plans: Sequence[Plan], latencies: Sequence[PlanLatency], epsilon: float, goal: Goal, left: Sequence[Plan]
) -> str | None:
    moved = [
        replace(plan, latency=latency)
        for plan, latency in zip(shown_plans, latencies, strict=True)
        if any(plan is one for one in left)
    ]
    winner = winner_of(moved, epsilon, goal)
    return None if winner is None else winner.candidate.name


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
