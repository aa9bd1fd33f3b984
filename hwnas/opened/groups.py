"""Groups of channels of an opened network: which axes of which tensors list the same ones, and what may be cut off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm, prod

import torch
from torch import Tensor, nn

from hwnas.opened.slicing import reads
from hwnas.ops import Shape
from hwnas.supernet.slicing.axes import Axis, Label, Labels, fix, inert, runs, segments, size_of
from hwnas.supernet.slicing.channel_groups import Group, ParameterAxis
from hwnas.supernet.slicing.channel_rules import Following
from hwnas.traced.graph import TRACE_BATCH
from hwnas.traced.segment import Segment

LANES = 8
"""Widths are multiples of it: vector units compute that many channels at a time."""


@dataclass(frozen=True)
class Channels:
    """Channels that lie in one order in all the places that list them, of which leading ones may be kept."""

    group: Group
    """Its places, by names of parameters and buffers; `fixed` is the reason why it is closed."""
    unit: int
    """Channels for one member: those of a group of a grouped convolution, of a head."""
    name: str
    """Name of the layer that makes them."""
    normalized: bool
    """True if a layer normalises over all of its members, so that fewer of them have other statistics."""

    @property
    def width(self) -> int:
        """Number of channels of all members."""
        return self.group.size * self.unit

    @property
    def closed(self) -> str | None:
        """Reason why it is not elastic; None if it is."""
        return self.group.fixed

    def shut(self, why: str) -> Channels:
        """Return the group, closed for a reason."""
        return replace(self, group=replace(self.group, fixed=why))

    def options(self, shares: Iterable[float]) -> tuple[int, ...]:
        """Return widths near these shares of the whole, in multiples of lanes, and the whole."""
        step = lcm(self.unit, LANES)
        near = {max(step, round(self.width * share / step) * step) for share in shares}
        return *sorted(width for width in near if width < self.width), self.width


@dataclass(frozen=True)
class Flow:
    """Tensor between two operators: its shape, and the group on the axis of its channels."""

    shape: Shape
    terms: tuple[tuple[tuple[int | None, int], ...], ...]
    """Stretches of the axis of channels, joined end to end: the length of each is a product of numbers of groups with
    their members, or plain numbers."""

    @property
    def groups(self) -> tuple[int, ...]:
        """Numbers of the groups on the axis."""
        return tuple(group for factors in self.terms for group, _ in factors if group is not None)

    def width(self, members: Mapping[int, int]) -> int:
        """Return the channels where groups keep so many members."""
        return sum(
            prod(members.get(group, size) if group is not None else size for group, size in factors)
            for factors in self.terms
        )

    def places(self, members: Mapping[int, int]) -> Tensor:
        """Return which of the channels stay where groups keep so many members, as numbers."""
        begin, parts = 0, []
        for factors in self.terms:
            places = torch.zeros(1, dtype=torch.int64)
            for group, size in factors:
                kept = members.get(group, size) if group is not None else size
                places = (places[:, None] * size + torch.arange(kept)).flatten()
            parts.append(begin + places)
            begin += prod(size for _, size in factors)
        return torch.cat(parts)


@dataclass
class Dependencies:
    """Axes of a network's tensors, followed through its segments on `meta`."""

    root: nn.Module
    axes: dict[tuple[str, int], Axis] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def follow(self, segments: Sequence[Segment], shape: Shape) -> list[tuple[Shape, Label]]:
        """Run the segments one after the other and return the shapes between them with their labels of channels."""
        leaving = []
        with torch.no_grad(), Following(joins=True) as following:
            for name, value in [*self.root.named_parameters(), *self.root.named_buffers()]:
                if value.ndim and value.is_floating_point() and name not in self.tensors:
                    self.tensors[name] = value
                    following.label(value, self._labels(name, value))
            x = torch.empty(TRACE_BATCH, *shape, device="meta")
            following.label(x, inert(x.shape))
            for segment in segments:
                x = segment.eval()(x)
                labels = following.labels(x)
                leaving.append((tuple(x.shape[1:]), labels[channel_axis(x.ndim)]))
            for label in following.labels(x):
                fix(label, "it is the network's output")
        return leaving

    def _labels(self, name: str, value: Tensor) -> Labels:
        labels: list[Label] = []
        for number, size in enumerate(value.shape):
            axis = self.axes.setdefault((name, number), Axis())
            labels.append(((axis, size),) if size > 1 else ())
        return tuple(labels)

    def groups(self) -> dict[Axis, Channels]:
        """Return the groups that layers with weights produce, by the root of their axis."""
        placed: dict[Axis, list[tuple[int, ParameterAxis]]] = {}
        for (name, number), axis in self.axes.items():
            whole = self.tensors[name].shape[number]
            for start, length, parts in _stretches(axis, whole):
                for index, (part, size) in enumerate(parts):
                    before = prod(one for _, one in parts[:index])
                    after, alone = (length or whole) // (before * size), length is None
                    entry = ParameterAxis(name, number, before, after, *(() if alone else (start, length)))
                    placed.setdefault(part, []).append((size, entry))
        found = {}
        for part, places in placed.items():
            made = [entry for _, entry in places if self._produces(entry)]
            size = max(size for size, _ in places)
            if made and size > 1 and all(entry.before == 1 for entry in made[:1]):
                found[part] = self._channels(part, [entry for _, entry in places], {s for s, _ in places}, made)
        return found

    def _channels(
        self, part: Axis, places: list[ParameterAxis], sizes: set[int], made: list[ParameterAxis]
    ) -> Channels:
        why = part.fixed
        if len(sizes) > 1:
            why = why or "it is tied to an axis of another length"
        if any(entry.before > 1 for entry in places):
            why = why or "its members lie in runs of another axis"
        if not any(self.tensors[entry.parameter].ndim > 1 and self._reads(entry) for entry in places):
            why = why or "no weight reads it"
        normalized = any(self._normalizes(entry) for entry in places)
        unit = min(entry.after for entry in places)
        return Channels(Group(max(sizes), tuple(places), why), unit, _layer(made[0].parameter), normalized)

    def _produces(self, entry: ParameterAxis) -> bool:
        """Return whether an entry is where a convolution or a matrix makes the channels."""
        module = self.root.get_submodule(_layer(entry.parameter))
        return self.tensors[entry.parameter].ndim > 1 and entry.axis < 2 and not reads(module, entry.axis)

    def _reads(self, entry: ParameterAxis) -> bool:
        return reads(self.root.get_submodule(_layer(entry.parameter)), entry.axis)

    def _normalizes(self, entry: ParameterAxis) -> bool:
        module = self.root.get_submodule(_layer(entry.parameter))
        return self.tensors[entry.parameter].ndim == 1 and not isinstance(
            module, nn.modules.batchnorm._NormBase | nn.modules.conv._ConvNd | nn.Linear | nn.PReLU
        )

    def produced(self) -> int:
        """Return the number of channels that layers with weights produce, those of the last layer aside."""
        return sum(self._made(name, number) for name, number in self.axes)

    def produced_by(self, channels: Channels) -> int:
        """Return how many of them are in a group."""
        return sum(
            entry.length or self.tensors[entry.parameter].shape[entry.axis]
            for entry in channels.group.places
            if self._produces(entry)
        )

    def _made(self, name: str, number: int) -> int:
        size = self.tensors[name].shape[number]
        if not self._produces(ParameterAxis(name, number, 1, 1)):
            return 0
        output = any(part.root.fixed == "it is the network's output" for part, _ in runs(self.axes[name, number], size))
        return 0 if output else size


