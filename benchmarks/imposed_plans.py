"""Six plans over imposed links, predicted and measured, in a dozen settings: links and slower edges.

    python benchmarks/imposed_plans.py --json                       # 12 minutes, as root; writes to docs/results/
    python benchmarks/imposed_plans.py --setting wifi-like-x40 --requests 50

The plans are hand-made pairs of random networks, whose requests send from nothing to 48 KB: the edge is made slower on
purpose. Both sides run on this machine. The links do not vary, or are recorded rates of LTE, or recorded round trips of
5G; the records are those of the shared data (`HWNAS_DATA` names its folder). A setting leaves the machine idle nine
tenths of the time, so that several are measured at the same time, each over a link and in namespaces of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._results import publish, stamped
from hwnas.collaborate.imposed.comparison import agreement
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.commands.measure_plans import PlanMeasurement, measure_candidates
from hwnas.config import Experiment
from hwnas.workspace.links import link_of
from hwnas.workspace.progress import default_reporter
from tests.helpers.hand_made_pairs import evenly_escalating, write_pairs

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "docs" / "results" / "imposed_plans.json"
DATA = Path(os.environ.get("HWNAS_DATA") or REPOSITORY.parent / "shared" / "data") / "links"
DOWN_MBPS = 50.0
"""Rate down beside the recorded round trips: that of the preset is more than a busy core carries."""
TOLERANCES = {"p50": 0.10, "p95": 0.15, "p99": 0.25}
AT_ONCE = 4


@dataclass(frozen=True)
class Setting:
    """A link, and how many times slower than this machine the edge is."""

    link: str
    slowdown: float

    @property
    def name(self) -> str:
        """Name of the setting."""
        return f"{self.link}-x{self.slowdown:g}"


CONSTANT = {"wifi-like": (34.0, 137.0, 12.0), "cable-like": (10.6, 27.1, 20.0)}
SETTINGS = [  # the longest first
    Setting("lte_nyc_subway7_downlink.csv", 40),
    Setting("lte_nyc_bus57_downlink.csv", 150),
    Setting("lte", 40),
    Setting("5g_n8_strong_to_weak_rtt.txt", 150),
    Setting("5g_n78_arterial_70kmh_rtt.txt", 150),
    Setting("5g_n78_urban_standing_rtt.txt", 150),
    Setting("wifi-like", 150),
    Setting("5g_n78_arterial_70kmh_rtt.txt", 40),
    Setting("5g_n78_urban_standing_rtt.txt", 40),
    Setting("cable-like", 40),
    Setting("wifi-like", 40),
    Setting("wifi-like", 10),
]


def link_named(name: str) -> LinkModel:
    """A link that does not vary, a preset, or one of the records."""
    if name in CONSTANT:
        return LinkModel(name, *map(Quantiles.constant, CONSTANT[name]))
    if name in PRESETS:
        return LinkModel.of_preset(name, PRESETS[name])
    link = link_of(str(DATA / name), cast("Experiment", SimpleNamespace(links={})), DATA)
    return link if link.series.rtt is None else replace(link, down_mbps=Quantiles.constant(DOWN_MBPS))


def judged(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's errors, each within its tolerance or not."""
    errors = {name: plan["predicted_here_ms"][name] / plan["measured_ms"][name] - 1 for name in TOLERANCES}
    held = {
        name: low <= plan["measured_ms"][name] <= high
        for name, (low, high) in plan["predicted_here_intervals_ms"].items()
    }
    return {"errors": errors, "within": {name: abs(errors[name]) <= TOLERANCES[name] for name in errors}, "held": held}


def measure(setting: Setting, requests: int) -> dict[str, Any]:
    """All plans in one setting."""
    link = link_named(setting.link)
    with tempfile.TemporaryDirectory() as folder:
        deployed = write_pairs(Path(folder))
        samples = evenly_escalating(Path(folder))
        took = measure_candidates(
            link, deployed, samples, PlanMeasurement(requests, setting.slowdown), default_reporter(None)
        )
    plans = {one.name: one.as_dict() for one in took.compared}
    rows = [{"setting": setting.name, "plan": name, **judged(plan), **plan} for name, plan in plans.items()]
    return {"link": link.describe(), **took.facts, **agreement(plans, list(plans)), "rows": rows}


def measure_apart(setting: Setting, requests: int, folder: Path) -> dict[str, Any]:
    """The same, in a process of its own."""
    output = folder / f"{setting.name}.json"
    command = [sys.executable, __file__, "--setting", setting.name, "--requests", str(requests), "--rows", output]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(setting.name, done.stderr[-1000:], file=sys.stderr, flush=True)
        return {"refused": done.stderr.strip().splitlines()[-1], "rows": []}
    result: dict[str, Any] = json.loads(output.read_text())
    for row in result["rows"]:
        print(setting.name, row["plan"], {k: round(v, 3) for k, v in row["errors"].items()}, file=sys.stderr)
    return result


def study(settings: Sequence[Setting], requests: int, at_once: int) -> dict[str, Any]:
    """All plans in some settings; one that cannot be imposed as planned is told."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as lanes:
        each = list(lanes.map(lambda one: measure_apart(one, requests, Path(folder)), settings))
    rows = [row for result in each for row in result.pop("rows")]
    summary: dict[str, Any] = {
        f"{name}_within_{tolerance:.0%}": sum(row["within"][name] for row in rows)
        for name, tolerance in TOLERANCES.items()
    }
    summary |= {f"{name}_in_90_percent_interval": sum(row["held"][name] for row in rows) for name in TOLERANCES}
    summary["requests_in_90_percent_band"] = float(np.mean([row["within_band"] for row in rows]))
    measured = [result for result in each if "refused" not in result]
    return {
        "what": "hand-made plans over imposed links, predicted for this machine and measured",
        "settings": len(measured),
        "winner_as_planned": sum(result["planned_winner"] == result["measured_winner"] for result in measured),
        "winner_within_5%": sum(result["agrees"] for result in measured),
        "plans": len(rows),
        **summary,
        "measured_at_once": at_once,
        "each": {setting.name: result for setting, result in zip(settings, each, strict=True)},
        "rows": rows,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200, help="of each plan in each setting")
    parser.add_argument(
        "--setting", action="append", choices=[one.name for one in SETTINGS], metavar="NAME", help="in place of all"
    )
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="settings that are measured at the same time")
    parser.add_argument("--rows", type=Path, help="file of one setting's rows; for the benchmark itself")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    options = parser.parse_args()
    settings = [one for one in SETTINGS if one.name in (options.setting or [one.name])]
    if options.rows:
        options.rows.write_text(json.dumps(measure(settings[0], options.requests)))
        return
    publish(stamped(study(settings, options.requests, options.at_once)), RESULTS if options.json else None)


if __name__ == "__main__":
    main()
