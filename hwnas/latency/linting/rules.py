"""Rows against rows: larger but faster, and copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from hwnas.latency.linting.findings import Finding, Observed, finding

UNKNOWN_SPREAD = 0.05
"""Share by which a larger operator may be faster where the noise is not known."""
LEAST_SPREAD = 0.01
GROWING = ("kernel", "expand", "in_channels", "out_channels", "features", "hidden", "height", "width", "resolution")
"""Knobs and sizes that an operator should not become faster by."""
DERIVED_SIZES = frozenset({"out_height", "out_width"})
MIN_COPIES = 10
"""Number of equal values from which on single published numbers that agree in two files count as copied."""


def faster_though_larger(observed: Sequence[Observed]) -> Iterator[Finding]:
    """Yield findings about operators that are equal but for one knob or size, the larger one faster beyond noise than
    the next smaller."""
    facts = [_comparable(one.facts) for one in observed]
    for name in GROWING:
        groups: dict[Any, list[Observed]] = defaultdict(list)
        for one, known in zip(observed, facts, strict=True):
            if isinstance(known.get(name), int | float):
                groups[frozenset((k, str(v)) for k, v in known.items() if k != name)].append(one)
        for group in groups.values():
            yield from _falls(name, group)


def _falls(name: str, group: list[Observed]) -> Iterator[Finding]:
    sized = sorted(((_comparable(one.facts)[name], one) for one in group), key=lambda pair: pair[0])
    for (small, before), (large, after) in pairwise(sized):
        if large > small and after.ms < before.ms * (1 - _noise(before, after)):
            less = f"{1 - after.ms / before.ms:.0%} less than with {name} {small} instead of {large}"
            what = f"{after.about}: {after.ms:.4g} ms, {less} ({before.ms:.4g} ms, {before.where})"
            yield finding("faster-though-larger", after.where, what)


def _noise(one: Observed, other: Observed) -> float:
    """Return the share by which two times of equal operators may differ."""
    if one.spread is None or other.spread is None:
        return max(UNKNOWN_SPREAD, one.spread or 0, other.spread or 0)
    return max(LEAST_SPREAD, one.spread + other.spread)


def _comparable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts to compare: a square input has one size, and blocks with equal widths at both ends, which have a
    shortcut, stay apart."""
    known = {name: value for name, value in facts.items() if name not in DERIVED_SIZES}
    if "height" in known and known["height"] == known.get("width"):
        known["resolution"] = known.pop("height")
        del known["width"]
    if "in_channels" in known and "out_channels" in known:
        known["shortcut"] = known["in_channels"] == known["out_channels"]
    return known


def copies(tables: Sequence[Sequence[Observed]]) -> Iterator[Finding]:
    """Yield findings about samples that occur twice: of two operators, of two set-ups, or the same observation in two
    files."""
    alike: dict[tuple[float, ...], list[tuple[int, Observed]]] = defaultdict(list)
    shared: dict[tuple[int, int], list[Observed]] = defaultdict(list)
    for number, table in enumerate(tables):
        for one in table:
            if len(one.samples) > 1:
                alike[one.samples].append((number, one))
    for (first, original), *others in alike.values():
        for number, one in others:
            if one.subject != original.subject or one.setup != original.setup:
                yield finding("copied", one.where, f"{one.about}: the samples of {original.about}, {original.where}")
            elif number != first:
                shared[first, number].append(one)
    for (first, number), same in shared.items():
        yield _same(tables[first][0].where, tables[number], same)
    for first, number in combinations(range(len(tables)), 2):
        yield from _single_values(tables[first], tables[number])


def _same(other: str, table: Sequence[Observed], same: Sequence[Observed]) -> Finding:
    what = f"{len(same)} of {len(table)} observations stand in {other.rpartition(':')[0]} too"
    return finding("same", same[0].where, what)


def _single_values(table: Sequence[Observed], other: Sequence[Observed]) -> Iterator[Finding]:
    """Yield a finding if a published table copies another: they hold one number a row, so only many equal ones
    count."""
    known = {one.subject: one for one in table if len(one.samples) < 2}
    pairs = [(known[one.subject], one) for one in other if len(one.samples) < 2 and one.subject in known]
    same = [one for original, one in pairs if original.ms == one.ms]
    if len(same) >= MIN_COPIES and 2 * len(same) > len(pairs):
        if same[0].setup is not None and same[0].setup == table[0].setup:
            yield _same(table[0].where, other, same)
            return
        file = table[0].where.rpartition(":")[0]
        yield finding("copied", same[0].where, f"{len(same)} of {len(pairs)} values are those of {file}")
