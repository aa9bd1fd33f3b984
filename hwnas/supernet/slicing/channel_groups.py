"""Axes of shared weights that move together: read off the operators by running them on `meta`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from hwnas.network import Network, lower, operators_by_slot
from hwnas.ops import Operator, Shape
from hwnas.ops.operator import new_module
from hwnas.space import AnySpace, Architecture
from hwnas.supernet.slicing.axes import Axis, Label, Labels, fix, inert, runs, unite
from hwnas.supernet.slicing.channel_rules import Following
from hwnas.supernet.weights import key_of
from hwnas.tasks.ends import examples, specs_of

TRACED_ARCHITECTURES = 200
"""Random architectures that show which slot follows which, beside those that differ from the largest in one choice."""
LEADING = 2
"""Axes of a parameter of which a smaller network takes the leading members; it takes the centre of all others."""


@dataclass(frozen=True)
class ParameterAxis:
    """An axis of a shared parameter as `(before, size, after)`: the things that move are the middle one."""

    parameter: str
    axis: int
    before: int
    after: int
    start: int = 0
    length: int | None = None
    """Length of the stretch that lists them, from `start`; None if the whole axis does."""

    def stretch(self, value: Tensor, axis: int | None = None) -> Tensor:
        """Return the stretch of a tensor that lists them, on the parameter's axis or another one."""
        return (
            value if self.length is None else value.narrow(self.axis if axis is None else axis, self.start, self.length)
        )


@dataclass(frozen=True)
class Group:
    """Channels, heads or hidden units: `size` of them, in all the places that list them."""

    size: int
    places: tuple[ParameterAxis, ...]
    fixed: str | None
    """Reason why their order must stay; None where it is free."""

    @property
    def name(self) -> str:
        """Its first place, as text."""
        return f"axis {self.places[0].axis} of {self.places[0].parameter}"


def elastic_groups(space: AnySpace) -> tuple[Group, ...]:
    """Return the groups of which some network takes only the leading members.

    Each operator of the space is run once on `meta`. What its operations tie is tied, through slots that follow each
    other as well; where an operation is not understood, the order stays. So does that of the network's input and of
    its classes, and that of a group of which the largest network itself takes a part.
    """
    shared = _Shared()
    links = _neighbors(space)
    ends = {slot for slot, after in links.items() if None in after}
    starts = set(links.get(None, ()))
    for slot, links_of_slot in operators_by_slot(space).items():
        for operator, shape, alone in _run(links_of_slot):
            if slot in starts:
                entering = [inert((2, *spec.shape)) for spec in specs_of(shape)]
            else:
                entering = [shared.flow(slot, shape)]
            leaving, outgoing = shared.follow(slot, operator, shape, entering)
            if not alone:  # its other forms may tie what this one does not
                shared.hold(slot, operator, (*(label for labels in entering for label in labels), *leaving))
            for after in links.get(slot, ()):
                if after is not None:
                    for one, other in zip(shared.flow(after, outgoing), leaving, strict=True):
                        unite(one, other)
            if slot in ends:
                for label in leaving:
                    fix(label, "the network's output")
    shared.keep(lower(space, space.largest()))
    return tuple(shared.groups())


