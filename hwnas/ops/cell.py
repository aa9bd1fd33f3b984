"""The cell of NAS-Bench-201, without its dead parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast, final

from hwnas.cell import EDGES, KNOBS, OPERATIONS, live, traits
from hwnas.errors import SpaceError, did_you_mean
from hwnas.ops.operator import Operator

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True)
class Cell(Operator):
    """(channels, H, W) -> (channels, H, W): four nodes, each the sum of the edges that enter it (Dong and Yang 2020).

    `edge_2_1` is what the edge from node 1 to node 2 does: `none`, `skip_connect`, `avg_pool_3x3`, `nor_conv_1x1` or
    `nor_conv_3x3`. Edges that nothing reaches or that lead nowhere are not built. Without any path the output is zero.
    """

    keeps_shape: ClassVar[bool] = True

    edge_1_0: str
    edge_2_0: str
    edge_2_1: str
    edge_3_0: str
    edge_3_1: str
    edge_3_2: str

    @property
    def operations(self) -> tuple[str, ...]:
        """Operations of the edges, in the order of `hwnas.cell.EDGES`."""
        return tuple(getattr(self, knob) for knob in KNOBS)

    @property
    def summands(self) -> Iterable[Operator]:
        """For each live edge, a cell that has this edge alone, from its input to its output."""
        operations = [operation for operation in live(self.operations) if operation != "none"]
        widths = self.in_channels, self.out_channels
        return [Cell(*widths, "none", "none", "none", operation, "none", "none") for operation in operations]

    @property
    def traits(self) -> Mapping[str, float]:
        """Of the live graph: which operations follow each other along its paths; how many and how long these are."""
        return traits(self.operations)

    def module(self) -> nn.Module:
        from hwnas.ops.layers import CellGraph

        for knob, operation in zip(KNOBS, self.operations, strict=True):
            if operation not in OPERATIONS:
                raise self._error(f"`{knob}` is `{operation}`", did_you_mean(str(operation), OPERATIONS))
        if self.in_channels != self.out_channels:
            widths = f"{self.in_channels} channels enter and {self.out_channels} leave"
            raise self._error(widths, "A cell keeps its width; an operator before it changes it")
        edges = zip(EDGES, live(self.operations), strict=True)
        return CellGraph(self.in_channels, {edge: operation for edge, operation in edges if operation != "none"})

    @classmethod
    def holders(cls, operators: Sequence[Operator]) -> Iterable[Operator]:
        """Return one cell for each operation that an edge is seen with, at each width."""
        result: dict[tuple[int, str, str], Operator] = {}
        for operator in operators:
            for knob, operation in zip(KNOBS, live(cast("Cell", operator).operations), strict=True):
                result.setdefault((operator.in_channels, knob, operation), operator)
        return dict.fromkeys(result.values())

    def _error(self, problem: str, allowed: str) -> SpaceError:
        return SpaceError(problem, where=self.describe(), allowed=allowed, do="Correct the stage")
