"""What actors of Ray are handed in tests: code that other processes can import."""

from __future__ import annotations

import time

from hwnas.search.evaluate import Evaluation, evaluate
from hwnas.search.workers.dispatcher import Scoring
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture
from tests.helpers.studies import LATENCY, LIMITED, TOP1, latency, top1


def scored(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
    found = evaluate(architecture, {LATENCY: latency, TOP1: top1}, LIMITED, ledger, {TOP1: "toy"})
    return Evaluation(found.architecture, found.scores, found.broken, 0.0, found.failed)


def slow() -> Scoring:
    def score_slowly(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        time.sleep(0.05)
        return scored(architecture, ledger)

    return score_slowly
