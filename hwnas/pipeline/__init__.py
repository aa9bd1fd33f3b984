"""The verbs of hwnas, each a function: what the command line calls, and Python can.

A verb's module is imported when the verb is first used, so that `hwnas cost` does not wait for what a search needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.pipeline.certifying import certify as certify
    from hwnas.pipeline.checking import check as check
    from hwnas.pipeline.costs import cost as cost
    from hwnas.pipeline.dashboards import dashboard as dashboard
    from hwnas.pipeline.doctor import doctor as doctor
    from hwnas.pipeline.everything import run as run
    from hwnas.pipeline.exporting import export as export
    from hwnas.pipeline.feasibility import feasible as feasible
    from hwnas.pipeline.fidelity import fidelity as fidelity
    from hwnas.pipeline.kits import bench_hosts as bench_hosts
    from hwnas.pipeline.kits import pack as pack
    from hwnas.pipeline.ladder import ladder as ladder
    from hwnas.pipeline.reporting import report as report
    from hwnas.pipeline.schemas import schema_text as schema_text
    from hwnas.pipeline.scoring import score as score
    from hwnas.pipeline.searching import search as search
    from hwnas.pipeline.showing import space_facts as space_facts
    from hwnas.pipeline.shown import fronts as fronts
    from hwnas.pipeline.shown import solved_facts as solved_facts
    from hwnas.pipeline.solving import solve as solve
    from hwnas.pipeline.solving import solve_tiers as solve_tiers
    from hwnas.pipeline.spaces import open_space as open_space
    from hwnas.pipeline.storages import serve_storage as serve_storage
    from hwnas.pipeline.tables import import_table as import_table
    from hwnas.pipeline.tables import lint as lint
    from hwnas.pipeline.tables import merge as merge
    from hwnas.pipeline.timing import bench as bench
    from hwnas.pipeline.timing import bench_space as bench_space
    from hwnas.pipeline.training import train as train
    from hwnas.pipeline.workspace import open_run as open_run

_VERBS = {  # name -> "module:attribute"; the block above says the same to type checkers
    "bench": "hwnas.pipeline.timing:bench",
    "bench_hosts": "hwnas.pipeline.kits:bench_hosts",
    "bench_space": "hwnas.pipeline.timing:bench_space",
    "certify": "hwnas.pipeline.certifying:certify",
    "check": "hwnas.pipeline.checking:check",
    "dashboard": "hwnas.pipeline.dashboards:dashboard",
    "doctor": "hwnas.pipeline.doctor:doctor",
    "cost": "hwnas.pipeline.costs:cost",
    "export": "hwnas.pipeline.exporting:export",
    "fidelity": "hwnas.pipeline.fidelity:fidelity",
    "feasible": "hwnas.pipeline.feasibility:feasible",
    "fronts": "hwnas.pipeline.shown:fronts",
    "import_table": "hwnas.pipeline.tables:import_table",
    "ladder": "hwnas.pipeline.ladder:ladder",
    "lint": "hwnas.pipeline.tables:lint",
    "merge": "hwnas.pipeline.tables:merge",
    "open_run": "hwnas.pipeline.workspace:open_run",
    "open_space": "hwnas.pipeline.spaces:open_space",
    "pack": "hwnas.pipeline.kits:pack",
    "report": "hwnas.pipeline.reporting:report",
    "run": "hwnas.pipeline.everything:run",
    "schema_text": "hwnas.pipeline.schemas:schema_text",
    "score": "hwnas.pipeline.scoring:score",
    "search": "hwnas.pipeline.searching:search",
    "serve_storage": "hwnas.pipeline.storages:serve_storage",
    "solve": "hwnas.pipeline.solving:solve",
    "solve_tiers": "hwnas.pipeline.solving:solve_tiers",
    "solved_facts": "hwnas.pipeline.shown:solved_facts",
    "space_facts": "hwnas.pipeline.showing:space_facts",
    "view": "hwnas.pipeline.showing:view",
    "train": "hwnas.pipeline.training:train",
}


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module `hwnas.pipeline` has no `{name}`")
    module, attribute = _VERBS[name].split(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value
