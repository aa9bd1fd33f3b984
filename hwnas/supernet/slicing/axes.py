"""Identities of channels: which axes of which tensors list the same things, so that one order holds for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod


@dataclass(eq=False)
class Axis:
    """Things in a row whose order may be free: channels, heads, hidden units.

    Axes that are joined list the same things. An axis that is used in two parts, such as heads times the units of a
    head, is split: each part has its own order. An axis may also be several that are joined end to end.
    """

    fixed: str | None = None
    """Reason why the order must stay; None if it need not."""
    joined: Axis | None = field(default=None, repr=False)
    parts: tuple[Axis, Axis] | None = field(default=None, repr=False)
    inner: int = 1
    """Length of the second part."""
    summands: tuple[Label, ...] = field(default=(), repr=False)
    """Labels of what is joined end to end, if anything is."""

    @property
    def root(self) -> Axis:
        axis = self
        while axis.joined is not None:
            axis = axis.joined
        return axis

    def fix(self, why: str) -> None:
        """Keep the order as it is."""
        root = self.root
        root.fixed = root.fixed or why
        for part in root.parts or ():
            part.fix(why)
        for label in root.summands:
            fix(label, why)

    def split(self, inner: int) -> tuple[Axis, Axis]:
        """Split the axis into two, the second one `inner` long; it is split only once."""
        root = self.root
        if root.summands:
            root.fix("it is joined to something and split")
        if root.parts is None:
            root.parts = Axis(root.fixed), Axis(root.fixed)
            root.inner = inner
        return root.parts


Factor = tuple[Axis | None, int]
"""Run of things on an axis: their identity (None: an order that stays) and their number."""
Label = tuple[Factor, ...]
"""One axis of a tensor, as a product of runs; empty for a length of 1."""
Labels = tuple[Label, ...]


def inert(shape: Sequence[int]) -> Labels:
    """Return the labels of a tensor whose order stays on all axes."""
    return tuple(_tidy([(None, int(size))]) for size in shape)


def fix(label: Label, why: str) -> None:
    """Keep the order of all runs of an axis."""
    _fix_all(why, *(axis for axis, _ in label))


def joined(labels: Sequence[Label]) -> Label:
    """Return the label of axes that are joined end to end."""
    return ((Axis(summands=tuple(labels)), sum(map(size_of, labels))),)


def segments(label: Label) -> list[tuple[int, Label]]:
    """Return the stretches of an axis that are joined end to end, each with its beginning; of others the whole."""
    factors = _expanded(label)
    if not factors or factors[0][0] is None or not factors[0][0].summands:
        return [(0, tuple(factors))]
    (axis, _), rest = factors[0], tuple(factors[1:])
    assert axis is not None
    start, stretches = 0, list[tuple[int, Label]]()
    for one in axis.summands:
        stretches += [(start + begin * size_of(rest), (*inner, *rest)) for begin, inner in segments(one)]
        start += size_of(one) * size_of(rest)
    return stretches


def size_of(label: Label) -> int:
    """Return the length of an axis."""
    return prod(size for _, size in label)


def unite(one: Label, other: Label) -> None:
    """Record that two axes list the same things in the same order."""
    left, right = _expanded(one), _expanded(other)
    while left and right:
        (a, n), (b, m) = left.pop(0), right.pop(0)
        if n != m and max(n, m) % min(n, m):
            _fix_all("two views of it do not fit together", a, b, *(axis for axis, _ in left + right))
            return
        if n > m:
            (a, n), rest = _divided(a, n, n // m)
            left.insert(0, rest)
        elif m > n:
            (b, m), rest = _divided(b, m, m // n)
            right.insert(0, rest)
        _join(a, b)


def regrouped(labels: Iterable[Label], shape: Sequence[int]) -> Labels | None:
    """Return the labels of the same things under another shape; None if its axes cut across runs."""
    left = [factor for label in labels for factor in _expanded(label)]
    result: list[Label] = []
    for size in shape:
        taken: list[Factor] = []
        need = int(size)
        while need > 1:
            if not left:
                return None
            axis, length = left.pop(0)
            if need % length == 0:
                taken.append((axis, length))
                need //= length
            elif length % need == 0:
                head, rest = _divided(axis, length, length // need)
                taken.append(head)
                left.insert(0, rest)
                need = 1
            else:
                return None
        result.append(_tidy(taken))
    return tuple(result) if not left else None


def _join(one: Axis | None, other: Axis | None) -> None:
    if one is None or other is None:
        _fix_all("it meets something whose order stays", one, other)
        return
    a, b = one.root, other.root
    if a is b:
        return
    if _holds(a, b) or _holds(b, a):
        _fix_all("it is tied to a part of itself", a, b)
        return
    if a.summands or b.summands:
        _join_sums(a, b)
        return
    if a.parts is None:
        a, b = b, a
    if a.parts is not None and b.parts is not None:
        if a.inner != b.inner:
            _fix_all("it is split into runs of two lengths", a, b)
            return
        for part, twin in zip(a.parts, b.parts, strict=True):
            _join(part, twin)
    why = a.fixed or b.fixed
    b.joined = a
    if why:
        a.fix(why)


def _join_sums(a: Axis, b: Axis) -> None:
    """Record that two axes, of which at least one is joined of several, list the same things."""
    if not a.summands:
        a, b = b, a
    if b.parts is not None or (b.summands and [*map(size_of, a.summands)] != [*map(size_of, b.summands)]):
        _fix_all("it is joined to something in two ways", a, b)
        return
    for one, other in zip(a.summands, b.summands, strict=False):  # of a plain axis there are none
        unite(one, other)
    b.joined = a
    if why := a.fixed or b.fixed:
        a.fix(why)


def _fix_all(why: str, *axes: Axis | None) -> None:
    for axis in axes:
        if axis is not None:
            axis.fix(why)


def _holds(whole: Axis, part: Axis) -> bool:
    inner = [axis for label in whole.root.summands for axis, _ in label if axis is not None]
    return any(one.root is part or _holds(one.root, part) for one in (*(whole.root.parts or ()), *inner))


def _expanded(label: Label) -> list[Factor]:
    """Return the label with every split axis replaced by its parts."""
    factors: list[Factor] = []
    for axis, size in label:
        root = axis.root if axis is not None else None
        if root is None or root.parts is None:
            factors.append((root, size))
        elif size % root.inner and root.inner % size:
            root.fix("it is cut within a run")
            factors.append((None, size))
        else:
            within = min(size, root.inner)
            outer, inner = root.parts
            factors += _expanded(_tidy([(outer, size // within), (inner, within)]))
    return list(_tidy(factors))


def _divided(axis: Axis | None, size: int, inner: int) -> tuple[Factor, Factor]:
    if axis is None:
        return (None, size // inner), (None, inner)
    outer, within = axis.split(inner)
    return (outer, size // inner), (within, inner)


def _tidy(factors: Iterable[Factor]) -> Label:
    """Return the factors without runs of one, neighbours whose order stays joined to one run."""
    result: list[Factor] = []
    for axis, size in factors:
        if size == 1:
            continue
        if axis is None and result and result[-1][0] is None:
            result[-1] = None, result[-1][1] * size
        else:
            result.append((axis, size))
    return tuple(result)


def runs(axis: Axis, size: int) -> list[tuple[Axis, int]]:
    """Return the runs that an axis of a whole parameter consists of; one that cannot be divided stays as it is."""
    parts = [(part, length) for part, length in _expanded(((axis, size),)) if part is not None]
    return parts if prod(length for _, length in parts) == size else [(axis.root, size)]
