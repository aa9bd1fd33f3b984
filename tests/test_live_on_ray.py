"""Laws of live tiers on Ray's actors, on two nodes that reach one device: this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.errors import HostAway
from hwnas.measure.device_lock import LOCKS_VARIABLE
from hwnas.measure.table import read_table
from hwnas.measure.worker_process import LAUNCHER
from tests.helpers.experiments import published
from tests.helpers.measuring import spans, witness
from tests.helpers.nodes import two_nodes

TRIALS = 4


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder, and a cluster of two nodes whose measuring processes note there when they ran."""
    top = tmp_path_factory.mktemp("live")
    with two_nodes({LAUNCHER: witness(top / "spans"), LOCKS_VARIABLE: str(top / "locks")}):
        yield top


@pytest.mark.slow
def test_a_tier_pauses_where_its_device_is_away_and_then_no_two_actors_measure_at_once(top: Path) -> None:
    experiment = published(
        top, setups={"here": {"runtime": "onnxruntime"}},
        tiers={"edge": {"setup": "here", "measure": "live", "live": {"tries": 2, "pause_s": 0}}},
        timing={"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1},
        search={"trials": TRIALS, "sampler": "random", "runner": "ray", "ray": {"workers": 2}},
    )  # fmt: skip
    with pytest.raises(HostAway, match="the device cannot be locked"):
        pipeline.search(experiment, runs=top / "runs")
    assert not (top / "spans").exists()

    (top / "locks").mkdir()
    (searched,) = pipeline.search(experiment, runs=top / "runs")
    table = read_table(top / "runs" / "published" / "latency" / "here-live.jsonl")
    found = spans(top / "spans")
    assert len({e.architecture.key for e in searched.evaluations}) == TRIALS
    assert all(evaluation.failed is None for evaluation in searched.evaluations)
    assert len(found) == len(table.checks) == TRIALS, "each network is timed once"
    assert all(first[1] <= second[0] for first, second in pairwise(found)), found
    assert pipeline.doctor(experiment, runs=top / "runs").sound
    assert os.listdir(top / "locks")
