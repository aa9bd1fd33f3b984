"""Costs of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.commands.picked_network import is_run, picked_network
from hwnas.io.resources import find_file
from hwnas.measure.table_lines import input_form
from hwnas.network import Network, costs, known_operators, lower
from hwnas.notation import counted_as_written, write_architecture
from hwnas.ops import Operator, Shape
from hwnas.space import AnySpace
from hwnas.workspace.architectures import check_named, named_architecture
from hwnas.workspace.progress import Reporter
from hwnas.workspace.spaces import open_space

if TYPE_CHECKING:
    from hwnas.latency.model import OperatorTime
    from hwnas.latency.rows import Missing
    from hwnas.measure.table import LatencyTable

CALL: Mapping[str, Any] = {
    "slot": "call",
    "op": "overhead",
    "knobs": {},
    "input": [],
    "output": [],
    "params": 0,
    "macs": 0,
    "activation_bytes": 0,
}
"""The entry of what a call costs beside its operators."""


def operator_entries(network: Network, times: Sequence[OperatorTime] = ()) -> list[dict[str, Any]]:
    """Return what `hwnas cost --json` tells of each operator; with times of a table, also of what a call costs besides.

    Args:
        network: the chain of operators.
        times: what `LatencyModel.operator_times` returns of it; empty without a table.
    """
    entries = [_operator(*link) for link in zip(network.slots, network.operators, network.shapes, strict=True)]
    if not times:
        return entries
    return [{**entry, **vars(time)} for entry, time in zip([*entries, CALL], times, strict=True)]


def cost(
    space: str | Path,
    architecture: str = "largest",
    *,
    table: Path | None = None,
    missing: Missing = "error",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Return parameters, MACs, activation bytes and operators of an architecture; with a table, its latency as well.

    With a table, each entry of `operators` has what it adds (`ms`, with `low_ms` and `high_ms`) and whether the table
    lacks its row (`estimated`), and a last entry, `op: overhead`, what a call costs besides: they sum to `latency_ms`.
    The numbers are those of the network that is built. Where the project of the space counts otherwise, its numbers
    stand under `as_written`.

    Args:
        space: a space file, a shipped name, `file.py:function`, or the folder of a run that was searched.
        architecture: of a space, `largest`, `smallest`, `random:SEED`, a JSON file with `{"space", "picks"}`, such as
            an entry of a front, or in the notation of the space's project, or a string of that notation that starts
            with a bar. Of a run's folder, `TIER:PICK` such as `edge:knee`: any rule of `hwnas show --pick`, or a
            network's key in its place; the table of the tier's set-up is then the default.
        table: a latency table that holds the operators' rows, or the name of a shipped one.
        missing: `error` to refuse an operator without a row, `estimate` to infer its time from the table's rows.
        reporter: receives messages and progress; silent if left out.

    Returns:
        A dictionary that is ready for JSON; times in milliseconds, sizes in bytes, of a batch of one.

    Raises:
        ConfigError, SpaceError: the space or the architecture is invalid.
        TableError: the table lacks a row, or cannot be used.

    Example:
        >>> from hwnas import pipeline
        >>> cost = pipeline.cost("space.yaml", "smallest")
        >>> cost["params"], cost["macs"]
        (62, 104)
    """
    from hwnas.measure.table import read_table

    if is_run(space):
        opened, chosen, own_table = picked_network(Path(space), architecture)
        form, table = None, own_table if table is None else table
    else:
        check_named(architecture)
    priced = None if table is None else read_table(find_file(table, "latency_tables"))
    if not is_run(space):
        opened, _ = open_space(space, reporter=reporter)
        chosen, form = named_architecture(opened, architecture)
    network = lower(opened, chosen)
    total = costs(network)
    result: dict[str, Any] = {
        "space": opened.name,
        "key": chosen.key,
        "architecture": chosen.as_dict(),
        "notation": (written := write_architecture(opened, chosen)),
        "input": input_form(network.input_shape),
        "params": total.params,
        "macs": total.macs,
        "activation_bytes": total.activation_bytes,
        "operators": operator_entries(network),
    }
    if (counted := counted_as_written(opened, written if form is None else form, network.links)) is not None:
        result["as_written"] = dict(counted)
    if priced is None:
        return result
    latency, times = _latency(priced, opened, network, missing)
    return result | latency | {"operators": operator_entries(network, times)}


def _operator(slot: str, operator: Operator, shape: Shape) -> dict[str, Any]:
    from hwnas.ops.costs import operator_costs

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


def _latency(
    table: LatencyTable, space: AnySpace, network: Network, missing: Missing
) -> tuple[dict[str, Any], tuple[OperatorTime, ...]]:
    """Return the latency of the network, and what its operators and the call add to it."""
    from hwnas.latency.model import LatencyModel

    model = LatencyModel.of(table, missing=missing, operators=known_operators(space))
    estimate, times = model.predict(network), model.operator_times(network)
    facts = {
        "latency_ms": estimate.ms,
        "low_ms": estimate.low_ms,
        "high_ms": estimate.high_ms,
        "latency_origin": estimate.origin,
        "estimated_rows": estimate.estimated_rows,
        "setup": table.setup.as_dict(),
        **_others(table, space, network, missing),
    }
    return facts, times


def _others(table: LatencyTable, space: AnySpace, network: Network, missing: Missing) -> dict[str, Any]:
    """Return energy and memory, where the table holds enough measurements of them."""
    from hwnas.latency.energy_model import EnergyModel
    from hwnas.latency.memory_model import MIN_NETWORKS, PeakModel

    result: dict[str, Any] = {}
    if any(key in table.energy for key in table.rows):
        energy = EnergyModel.of(table, missing=missing, operators=known_operators(space)).predict(network)
        result |= {f"energy_{name}" if name == "origin" else name: value for name, value in vars(energy).items()}
        result["energy_mj"] = result.pop("mj")
        result.pop("estimated_rows")
    if len(table.memory) >= MIN_NETWORKS:
        peak = PeakModel.of(table, operators=known_operators(space)).predict(network)
        result |= {"peak_mb": peak.mb, "low_mb": peak.low_mb, "high_mb": peak.high_mb, "peak_origin": peak.origin}
    return result
