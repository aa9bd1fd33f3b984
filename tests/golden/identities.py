"""Identities of all that is kept: architecture keys, row keys, names of model files, studies.

`python -m tests.golden.identities` writes them anew. That is never needed but for a new space: a change of what stands
there breaks the tables, scores and studies of every user.
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from hwnas.export import format_of
from hwnas.latency.building.model_files import ModelFile, _planned
from hwnas.measure.table import check_key, check_line
from hwnas.network import costs, lower
from hwnas.pareto import Limit, Objective, Tier
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.setup import Setup
from hwnas.search.study_spec import StudySpec
from hwnas.space import AnySpace, Architecture, FunctionSpace
from tests.helpers import tiny, traced_nets

FILE = Path(__file__).with_name("identities.json")
TRACED = ("plain", "sequential")


def identities() -> dict[str, Any]:
    """Compute all identities with the code as it is."""
    spaces: dict[str, AnySpace] = {name: tiny.tiny(name) for name in tiny.SPACES}
    digits = spaces["digits"]
    return {
        "networks": {name: _networks(space) for name, space in spaces.items()},
        "study": _plan(digits).digest,
        "files": _files(digits),
        "traced": {"python": _python(), **{name: _networks(_traced(name)) for name in TRACED}},
    }


def _python() -> str:
    """Traced networks are told apart by bytecode, which each Python has of its own."""
    return ".".join(platform.python_version_tuple()[:2])


def _traced(name: str) -> FunctionSpace:
    return FunctionSpace(name, getattr(traced_nets, name), source="traced_nets.py")


def _architectures(space: AnySpace) -> Sequence[Architecture]:
    rng = random.Random(0)
    return [space.smallest(), space.largest(), *(space.random(rng) for _ in range(3))]


def _networks(space: AnySpace) -> list[list[str | int]]:
    """Architecture key, digest of the rows' keys, digest of the table's line, parameters and MACs of some networks."""
    rows: list[list[str | int]] = []
    for architecture in _architectures(space):
        network = lower(space, architecture)
        total, line = costs(network), json.dumps(check_line(network), sort_keys=True)
        rows.append([architecture.key, _short(repr(check_key(network))), _short(line), total.params, total.macs])
    return rows


def _plan(space: AnySpace) -> StudySpec:
    tier = Tier(
        "edge",
        (Objective("top1@inherited", "max"), Objective("latency_ms@board", "min")),
        (Limit("latency_ms@board:p90", 2.5), Limit("params", 1e5), Limit("top1@inherited", 0.5, "least")),
    )
    producers = {"top1@inherited": "weights 0123", "latency_ms@board": "0123456789ab"}
    return StudySpec(space, tier, "nsga2", 20, 3, producers, first=(space.smallest(), space.largest()))


def _files(space: AnySpace) -> dict[str, str]:
    """The names of the files of one operator, by runtime."""
    network = lower(space, space.smallest())
    operator, shape = next(iter(network.links))
    target = ModelFile("stem", operator.module, shape, "key")
    names = {}
    with mock.patch.object(torch, "__version__", "0"):
        for runtime in RUNTIMES:
            export = format_of(runtime).exporter
            planned = _planned(target, Setup("cpu", runtime, "0"), ".bin", export, Path())
            assert isinstance(planned, Path)
            names[runtime] = planned.name
    return names


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    FILE.write_text(json.dumps(identities(), indent=1) + "\n")