@dataclass
class _Shared:
    """Axes of shared parameters, and of what flows into slots."""

    parameters: dict[tuple[str, int], Axis] = field(default_factory=dict)
    largest: dict[tuple[str, int], int] = field(default_factory=dict)
    smallest: dict[tuple[str, int], int] = field(default_factory=dict)
    flows: dict[tuple[str, int, int], Axis] = field(default_factory=dict)

    def flow(self, slot: str, shape: Shape) -> Labels:
        """Return the labels of a slot's input; its axes but the batch's may list channels."""
        labels = [inert([2])[0]]
        for position, size in enumerate(shape):
            axis = self.flows.setdefault((slot, len(shape), position), Axis())
            labels.append(((axis, size),) if size > 1 else ())
        return tuple(labels)

    def follow(self, slot: str, operator: Operator, shape: Shape, entering: Iterable[Labels]) -> tuple[Labels, Shape]:
        """Run an operator and return the labels and the shape of its output; of several outputs, all their labels."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            module = new_module(operator).to("meta").eval()
        inputs = examples(shape, 2, "meta")
        with torch.no_grad(), Following() as following:
            for tensor, labels in zip(inputs, entering, strict=True):
                following.label(tensor, labels)
            for name, value in module.named_parameters():
                following.label(value, self._of(key_of(operator.scope(slot), name), value))
            out = module(*inputs)
        if isinstance(out, tuple):
            return tuple(label for tensor in out for label in following.labels(tensor)), ()
        return following.labels(out), tuple(out.shape[1:])

    def hold(self, slot: str, operator: Operator, flowing: Labels) -> None:
        """Keep the order of an operator's weights, inputs and outputs."""
        why = f"`{operator.kind}` has forms that are not run"
        for label in flowing:
            fix(label, why)
        for (key, _), axis in self.parameters.items():
            if key.startswith(f"{operator.scope(slot)}/"):
                axis.fix(why)

    def _of(self, key: str, value: nn.Parameter) -> Labels:
        labels: list[Label] = []
        for number, size in enumerate(value.shape):
            axis_key = key, number
            axis = self.parameters.setdefault(axis_key, Axis())
            self.largest[axis_key] = max(size, self.largest.get(axis_key, 0))
            self.smallest[axis_key] = min(size, self.smallest.get(axis_key, size))
            labels.append(((axis, size),) if size > 1 else ())
        return tuple(labels)

    def keep(self, network: Network) -> None:
        """Keep the order of each group that a network does not take as a whole."""
        for slot, operator in zip(network.slots, network.operators, strict=True):
            with torch.device("meta"):
                module = new_module(operator)
            for name, value in module.named_parameters():
                for number, size in enumerate(value.shape[:LEADING]):
                    axis_key = key_of(operator.scope(slot), name), number
                    if size < self.largest[axis_key]:
                        part, _ = runs(self.parameters[axis_key], self.largest[axis_key])[0]
                        part.fix("the largest network takes a part of it")

    def groups(self) -> Iterator[Group]:
        placed_by_axis: dict[Axis, list[tuple[int, ParameterAxis]]] = {}
        elastic: set[Axis] = set()
        for (key, number), axis in self.parameters.items():
            whole = self.largest[key, number]
            parts = runs(axis, whole)
            for index, (part, size) in enumerate(parts):
                before = prod(length for _, length in parts[:index])
                place = ParameterAxis(key, number, before, whole // (before * size))
                placed_by_axis.setdefault(part, []).append((size, place))
                if self.smallest[key, number] < whole and number >= LEADING:
                    part.fix("it is cut on both sides")
                elif self.smallest[key, number] < whole and before == 1:
                    elastic.add(part)
        for part, placed in placed_by_axis.items():
            sizes = {size for size, _ in placed}
            if part in elastic and max(sizes) > 1:
                unlike = "it is tied to an axis of another length" if len(sizes) > 1 else None
                yield Group(max(sizes), tuple(place for _, place in placed), part.fixed or unlike)


def _run(links: Iterable[tuple[Operator, Shape]]) -> Iterator[tuple[Operator, Shape, bool]]:
    """Yield the operators of a slot to run, each at one input shape; of kinds that name a few for all, those few.

    The last item is True if all operators of the kind are run.
    """
    kinds: dict[type[Operator], dict[Operator, Shape]] = {}
    for operator, shape in links:
        kinds.setdefault(type(operator), {}).setdefault(operator, shape)
    for kind, shapes in kinds.items():
        holders = tuple(kind.holders(tuple(shapes)))
        for operator in holders:
            yield operator, shapes[operator], len(holders) == len(shapes)


def _neighbors(space: AnySpace) -> dict[str | None, dict[str | None, None]]:
    """Return the slots that follow each slot; None stands before the first and after the last."""
    following: dict[str | None, dict[str | None, None]] = {}
    for network in _telling(space):
        for one, other in pairwise((None, *network.slots, None)):
            following.setdefault(one, {})[other] = None
    return following


def _telling(space: AnySpace) -> Iterator[Network]:
    """Yield the largest network, those that differ from it in one choice, and random ones."""
    rng = random.Random(0)
    seen: dict[Architecture, None] = {space.largest(): None, space.smallest(): None}
    for one in space.choices:
        for value in one.options:
            seen[space.sample(lambda c, one=one, value=value: value if c == one else c.options[-1])] = None  # type: ignore[misc]
    for _ in range(TRACED_ARCHITECTURES):
        seen[space.random(rng)] = None
    for architecture in seen:
        yield lower(space, architecture)
