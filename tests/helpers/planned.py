"""A small run with plans for two machines: digits, three hundred parameters on the edge."""

from __future__ import annotations

import json
from pathlib import Path

from hwnas import pipeline
from tests.helpers.experiments import FEW, written

PAIR = {"edge": {"setup": "cpu", "limits": {"params": 300}}, "cloud": {"setup": "cpu"}}


def planned_run(top: Path) -> Path:
    """The folder of a run that was trained, timed, searched and planned."""
    data = {"name": "digits", "limit": 900}
    experiment = written(top, FEW, tiers=PAIR, data=data, export={"formats": ["onnx"], "picks": ["best"]})
    for verb in (pipeline.bench, pipeline.train, pipeline.search):
        verb(experiment, runs=top / "runs")
    pipeline.plan_edge_cloud(top / "runs" / "mini", "wired", epsilon=0.05, delta=0.3)
    return top / "runs" / "mini"


def plan_names(run: Path) -> dict[tuple[str, str | None], str]:
    """A name of each kind and codec."""
    document = json.loads((run / "plans" / "wired.json").read_text())
    return {(plan["kind"], plan["codec"]): plan["name"] for plan in document["plans"]}
