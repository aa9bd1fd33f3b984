"""A page of three plans over a constant link, of synthetic networks, of which each wins at some link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.collaborate.choice import regimes, winner_of, with_front
from hwnas.collaborate.cuts import PartTime
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.plan import Candidate, Plan, PlanAccuracy
from hwnas.collaborate.predict import Load, Worlds, predict
from hwnas.collaborate.sensitivity import sensitivity
from hwnas.report.plans.page import plans_page
from tests.helpers.links import constant_link

SURE = PlanAccuracy(0.9, 0.01, "synthetic")


def synthetic_candidates(noise_ms: float = 0.0) -> list[Candidate]:
    """Return an edge alone, a cloud alone and a split."""
    head, tail, part = (PartTime(ms, 0.0, noise_ms) for ms in (200.0, 10.0, 60.0))
    raw, boundary = np.array([150_000.0]), np.array([5_000.0])
    return [
        Candidate("edge_only", SURE, edge="a" * 12, head=head, escalated=0.0),
        Candidate("cloud_only", SURE, cloud="b" * 12, codec="raw", tail=tail, sent_bytes=raw, answer_bytes=100),
        Candidate("split", SURE, "a" * 12, "a" * 12, 3, "int8", part, tail, sent_bytes=boundary, answer_bytes=100),
    ]


def predicted(link: LinkModel, noise_ms: float = 0.0) -> list[Plan]:
    """Return the plans of these candidates over a link."""
    worlds = Worlds.drawn(link, 0)
    found = [predict(one, link, worlds, Load()) for one in synthetic_candidates(noise_ms)]
    return with_front([plan for plan in found if plan is not None])


def synthetic_document(plans: Sequence[Plan], link: LinkModel) -> dict[str, Any]:
    """Return a document as `hwnas plan` writes it."""
    winner = winner_of(plans, 0.01)
    assert winner is not None
    return {
        "hwnas": "0",
        "run": "synthetic",
        "tiers": {"edge": "edge", "cloud": "cloud"},
        "link": link.describe(),
        "quality": {"name": "accuracy", "goal": "max", "unit": "fraction"},
        "rule": "the fastest",
        "winner": winner.candidate.name,
        "enumerated": len(plans),
        "plans": [plan.as_dict() for plan in plans],
        "break_even": None,
        "regimes": regimes(plans, link, 0.01),
        "sensitivity": sensitivity(plans, [winner], link, Load(), 0.01, 0, "max"),
        "notes": [],
    }


def plan_page(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write a page; return it and its document."""
    link = constant_link(10, 30, 20)
    document = synthetic_document(predicted(link, 1.0), link)
    path = folder / "plans.html"
    path.write_text(plans_page(document, created_at="2026-01-01T00:00:00+00:00"), encoding="utf-8")
    return path, document
