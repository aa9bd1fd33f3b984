"""`source: predicted`: accuracies of a run are learned from, for the other networks of its space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.accuracy.from_file import predicted
from hwnas.accuracy.source import AccuracyContext, Settings
from hwnas.errors import ConfigError, PredictionError, RunError
from hwnas.network import costs, lower
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture, Space
from hwnas.tabular.rows import Names
from tests.helpers.spaces import SMALL, enumerate_architectures

SPACE = SMALL["widths and strides"]
ALL = sorted(enumerate_architectures(SPACE), key=lambda architecture: architecture.key)


def accuracy(architecture: Architecture) -> float:
    """Larger networks are better."""
    return 0.95 - 50 / (200 + costs(lower(SPACE, architecture)).params)


def store(
    path: Path, architectures: list[Architecture], *, metric: str = "top1@inherited", producer: str = "p"
) -> Path:
    kept = ScoreStore.open(path)
    for architecture in architectures:
        kept.record(architecture, metric, accuracy(architecture), producer=producer, elapsed_s=1.0)
    return path


def ingredients(folder: Path, space: Space = SPACE, **settings: Any) -> AccuracyContext:
    def missing() -> Any:
        raise AssertionError("a prediction needs nothing of a run but its space")

    return AccuracyContext(
        space, lambda architecture: missing(), Settings("predicted", **settings), 0, folder, folder, missing, False,
        missing, missing, Names(space), missing,
    )  # fmt: skip


def test_networks_that_were_not_evaluated_are_ranked_by_those_that_were(tmp_path: Path) -> None:
    store(tmp_path / "scores.jsonl", ALL[::2])
    source = predicted(ingredients(tmp_path, file="scores.jsonl"))
    told, true = [source(a) for a in ALL[1::2]], [accuracy(a) for a in ALL[1::2]]
    ranks = [np.argsort(np.argsort(values)) for values in (told, true)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    assert all(0 <= value <= 1 for value in told)


def test_the_producer_changes_with_what_was_learned_from(tmp_path: Path) -> None:
    path = store(tmp_path / "scores.jsonl", ALL[:8])
    before = [predicted(ingredients(tmp_path, file=str(path))).producer for _ in range(2)]
    store(path, ALL[8:9])
    after = predicted(ingredients(tmp_path, file=str(path))).producer
    assert before[0] == before[1] != after
    assert "9 networks" in after


def test_failures_and_other_metrics_in_a_store_are_left_out(tmp_path: Path) -> None:
    path = store(tmp_path / "scores.jsonl", ALL[:8])
    store(path, ALL[:4], metric="score@naswot")
    ScoreStore.open(path).record_failure(ALL[9], "top1@inherited", "it diverged", producer="p", elapsed_s=1.0)
    assert "8 networks" in predicted(ingredients(tmp_path, file=str(path))).producer


def test_accuracies_of_two_origins_are_not_mixed(tmp_path: Path) -> None:
    path = store(tmp_path / "scores.jsonl", ALL[:8])
    store(path, ALL[:6], metric="top1@alone")
    with pytest.raises(RunError, match="accuracies of 2 origins"):
        predicted(ingredients(tmp_path, file=str(path)))
    assert "6 networks" in predicted(ingredients(tmp_path, file=str(path), column="top1@alone")).producer


@pytest.mark.parametrize(
    ("count", "settings", "kind", "match"),
    [
        (8, {}, ConfigError, "`file` is missing"),
        (8, {"file": "nowhere.jsonl"}, ConfigError, "no file `nowhere.jsonl`"),
        (8, {"file": "scores.jsonl", "column": "top1@table"}, RunError, "holds no such accuracy"),
        (3, {"file": "scores.jsonl"}, PredictionError, "scores.jsonl: 3 targets are given"),
    ],
)
def test_a_store_that_cannot_be_learned_from_is_an_error(
    tmp_path: Path, count: int, settings: dict[str, str], kind: type[Exception], match: str
) -> None:
    store(tmp_path / "scores.jsonl", ALL[:count])
    with pytest.raises(kind, match=match):
        predicted(ingredients(tmp_path, **settings))


def test_a_store_of_another_space_is_an_error(tmp_path: Path) -> None:
    store(tmp_path / "scores.jsonl", ALL[:8])
    with pytest.raises(RunError, match="holds no such accuracy"):
        predicted(ingredients(tmp_path, replace(SPACE, name="other"), file="scores.jsonl"))
