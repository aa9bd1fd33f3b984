"""The verbs of hwnas, each a function: what the command line calls, and Python can.

A verb's module is imported when the verb is first used, so that `hwnas cost` does not wait for what a search needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.commands.adapt import adapt as adapt
    from hwnas.commands.bench import bench as bench
    from hwnas.commands.bench import bench_space as bench_space
    from hwnas.commands.bench_remote import bench_hosts as bench_hosts
    from hwnas.commands.bench_remote import pack as pack
    from hwnas.commands.check_operator import certify as certify
    from hwnas.commands.compare import compare as compare
    from hwnas.commands.compare import write_comparison as write_comparison
    from hwnas.commands.cost import cost as cost
    from hwnas.commands.dashboard import dashboard as dashboard
    from hwnas.commands.deploy import export_plan as export_plan
    from hwnas.commands.doctor import doctor as doctor
    from hwnas.commands.draw_network import draw_network as draw_network
    from hwnas.commands.export import export as export
    from hwnas.commands.fidelity import fidelity as fidelity
    from hwnas.commands.open_network import open_network as open_network
    from hwnas.commands.plan import plan as plan
    from hwnas.commands.plan_edge_cloud import plan_edge_cloud as plan_edge_cloud
    from hwnas.commands.quantize import quantize as quantize
    from hwnas.commands.report import report as report
    from hwnas.commands.resolve import solve as solve
    from hwnas.commands.resolve import solve_tiers as solve_tiers
    from hwnas.commands.run import run as run
    from hwnas.commands.schema import schema_text as schema_text
    from hwnas.commands.score import score as score
    from hwnas.commands.search import search as search
    from hwnas.commands.serve import serve as serve
    from hwnas.commands.serve_storage import serve_storage as serve_storage
    from hwnas.commands.shipped import shipped as shipped
    from hwnas.commands.show_fronts import fronts as fronts
    from hwnas.commands.show_fronts import solved_facts as solved_facts
    from hwnas.commands.show_space import space_facts as space_facts
    from hwnas.commands.successive_halving import halving as halving
    from hwnas.commands.tables import import_table as import_table
    from hwnas.commands.tables import lint as lint
    from hwnas.commands.tables import merge as merge
    from hwnas.commands.train import train as train
    from hwnas.commands.validate_table import check as check
    from hwnas.commands.verify import put_under_load as put_under_load
    from hwnas.commands.verify import sign as sign
    from hwnas.commands.verify import verify as verify
    from hwnas.problem.feasibility import feasible as feasible
    from hwnas.workspace.spaces import open_space as open_space
    from hwnas.workspace.workspace import open_run as open_run

_VERBS = {  # name -> "module:attribute"; the block above says the same to type checkers
    "adapt": "hwnas.commands.adapt:adapt",
    "bench": "hwnas.commands.bench:bench",
    "bench_hosts": "hwnas.commands.bench_remote:bench_hosts",
    "bench_space": "hwnas.commands.bench:bench_space",
    "certify": "hwnas.commands.check_operator:certify",
    "check": "hwnas.commands.validate_table:check",
    "dashboard": "hwnas.commands.dashboard:dashboard",
    "compare": "hwnas.commands.compare:compare",
    "doctor": "hwnas.commands.doctor:doctor",
    "cost": "hwnas.commands.cost:cost",
    "draw_network": "hwnas.commands.draw_network:draw_network",
    "export": "hwnas.commands.export:export",
    "export_plan": "hwnas.commands.deploy:export_plan",
    "fidelity": "hwnas.commands.fidelity:fidelity",
    "feasible": "hwnas.problem.feasibility:feasible",
    "fronts": "hwnas.commands.show_fronts:fronts",
    "import_table": "hwnas.commands.tables:import_table",
    "halving": "hwnas.commands.successive_halving:halving",
    "lint": "hwnas.commands.tables:lint",
    "merge": "hwnas.commands.tables:merge",
    "open_network": "hwnas.commands.open_network:open_network",
    "open_run": "hwnas.workspace.workspace:open_run",
    "open_space": "hwnas.workspace.spaces:open_space",
    "pack": "hwnas.commands.bench_remote:pack",
    "plan": "hwnas.commands.plan:plan",
    "plan_edge_cloud": "hwnas.commands.plan_edge_cloud:plan_edge_cloud",
    "quantize": "hwnas.commands.quantize:quantize",
    "report": "hwnas.commands.report:report",
    "run": "hwnas.commands.run:run",
    "schema_text": "hwnas.commands.schema:schema_text",
    "score": "hwnas.commands.score:score",
    "search": "hwnas.commands.search:search",
    "serve": "hwnas.commands.serve:serve",
    "serve_storage": "hwnas.commands.serve_storage:serve_storage",
    "shipped": "hwnas.commands.shipped:shipped",
    "solve": "hwnas.commands.resolve:solve",
    "solve_tiers": "hwnas.commands.resolve:solve_tiers",
    "solved_facts": "hwnas.commands.show_fronts:solved_facts",
    "space_facts": "hwnas.commands.show_space:space_facts",
    "write_comparison": "hwnas.commands.compare:write_comparison",
    "view": "hwnas.commands.show_space:view",
    "train": "hwnas.commands.train:train",
    "put_under_load": "hwnas.commands.verify:put_under_load",
    "sign": "hwnas.commands.verify:sign",
    "verify": "hwnas.commands.verify:verify",
}


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module `hwnas.pipeline` has no `{name}`")
    module, attribute = _VERBS[name].split(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value
