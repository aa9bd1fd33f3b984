"""Operator that is a segment of an opened network, perhaps with fewer channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import nn

from hwnas.opened.source import NetworkSource, opened
from hwnas.ops import Operator


@dataclass(frozen=True)
class OpenedOrigin:
    """Place of an operator in an opened network: enough to make its module again, in another process as well."""

    source: NetworkSource
    index: int
    members: tuple[tuple[int, int], ...]
    """How many members its groups keep, by number."""


@final
@dataclass(frozen=True)
class Opened(Operator):
    """A segment of a network of the user's, with its trained weights; two are equal when they compute the same from
    weights of the same shapes."""

    leading_axes: ClassVar[int] = 8

    children: str
    """Classes of its modules, for a reader."""
    digest: str
    """Structure of the whole segment: classes, settings, shapes, the graph. See `hwnas.traced.identity`."""
    widths: str
    """Members of its groups, in the order of its tensors."""
    origin: OpenedOrigin = field(compare=False, repr=False)

    @property
    def knobs(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("in_channels", "out_channels", "children", "digest", "widths")}

    @classmethod
    def holders(cls, operators: Sequence[Operator]) -> Iterable[Operator]:
        """Return the whole segments, which hold every parameter at its largest."""
        largest: dict[tuple[NetworkSource, int], Opened] = {}
        for operator in operators:
            assert isinstance(operator, Opened)
            key = operator.origin.source, operator.origin.index
            if key not in largest or _size(operator) > _size(largest[key]):
                largest[key] = operator
        return tuple(largest.values())

    def scope(self, slot: str) -> str:
        """Return a scope for all slots: parameters are named as in the whole network."""
        return self.kind

    def cut_indices(self) -> Mapping[str, Mapping[int, torch.Tensor]]:
        """Return the places that a smaller version keeps where those are not the leading ones: of channels that are
        joined end to end."""
        kept = opened(self.origin.source).kept(self.origin.index, dict(self.origin.members))
        return {
            name: by_axis
            for name, by_axis in kept.items()
            if any(len(places) and int(places[-1]) >= len(places) for places in by_axis.values())
        }

    def module(self) -> nn.Module:
        """Return a new module with the leading channels of the network's weights."""
        network = opened(self.origin.source)
        on_meta = torch.get_default_device().type == "meta"
        return network.part(self.origin.index, dict(self.origin.members), meta=on_meta).train()


def _size(operator: Opened) -> int:
    return sum(members for _, members in operator.origin.members)
