"""A toy space with its scores, and studies of it."""

from __future__ import annotations

import time

from hwnas.pareto import Limit, Objective, Tier
from hwnas.search.evaluate import Evaluation, evaluate
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study, Trial
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture, FunctionSpace

TOP1, LATENCY = "top1@toy", "latency_ms@toy"
TIER = Tier("edge", (Objective(TOP1, "max"), Objective(LATENCY, "min")))
LIMITED = Tier("edge", TIER.objectives, (Limit(LATENCY, 12.0),))


def conditional(choose):  # type: ignore[no-untyped-def]
    """Up to five layers, of which only the active ones have a kernel and a width."""
    return [(choose(f"k{i}", (3, 5, 7)), choose(f"w{i}", (1, 2, 4))) for i in range(choose("depth", (1, 2, 3, 4, 5)))]


SPACE = FunctionSpace("toy", conditional)
PLAN = StudySpec(SPACE, LIMITED, "nsga2", population=4, seed=3)


def top1(architecture: Architecture) -> float:
    picks = dict(architecture.picks)
    return 50 + sum(float(v) * (2 if name[0] == "k" else 3) for name, v in picks.items()) ** 0.5 + picks["depth"]


def latency(architecture: Architecture) -> float:
    picks = dict(architecture.picks)
    return 1 + sum(picks[f"k{i}"] * picks[f"w{i}"] * (1 + i / 4) for i in range(picks["depth"])) / 4


def score(architecture: Architecture, tier: Tier = TIER) -> Evaluation:
    found = evaluate(architecture, {LATENCY: latency, TOP1: top1}, tier)
    return Evaluation(found.architecture, found.scores, found.broken, 0.0, found.failed)


def keys(study: Study) -> list[str]:
    return [evaluation.architecture.key for evaluation in study.evaluations]


def stored_plan() -> StudySpec:
    return StudySpec(SPACE, TIER, population=8, seed=5)


def stored_score(architecture: Architecture, store: ScoreStore, seconds: float) -> Evaluation:
    def slow(asked: Architecture) -> float:
        time.sleep(seconds)
        return top1(asked)

    found = evaluate(architecture, {LATENCY: latency, TOP1: slow}, TIER, store, {TOP1: "toy"})
    return Evaluation(found.architecture, found.scores, found.broken, 0.0, found.failed)


def scored(architecture: Architecture) -> Evaluation:
    return score(architecture, LIMITED)


def asked(study: Study) -> Trial:
    trial = study.ask()
    assert trial is not None
    return trial