def flow_of(shape: Shape, label: Label, numbers: Mapping[Axis, int]) -> Flow:
    """Return the flow of a shape and the label of its channels, `numbers` being those of the open groups."""
    length = shape[-1] if len(shape) == 2 else shape[0]
    stretches = segments(label)
    if len(stretches) > 1:
        terms = [
            tuple((None if axis is None else numbers.get(axis.root), size) for axis, size in one)
            for _, one in stretches
        ]
        return Flow(shape, tuple(terms))
    factors = [(numbers.get(part.root), size) for axis, n in label if axis is not None for part, size in runs(axis, n)]
    rest = length // prod(size for _, size in factors) if factors else length
    return Flow(shape, ((*factors, (None, rest)),))


def _stretches(axis: Axis, whole: int) -> list[tuple[int, int | None, list[tuple[Axis, int]]]]:
    """Return the stretches of a parameter's axis: beginning, length (None for the whole), and the runs within."""
    stretches = segments(((axis, whole),))
    if len(stretches) == 1:
        return [(0, None, runs(axis, whole))]
    return [
        (start, size_of(label), [(part.root, size) for part, size in label if part is not None])
        for start, label in stretches
        if label and all(part is not None for part, _ in label)
    ]


def channel_axis(axes: int) -> int:
    """Return the axis of channels: the last of tokens (batch, tokens, width), else the one after the batch."""
    return 2 if axes == 3 else 1


def _layer(parameter: str) -> str:
    return parameter.rpartition(".")[0]
