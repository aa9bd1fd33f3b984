"""Operator that is a part of a user's network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import nn

from hwnas.ops import Operator, Shape
from hwnas.space import Architecture, FunctionSpace
from hwnas.traced.graph import graph_of
from hwnas.traced.root import new_root
from hwnas.traced.segment import Segment, part_of
from hwnas.traced.together import ROOTS

MODES = (False, True)
"""Values of `training`: a forward may do other things in training."""


@dataclass(frozen=True)
class SegmentOrigin:
    """Origin of a segment: enough to make its module again, in another process as well."""

    space: FunctionSpace
    architecture: Architecture
    input_shape: Shape
    """Input shape of the network, for layers that take their sizes from their first input."""
    spans: tuple[tuple[int, int], tuple[int, int]] | None
    """First node and end in the graphs of evaluation and of training; None is the whole module, not cut."""


@final
@dataclass(frozen=True)
class Traced(Operator):
    """Some children of a module that a space's function returned, with what its `forward` does between them.

    Two are equal when they compute the same from weights of the same shapes, whatever network they were cut from.
    """

    children: str
    """Classes of the children, for a reader."""
    digest: str
    """Structure: classes, settings, shapes, the graph. See `hwnas.traced.identity`."""
    origin: SegmentOrigin = field(compare=False, repr=False)
    uncut: str | None = field(default=None, compare=False, repr=False)
    """Reason why it is a whole network, if it is one that could not be cut."""

    @property
    def knobs(self) -> dict[str, Any]:
        names = ("in_channels", "out_channels", "children", "digest")
        return {name: getattr(self, name) for name in names}

    def scope(self, slot: str) -> str:
        """Return a scope for all slots: parameters are shared by names in the whole network, however it is cut."""
        return self.kind

    def module(self) -> nn.Module:
        root = self._root()
        if self.origin.spans is None:
            return root
        graphs = {mode: part_of(graph_of(root, training=mode), *self.origin.spans[mode]) for mode in MODES}
        return Segment(root, graphs)

    def _root(self) -> nn.Module:
        """Return the whole network, new; inside `together` one for all operators of an architecture."""
        made, origin = ROOTS.get(), self.origin
        key = origin.space, origin.architecture, torch.get_default_device().type
        root = None if made is None else made.get(key)
        if root is None:
            root = new_root(origin.space, origin.architecture, origin.input_shape)
            if made is not None:
                made[key] = root
        return root
