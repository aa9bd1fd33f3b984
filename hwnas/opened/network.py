"""Network of the user's, opened: its chain, its groups and decisions, its weights in order of importance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import SpaceError
from hwnas.opened.chain import chain_of
from hwnas.opened.decisions import Decision, decisions_of
from hwnas.opened.groups import Channels, Dependencies, Flow, flow_of
from hwnas.opened.slicing import Cut, cut_indices, masked, sliced
from hwnas.ops import Shape
from hwnas.supernet.slicing.channel_groups import Group
from hwnas.supernet.slicing.channel_sorting import importance, sort_channels

PROBE_IMAGES = 2
PROBE_BATCH = 8
TOLERANCE = 1e-3
"""Largest difference of outputs, as a share of the largest, that is put down to rounding in a check."""
Members = Mapping[int, int]
"""How many members groups keep, by number; a group that is not named keeps all."""


@dataclass
class OpenedNetwork:
    """A module as a chain of operators that can be narrowed.

    Args:
        root: the module with its weights; its channels are sorted in place.
        shape: shape of one input.
        where: place of the module, for errors.
        scores: importance of the members of groups, by name, in place of the L1 norm of the weights that read them.

    Raises:
        SpaceError: it cannot be followed, or what is left of it computes something else.
    """

    root: nn.Module
    shape: Shape
    where: str
    scores: Mapping[str, Any] | None = None
    groups: dict[int, Channels] = field(init=False)
    max_difference: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.root.eval()
        self.links = chain_of(self.root, self.shape, self.where)
        self.meta = copy.deepcopy(self.root).to("meta")
        followed = Dependencies(self.meta)
        leaving = followed.follow([link.of(self.meta) for link in self.links], self.shape)
        found = followed.groups()
        self.groups = dict(enumerate(found.values()))
        numbers = {axis: number for number, axis in enumerate(found)}
        self.flows = [
            Flow(self.shape, (((None, _channels(self.shape)),),)),
            *(flow_of(*one, numbers) for one in leaving),
        ]
        self.produced = followed.produced()
        self.produced_by = {number: followed.produced_by(channels) for number, channels in self.groups.items()}
        self._close_narrow()
        self._verify()

    # --- facts ---

    @property
    def elastic_share(self) -> float:
        """Share of the channels that layers with weights produce, classes aside, whose number is open."""
        open_ones = {number for decision in self.decisions for number in decision.members[0]}
        return sum(self.produced_by[number] for number in open_ones) / max(self.produced, 1)

    @property
    def closed(self) -> dict[str, str]:
        """Reasons why groups are closed, by the name of the layer that makes their channels."""
        output = "it is the network's output"
        return {c.name: c.closed for c in self.groups.values() if c.closed is not None and c.closed != output}

    @cached_property
    def numbers(self) -> list[tuple[int, ...]]:
        """The groups of each segment, in the order of its tensors."""
        places: dict[str, list[int]] = {}
        for number, channels in self.groups.items():
            for entry in channels.group.places:
                places.setdefault(entry.parameter, []).append(number)
        names = [[n for n, _ in [*one.named_parameters(), *one.named_buffers()]] for one in self._segments(self.meta)]
        flowing = [[group for flow in self.flows[i : i + 2] for group in flow.groups] for i in range(len(names))]
        return [
            tuple(dict.fromkeys([*flowing[i], *(n for name in listed for n in sorted(places.get(name, ())))]))
            for i, listed in enumerate(names)
        ]

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """Choices between widths."""
        open_ones = {number: channels for number, channels in self.groups.items() if channels.closed is None}
        flowing = {group for flow in self.flows for group in flow.groups}
        count: dict[int, int] = {}
        for numbers in self.numbers:
            for number in numbers:
                count[number] = count.get(number, 0) + 1
        hidden = [
            [n for n in numbers if n in open_ones and n not in flowing and count[n] == 1] for numbers in self.numbers
        ]
        together = [[n for n in numbers if n in open_ones and n in flowing] for numbers in self.numbers]
        return decisions_of(open_ones, hidden, [link.slot for link in self.links], together)

    # --- smaller versions ---

    def part(self, index: int, members: Members, *, meta: bool = False) -> nn.Module:
        """Return a new module of one segment with so many members of its groups."""
        return sliced(self._whole(meta)[index], self._cuts(index, members))

    def kept(self, index: int, members: Members) -> dict[str, dict[int, Tensor]]:
        """Return which places of a segment's parameters stay with so many members, by name and axis that is cut."""
        by_tensor: dict[str, list[Cut]] = {}
        for entry, count in self._cuts(index, members):
            by_tensor.setdefault(entry.parameter, []).append((entry, count))
        values = dict(self._on_meta[index].named_parameters())
        return {n: cut_indices(values[n], cuts) for n, cuts in by_tensor.items() if n in values}

    def _cuts(self, index: int, members: Members) -> Iterator[Cut]:
        for number in self.numbers[index]:
            if members.get(number, self.groups[number].group.size) < self.groups[number].group.size:
                for entry in self.groups[number].group.places:
                    yield entry, members[number]

    def _whole(self, meta: bool) -> list[nn.Module]:
        return self._on_meta if meta else self._with_weights

    @cached_property
    def _on_meta(self) -> list[nn.Module]:
        return self._segments(self.meta)

    @cached_property
    def _with_weights(self) -> list[nn.Module]:
        return self._segments(self.root)

    def _segments(self, root: nn.Module) -> list[nn.Module]:
        return [link.of(root) for link in self.links]

    def run(self, images: Tensor, members: Members, root: nn.Module | None = None) -> Tensor:
        """Return the output of the chain with so many members, in evaluation; of `root`, if it is given."""
        x = images
        segments = self._with_weights if root is None else self._segments(root)
        with torch.no_grad():
            for index, segment in enumerate(segments):
                x = sliced(segment, self._cuts(index, members)).eval()(x)
        return x

    # --- checks ---

    def _close_narrow(self) -> None:
        for number, channels in self.groups.items():
            if channels.closed is None and len(channels.options((0.25, 0.5, 0.75))) == 1:
                self._shut([number], f"it has {channels.width} channels, no more than are computed at a time")

    def _shut(self, numbers: Iterable[int], why: str) -> None:
        for number in numbers:
            self.groups[number] = self.groups[number].shut(why)

    def _open(self) -> list[int]:
        return [number for number, channels in self.groups.items() if channels.closed is None]

    def _verify(self) -> None:
        """Sort the channels, and close the groups whose order or number does what it should not."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            images = torch.randn(PROBE_IMAGES, *self.shape)
            probe = _with_own_statistics(self.root, torch.randn(PROBE_BATCH, *self.shape))
            if not self._close_to(self.run(images, {}, probe), probe(images), TOLERANCE):
                raise SpaceError(
                    "the chain of its operators computes something else than the network",
                    where=self.where,
                    allowed="Modules work on what they are handed, not on what others left behind, and on any batch",
                    do="Hand a module what it needs through `forward`, and read sizes off the tensors",
                )
            self._close_unsorted(probe, images)
            self._close_unsliced(probe, images)
            expected = self.root(images)
            self._sort(self._open())
            self.max_difference = self._difference(self.run(images, {}), expected)
        self.__dict__.pop("decisions", None)

    def _close_unsorted(self, probe: nn.Module, images: Tensor) -> None:
        """Close the groups whose order cannot be changed: all are reversed at once, and if that fails one by one."""
        expected = probe(images)
        if not self._holds(self._open(), lambda numbers: self._reversed(numbers, probe, images, expected)):
            for number in self._open():
                if not self._holds([number], lambda one: self._reversed(one, probe, images, expected)):
                    self._shut([number], "the network's output depends on the order of its channels")

    def _close_unsliced(self, probe: nn.Module, images: Tensor) -> None:
        """Close the groups whose leading members do not compute what all do when the others are not read."""
        if not self._holds(self._open(), lambda numbers: self._sliced_as_masked(numbers, probe, images)):
            for number in self._open():
                if not self._holds([number], lambda one: self._sliced_as_masked(one, probe, images)):
                    width = self.groups[number].width
                    self._shut([number], f"a smaller version does not run or computes something else: {width} is fixed")

    @staticmethod
    def _holds(numbers: list[int], check: Callable[[list[int]], bool]) -> bool:
        try:
            return check(numbers)
        except Exception:  # code of the user's that is handed fewer channels may raise anything
            return False

    def _reversed(self, numbers: list[int], probe: nn.Module, images: Tensor, expected: Tensor) -> bool:
        def turn() -> None:
            state = dict([*probe.named_buffers(), *probe.named_parameters()])
            for number in numbers:
                group = self.groups[number].group
                for entry in group.places:
                    value = entry.stretch(state[entry.parameter].detach())
                    apart = torch.unflatten(value, entry.axis, (group.size, entry.after))
                    value.copy_(apart.flip(entry.axis).flatten(entry.axis, entry.axis + 1))

        turn()
        try:
            return self._close_to(probe(images), expected, TOLERANCE)
        finally:
            turn()

    def _sliced_as_masked(self, numbers: list[int], probe: nn.Module, images: Tensor) -> bool:
        """Compare smaller versions with the network whose reading weights are zero; of a group that is normalised over
        all of its members, which computes other statistics then, that it runs."""
        least = {n: self.groups[n].options((0.25,))[0] // self.groups[n].unit for n in numbers}
        if not torch.isfinite(self.run(images, least, probe)).all():
            return False
        least = {n: kept for n, kept in least.items() if not self.groups[n].normalized}
        small = self.run(images, least, probe)
        kept: dict[str, Tensor] = {}
        state = dict(probe.named_parameters())
        try:
            for number, count in least.items():
                for name, value in masked(probe, self.groups[number].group.places, count).items():
                    kept.setdefault(name, state[name].detach().clone())
                    state[name].detach().copy_(value)
            return self._close_to(small, probe(images), TOLERANCE)
        finally:
            for name, value in kept.items():
                state[name].detach().copy_(value)

    def _sort(self, numbers: list[int]) -> None:
        sort_channels(self.root, [self.groups[number].group for number in numbers], judged=self._importance)

    def _importance(self, root: nn.Module, group: Group) -> Tensor:
        scores = None if self.scores is None else self.scores.get(group.name)
        return importance(root, group) if scores is None else torch.as_tensor(scores)

    @staticmethod
    def _difference(one: Tensor, other: Tensor) -> float:
        return float((one - other).abs().max() / max(1.0, float(other.abs().max())))

    def _close_to(self, one: Tensor, other: Tensor, tolerance: float) -> bool:
        scale = float(other.abs().max())
        return one.shape == other.shape and float((one - other).abs().max()) <= tolerance * scale


def _with_own_statistics(root: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy whose batch normalisation has the statistics of these images: untrained networks let signals fade,
    and nothing could be told from their outputs."""
    probe = copy.deepcopy(root)
    for module in probe.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    probe.train()(images)
    return probe.eval()


def _channels(shape: Shape) -> int:
    return int(shape[-1] if len(shape) == 2 else shape[0])
