"""What one architecture costs, and what a space holds."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import SpaceError, reason
from hwnas.network import Network, costs, known_operators, lower
from hwnas.notation import counted_as_written, read_architecture, write_architecture
from hwnas.ops import Operator, Shape
from hwnas.ops.costs import operator_costs
from hwnas.pipeline.spaces import open_space
from hwnas.shipped import find_file
from hwnas.space import AnySpace, Architecture

if TYPE_CHECKING:
    from hwnas.latency.rows import Missing
    from hwnas.latency.table import LatencyTable


def cost(
    space: str | Path, architecture: str = "largest", *, table: Path | None = None, missing: Missing = "refuse"
) -> dict[str, Any]:
    """Parameters, MACs, activation bytes and operators of an architecture; with a table, its latency as well.

    What is told is of the network that is built. Where the project of the space counts otherwise, its numbers
    stand under `as_written`.

    Args:
        space: a space file, a shipped name, or `file.py:function`.
        architecture: `largest`, `smallest`, `random:SEED`, a JSON file with `{"space", "picks"}`, such as an entry of
            a front, or in the notation of the space's project, or a string of that notation that starts with a bar.
        table: a latency table that holds the operators' rows, or the name of a shipped one.
        missing: whether an operator without a row is an error, or is estimated from the table's rows.
    """
    opened, _ = open_space(space)
    chosen, form = _given(opened, architecture)
    network = lower(opened, chosen)
    total = costs(network)
    found: dict[str, Any] = {
        "space": opened.name,
        "key": chosen.key,
        "architecture": chosen.as_dict(),
        "notation": (written := write_architecture(opened, chosen)),
        "input": list(network.input_shape),
        "params": total.params,
        "macs": total.macs,
        "activation_bytes": total.activation_bytes,
        "operators": [_operator(*link) for link in zip(network.slots, network.operators, network.shapes, strict=True)],
    }
    if (counted := counted_as_written(opened, written if form is None else form, network.links)) is not None:
        found["as_written"] = dict(counted)
    return found | (_latency(table, opened, network, missing) if table is not None else {})


def _operator(slot: str, operator: Operator, shape: Shape) -> dict[str, Any]:
    part = operator_costs(operator, shape)
    return {
        "slot": slot,
        "op": operator.kind,
        "knobs": operator.knobs,
        "input": list(shape),
        "output": list(part.output_shape),
        "params": part.params,
        "macs": part.macs,
        "activation_bytes": part.activation_bytes,
    }


def _latency(path: Path, space: AnySpace, network: Network, missing: Missing) -> dict[str, Any]:
    from hwnas.latency.model import LatencyModel
    from hwnas.latency.table import read_table

    table = read_table(find_file(path, "latency_tables"))
    estimate = LatencyModel.of(table, missing=missing, operators=known_operators(space)).predict(network)
    return {
        "latency_ms": estimate.ms,
        "low_ms": estimate.low_ms,
        "high_ms": estimate.high_ms,
        "latency_origin": estimate.origin,
        "estimated_rows": estimate.estimated_rows,
        "setup": table.setup.as_dict(),
        **_others(table, space, network, missing),
    }


def _others(table: LatencyTable, space: AnySpace, network: Network, missing: Missing) -> dict[str, Any]:
    """Energy and memory, where the table tells enough of them."""
    from hwnas.latency.consumption import EnergyModel
    from hwnas.latency.peak import FEWEST, PeakModel

    found: dict[str, Any] = {}
    if any(key in table.energy for key in table.rows):
        energy = EnergyModel.of(table, missing=missing, operators=known_operators(space)).predict(network)
        found |= {f"energy_{name}" if name == "origin" else name: value for name, value in vars(energy).items()}
        found["energy_mj"] = found.pop("mj")
        found.pop("estimated_rows")
    if len(table.memory) >= FEWEST:
        peak = PeakModel.of(table, operators=known_operators(space)).predict(network)
        found |= {"peak_mb": peak.mb, "low_mb": peak.low_mb, "high_mb": peak.high_mb, "peak_origin": peak.origin}
    return found


def pick_architecture(space: AnySpace, which: str) -> Architecture:
    """The architecture that a command line names.

    Raises:
        SpaceError: it is no name, or the file does not hold an architecture of the space.
    """
    return _given(space, which)[0]


def _given(space: AnySpace, which: str) -> tuple[Architecture, Any]:
    """The architecture, and the form in its project's notation; None where it was given otherwise."""
    if which in ("largest", "smallest"):
        return space.largest() if which == "largest" else space.smallest(), None
    if seed := re.fullmatch(r"random:([0-9]+)", which):
        return space.random(random.Random(int(seed[1]))), None
    if which.lstrip().startswith("|") or (which.isdigit() and not Path(which).is_file()):
        return read_architecture(space, which, where="--architecture"), which
    raw = _read_json(which)
    raw = raw.get("architecture", raw) if isinstance(raw, dict) else raw
    own = isinstance(raw, dict) and "picks" in raw
    return architecture_of(space, raw, where=which), None if own else raw


def architecture_of(space: AnySpace, raw: Any, *, where: str) -> Architecture:
    """The architecture that JSON tells: `{"space", "picks"}`, what holds that, or the notation of the space's project.

    Raises:
        SpaceError: it does not fit the space.
    """
    raw = raw.get("architecture", raw) if isinstance(raw, dict) else raw
    own = isinstance(raw, dict) and "picks" in raw
    architecture = Architecture.from_dict(raw, where=where) if own else read_architecture(space, raw, where=where)
    lower(space, architecture)
    return architecture


def _read_json(which: str) -> Any:
    path = Path(which)
    if not path.is_file():
        raise SpaceError(
            f"`{which}` names no architecture and no file",
            where="--architecture",
            allowed="largest, smallest, random:SEED, a JSON file, or a string as '|nor_conv_3x3~0|+...' or 01201202",
            do="Use one of these",
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpaceError(
            f"the file cannot be read ({reason(error)})",
            where=str(path),
            allowed='It holds {"space": name, "picks": {...}}, or JSON in the notation of the space',
            do="Print one: `hwnas cost SPACE --architecture random:0 --json`",
        ) from error
