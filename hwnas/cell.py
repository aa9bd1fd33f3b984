"""The cell of NAS-Bench-201 as a graph: which of its edges live, and which cells are the same network. No torch here.

A cell has four nodes: 0 is the input, 3 the output, and a node is the sum of the edges that enter it.
Source: Dong and Yang, ICLR 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from statistics import fmean
from typing import cast

from hwnas.errors import SpaceError, did_you_mean

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(node that is entered, node that is left), in the order in which a string writes them."""
KNOBS = tuple(f"edge_{node}_{source}" for node, source in EDGES)
OPERATIONS = ("skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
"""Operations of an edge, from small to large. `none` is not the first: a cell of six would have no path."""

Cell = tuple[str, ...]
"""Operation for each of `EDGES`."""
Terms = tuple[object, ...]
"""Summands of a node; equal tuples are equal sums. Empty: nothing reaches the node."""


def live(cell: Cell) -> Cell:
    """Return the cell with `none` on every edge that nothing reaches, or that leads nowhere."""
    joined = [edge for edge, operation in zip(EDGES, cell, strict=True) if operation != "none"]
    reached, useful = {0}, {3}
    for node, source in joined:  # sources stand before what they reach
        if source in reached:
            reached.add(node)
    for node, source in reversed(joined):
        if node in useful:
            useful.add(source)
    return tuple(
        operation if source in reached and node in useful else "none"
        for (node, source), operation in zip(EDGES, cell, strict=True)
    )


def form(cell: Cell) -> Terms:
    """Return terms that are equal for two cells if, and only if, both do the same operations on the same sums.

    Skip connections only carry sums on and inner nodes have no names, so neither shows. What an operation computes may
    enter more than one sum; two operations of one kind on one sum are still two, with weights and time of their own.
    Only what enters node 1 can be used twice (node 2 has one way out), so a mark on it tells the two cases apart.
    """
    into_1, into_2, across, past, from_1, from_2 = live(cell)
    twice = across != "none" and from_1 != "none"
    source: Terms = ("input",)
    first = _through(into_1, source, twice)
    second = _sum(_through(into_2, source), _through(across, first))
    return _sum(_through(past, source), _through(from_1, first), _through(from_2, second))


def _through(operation: str, terms: Terms, twice: bool = False) -> Terms:
    carried: Mapping[str, Terms] = {"none": (), "skip_connect": terms}
    return carried.get(operation, ((operation, twice, terms),))


def _sum(*parts: Terms) -> Terms:
    return tuple(sorted((term for part in parts for term in part), key=repr))


@cache
def _representatives() -> Mapping[Terms, Cell]:
    """Return, for each network that a cell can be, the equal cell with the fewest edges, then the smallest one."""
    cells = [cell for cell in product(OPERATIONS, repeat=len(EDGES)) if live(cell) == cell]
    cells.sort(key=lambda cell: len(EDGES) - cell.count("none"))  # stable: the product counts up from the smallest
    cheapest: dict[Terms, Cell] = {}
    for cell in cells:
        cheapest.setdefault(form(cell), cell)
    return cheapest


@cache
def representative(cell: Cell) -> Cell:
    """Return the one cell that stands for this one and all that are equal to it."""
    return _representatives()[form(cell)]


def canonical(picks: Mapping[str, int | float | str | bool]) -> dict[str, int | float | str | bool]:
    """Return the picks with those of the edges of the cell that stands for them; for a space file's `canonical`.

    Raises:
        SpaceError: an edge is not among the picks, or has another operation than `OPERATIONS`.
    """
    for knob in KNOBS:
        if picks.get(knob) not in OPERATIONS:
            raise SpaceError(
                f"`{knob}` is {picks[knob]!r}" if knob in picks else f"there is no choice `{knob}`",
                where="choices, which `canonical: hwnas.cell:canonical` maps",
                allowed=did_you_mean(picks.get(knob), OPERATIONS),
                do=f"Give `{knob}` operations of a cell, or leave `canonical` out",
            )
    return {**picks, **dict(zip(KNOBS, representative(tuple(str(picks[knob]) for knob in KNOBS)), strict=True))}


@cache
def traits(cell: Cell) -> Mapping[str, float]:
    """Return features that predict the accuracy of a cell, as `group/name`; equal networks have equal traits.

    Read off `form`, where skip connections do not show: each path from the output back to the input is a sequence of
    operations. Features are how often each sequence occurs (`paths`), and counts, extremes and means over them
    (`shape`).
    """
    paths = list(_paths(form(cell)))
    edges = Counter(representative(cell))
    result = {f"paths/{'>'.join(path) or 'skip'}": float(times) for path, times in Counter(paths).items()}
    result |= {f"shape/edges {operation}": float(edges[operation]) for operation in OPERATIONS}
    result |= {"shape/paths": float(len(paths)), "shape/skips": float(paths.count(())), "shape/dead": float(not paths)}
    result["shape/a skip"] = float(() in paths)
    result["shape/pools alone"] = float(sum(bool(path) and set(path) == {"avg_pool_3x3"} for path in paths))
    result["shape/without pools"] = float(sum("avg_pool_3x3" not in path for path in paths))
    for what, operations in _COUNTED_OPERATIONS.items():
        counts = [sum(operation in operations for operation in path) for path in paths] or [-1]
        result |= {f"shape/{name} {what}": float(of(counts)) for name, of in _SUMMED.items()}
    return result


_COUNTED_OPERATIONS = {"convolutions": OPERATIONS[3:], "3x3": OPERATIONS[4:], "pools": OPERATIONS[2:3]}
_SUMMED: Mapping[str, Callable[[Sequence[int]], float]] = {"most": max, "least": min, "mean": fmean, "all": sum}


def _paths(terms: Terms) -> Iterator[tuple[str, ...]]:
    """Yield the operations of each path, the output's first; one that enters two sums is on the paths of both."""
    for term in terms:
        if term == "input":
            yield ()
        else:
            operation, _, inner = cast("tuple[str, bool, Terms]", term)
            yield from ((operation, *path) for path in _paths(inner))
