"""NAS-Bench-201's strings: `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|`.

A group for each node after the input; in it, for each node before, the operation of the edge and the node it leaves.
Source: D-X-Y/AutoDL-Projects (Dong and Yang, ICLR 2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hwnas.cell import EDGES, KNOBS, OPERATIONS
from hwnas.errors import SpaceError, did_you_mean
from hwnas.notation import Notation
from hwnas.ops import Operator, Shape
from hwnas.space import Architecture, Choice, Space, Value

_FORM = "|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|"


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture that stands for the network of a string."""
    cell = dict(zip(KNOBS, _operations(raw, where), strict=True))

    def pick(choice: Choice) -> Value:
        if choice.name not in cell:
            raise _error(
                f"the choice `{choice.name}` has no place in a string", where, "A string decides the six edges"
            )
        return choice.option(cell[choice.name], where=f"{where}: `{choice.name}`")

    return space.sample(pick)


def write(space: Space, architecture: Architecture) -> str:
    """The string of an architecture, with `none` where its cell has no edge."""
    picks = dict(architecture.picks)
    fixed = {name: options[0] for name, options in space.shared.items()}
    groups: dict[int, list[str]] = {}
    for (node, source), knob in zip(EDGES, KNOBS, strict=True):
        groups.setdefault(node, []).append(f"{picks.get(knob, fixed.get(knob))}~{source}")
    return "+".join(f"|{'|'.join(group)}|" for group in groups.values())


def as_written(raw: Any, links: Iterable[tuple[Operator, Shape]]) -> dict[str, int]:
    """Return a string's costs as in the project's tables: dead edges count as well, because the original builds them.

    `params` and `macs` are counted as everywhere in hwnas, `flops` as the published ones are (`hwnas.ops.torchstat`).
    """
    edges = Counter(_operations(raw, "as_written"))
    total = Counter[str]()
    for (operator, shape), times in Counter(links).items():
        for counts, repeats in _parts(operator, shape, edges):
            for name, value in counts.items():
                total[name] += times * repeats * value
    return dict(total)


def _parts(operator: Operator, shape: Shape, edges: Mapping[str, int]) -> Iterable[tuple[Mapping[str, int], int]]:
    """Return the operator's counts, once; of a cell, those of each operation written on its edges, and how often."""
    if operator.kind == "cell":
        return [(_edge(operation, operator.in_channels, shape), repeats) for operation, repeats in edges.items()]
    return [(_counts(operator, shape), 1)]


@cache
def _edge(operation: str, channels: int, shape: Shape) -> Mapping[str, int]:
    """Return the counts of an operation in a cell that has no other."""
    from hwnas.ops.cell import Cell

    return _counts(Cell(channels, channels, **{**dict.fromkeys(KNOBS, "none"), "edge_3_0": operation}), shape)


@cache
def _counts(operator: Operator, shape: Shape) -> Mapping[str, int]:
    from hwnas.ops.costs import operator_costs
    from hwnas.ops.count_cache import counted_once

    costs = operator_costs(operator, shape)
    (flops,) = counted_once("torchstat", operator, shape, _torchstat)
    return {"params": costs.params, "macs": costs.macs, "flops": flops}


def _torchstat(operator: Operator, shape: Shape) -> tuple[int]:
    from hwnas.ops.torchstat import torchstat_flops

    return (torchstat_flops(operator.module(), shape),)


def _operations(raw: Any, where: str) -> tuple[str, ...]:
    """Return the operations of the six edges, in the order of the string."""
    if not isinstance(raw, str):
        raise _error(f"a {type(raw).__name__} is no string of NAS-Bench-201", where, f"The form is {_FORM}")
    groups = raw.strip().split("+")
    nodes = sorted({node for node, _ in EDGES})
    if len(groups) != len(nodes):
        raise _error(
            f"the string has {len(groups)} of {len(nodes)} groups",
            where,
            f"It has one for each of nodes 1 to 3: {_FORM}",
        )
    return tuple(op for node, group in zip(nodes, groups, strict=True) for op in _group(group, node, where))


def _group(group: str, node: int, where: str) -> Iterator[str]:
    entries = group.strip().removeprefix("|").removesuffix("|").split("|")
    sources = [source for entered, source in EDGES if entered == node]
    if group.strip() != f"|{'|'.join(entries)}|" or len(entries) != len(sources):
        problem = f"the group `{group}` of node {node} does not hold {len(sources)} edges between bars"
        raise _error(problem, where, f"Node {node} has an edge from each node before it: {_FORM}")
    for entry, source in zip(entries, sources, strict=True):
        operation, _, left = entry.rpartition("~")
        if left != str(source):
            problem = f"`{entry}` stands where node {node} has its edge from node {source}"
            raise _error(problem, where, f"It ends with `~{source}`")
        if operation not in OPERATIONS:
            problem = f"unknown operation `{operation}` on the edge from node {source} to node {node}"
            raise _error(problem, where, did_you_mean(operation, OPERATIONS))
        yield operation


def _error(problem: str, where: str, allowed: str) -> SpaceError:
    return SpaceError(problem, where=where, allowed=allowed, do="Correct the string")


NAS_BENCH_201 = Notation(read, write, as_written)
