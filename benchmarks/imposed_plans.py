"""Six plans over three imposed links, predicted and measured.

    python benchmarks/imposed_plans.py --json       # a quarter of an hour, as root; writes to docs/results/

The plans are hand-made pairs of random networks, whose requests send from nothing to 48 KB: the edge is made slower on
purpose. Both sides run on this machine. The links: one that does not vary, a recorded rate of LTE, recorded round trips
of 5G; the records are those of the shared data (`HWNAS_DATA` names its folder).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._results import publish, stamped
from hwnas.collaborate.imposed.comparison import agreement
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.commands.measure_plans import PlanMeasurement, measure_candidates
from hwnas.config import Experiment
from hwnas.workspace.links import link_of
from hwnas.workspace.progress import default_reporter
from tests.helpers.hand_made_pairs import synthetic_samples, write_pairs

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "docs" / "results" / "imposed_plans.json"
DATA = Path(os.environ.get("HWNAS_DATA") or REPOSITORY.parent / "shared" / "data") / "links"
TRACES = ("lte_nyc_subway7_downlink.csv", "5g_n78_arterial_70kmh_rtt.txt")
DOWN_MBPS = 50.0
"""Rate down beside the recorded round trips: that of the preset is more than a busy core carries."""
TOLERANCES = {"p50": 0.10, "p95": 0.15, "p99": 0.25}


def links() -> list[LinkModel]:
    """The three links."""
    constant = LinkModel("wifi-like", *map(Quantiles.constant, (34.0, 137.0, 12.0)))
    none = cast("Experiment", SimpleNamespace(links={}))
    lte, round_trips = (link_of(str(DATA / name), none, DATA) for name in TRACES)
    return [constant, lte, replace(round_trips, down_mbps=Quantiles.constant(DOWN_MBPS))]


def judged(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's errors, each within its tolerance or not."""
    errors = {name: plan["predicted_here_ms"][name] / plan["measured_ms"][name] - 1 for name in TOLERANCES}
    held = {
        name: low <= plan["measured_ms"][name] <= high
        for name, (low, high) in plan["predicted_here_intervals_ms"].items()
    }
    return {"errors": errors, "within": {name: abs(errors[name]) <= TOLERANCES[name] for name in errors}, "held": held}


def study(requests: int, slowdown: float, names: list[str]) -> dict[str, Any]:
    """All plans over all links, or those of some names; a link that cannot be imposed as planned is told."""
    result: dict[str, Any] = {"what": "hand-made plans over imposed links, predicted for this machine and measured"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        deployed, samples = write_pairs(Path(folder)), synthetic_samples()
        for link in links():
            took = measure_candidates(
                link, deployed, samples, PlanMeasurement(requests, slowdown), default_reporter(None)
            )
            plans = {one.name: one.as_dict() for one in took.compared}
            for name, plan in plans.items():
                rows.append({"link": link.name, "plan": name, **judged(plan), **plan})
                print(link.name, name, {key: round(value, 3) for key, value in rows[-1]["errors"].items()}, flush=True)
            result[link.name] = {"link": link.describe(), **took.facts, **agreement(plans, list(plans))}
    summary: dict[str, Any] = {
        f"{name}_within_{tolerance:.0%}": sum(row["within"][name] for row in rows)
        for name, tolerance in TOLERANCES.items()
    }
    summary |= {f"{name}_in_90_percent_interval": sum(row["held"][name] for row in rows) for name in TOLERANCES}
    summary["requests_in_90_percent_band"] = float(np.mean([row["within_band"] for row in rows]))
    return {**result, "settings": len(rows), **summary, "rows": rows}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=150, help="of each plan over each link")
    parser.add_argument("--edge-slowdown", type=float, default=40.0, help="of the edge's computing")
    parser.add_argument("--link", action="append", default=[], help="name of a link, in place of all")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    options = parser.parse_args()
    publish(stamped(study(options.requests, options.edge_slowdown, options.link)), RESULTS if options.json else None)


if __name__ == "__main__":
    main()
