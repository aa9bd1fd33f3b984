"""Times of the conversions between operators of two precisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from hwnas.export.mixed.conversion import Conversion
from hwnas.latency.rows import Link, Rows, shape_of_row
from hwnas.measure.table import row_key
from hwnas.measure.table_lines import RowKey
from hwnas.network import Network
from hwnas.ops import Operator, Shape
from hwnas.tasks.ends import elements_of

if TYPE_CHECKING:
    from torch import nn

BOUNDARY_KIND = "boundary"
SHAPES = 10
"""Tensors of a space, of all sizes that it has, whose conversions are timed."""
FEWEST_CONVERSIONS = 2
"""Rows of a direction from which its other sizes are inferred."""
_TO: tuple[Literal["int8", "fp32"], ...] = ("int8", "fp32")
CONVERTED_BYTES = {"fp32": 4, "int8": 1}
"""Of a number."""


@final
@dataclass(frozen=True)
class Boundary(Operator):
    """A conversion of a tensor, as a row of a latency table.

    Example:
        >>> Boundary(16, 16, to="int8").describe()
        'boundary {"in_channels": 16, "out_channels": 16, "to": "int8"}'
    """

    keeps_shape = True

    to: Literal["fp32", "int8"] = "int8"

    def module(self) -> nn.Module:
        """A module that writers of files know."""
        return Conversion(self.to)


def boundary_links(shapes: Iterable[Shape]) -> list[Link]:
    """Return the conversions that are to be timed: in both directions, at up to `SHAPES` of these tensors, from the
    smallest to the largest."""
    ordered = sorted(set(shapes), key=lambda shape: (_elements(shape), shape))
    sizes = list({_elements(shape): shape for shape in ordered}.values())
    chosen = np.unique(np.linspace(0, len(sizes) - 1, min(SHAPES, len(sizes))).round().astype(int))
    return [(Boundary(sizes[number][0], sizes[number][0], to=to), sizes[number]) for number in chosen for to in _TO]


def tensors_of(network: Network) -> tuple[Shape, ...]:
    """Return the shapes of a network's tensors: its input, those between operators, its output."""
    return (*network.shapes, network.costs[-1].output_shape)


@dataclass(frozen=True)
class BoundaryCosts:
    """Times of conversions on a set-up by the number of elements, with what they rest on."""

    constants_ms: dict[str, float]
    """By the precision that numbers get: what any conversion takes."""
    slopes_ms: dict[str, float]
    """By the same: what an element adds."""
    timed_ms: dict[tuple[str, Shape], float]
    """Those of the tensors that were timed themselves."""
    origin: str

    def ms(self, to: str, shape: Shape) -> float:
        """Return the time of converting a tensor."""
        timed = self.timed_ms.get((to, tuple(shape)))
        return self.constants_ms[to] + self.slopes_ms[to] * _elements(shape) if timed is None else timed

    def scaled(self, factor: float) -> BoundaryCosts:
        """Return the costs, all of them times a factor, such as one that mixed networks told."""
        constants, slopes, timed = (
            {key: factor * value for key, value in part.items()}
            for part in (self.constants_ms, self.slopes_ms, self.timed_ms)
        )
        return BoundaryCosts(constants, slopes, timed, self.origin)  # type: ignore[arg-type]


def boundary_costs(rows: Rows) -> BoundaryCosts:
    """Return what conversions take on a set-up: timed ones where its table in int8 has rows of them, else estimated.

    Estimated are the bytes that a conversion moves, at the pace of the fastest operator of the table.

    Args:
        rows: of the set-up in int8.
    """
    own = rows.measured_ms
    keys = [key for key in own if key[0] == BOUNDARY_KIND]
    known = {row_key(Boundary(key[2][0], key[2][0], to), key[2]): to for key in keys for to in _TO}
    timed: dict[tuple[str, Shape], float] = {(known[key], tuple(key[2])): own[key] for key in keys if key in known}
    by_direction = {to: [(shape, ms) for (name, shape), ms in timed.items() if name == to] for to in _TO}
    if min(map(len, by_direction.values())) >= FEWEST_CONVERSIONS:
        fits = {to: _line([(_elements(shape), ms) for shape, ms in rows]) for to, rows in by_direction.items()}
        origin = f"of {len(timed)} timed conversions"
        return BoundaryCosts(
            {to: fit[0] for to, fit in fits.items()}, {to: fit[1] for to, fit in fits.items()}, timed, origin
        )
    slope = _fastest_ms_a_byte(own) * sum(CONVERTED_BYTES.values())
    origin = "estimated by the bytes that they move, no conversion was timed"
    return BoundaryCosts(dict.fromkeys(_TO, 0.0), dict.fromkeys(_TO, slope), timed, origin)


def _fastest_ms_a_byte(own: Mapping[RowKey, float]) -> float:
    """Return the least time that an operator takes for a byte of its input, of those with the largest inputs."""
    sizes = {key: _elements(shape_of_row(key[2])) for key in own if key[0] != BOUNDARY_KIND}
    large = [key for key, size in sizes.items() if size >= max(sizes.values()) / 4] if sizes else []
    return min((own[key] / (sizes[key] * CONVERTED_BYTES["int8"]) for key in large), default=0.0)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return constant and slope of times over sizes, neither below 0; relative errors are the least."""
    sizes, ms = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    weights = 1 / np.maximum(ms, ms.max() * 1e-3)
    design = np.stack([weights, weights * sizes], axis=1)
    constant, slope = np.linalg.lstsq(design, weights * ms, rcond=None)[0]
    if constant < 0:
        constant, slope = 0.0, float((weights * ms) @ design[:, 1] / (design[:, 1] @ design[:, 1]))
    if slope < 0:
        constant, slope = float(np.mean(ms)), 0.0
    return float(constant), float(slope)


def _elements(shape: Shape) -> int:
    return int(elements_of(shape))
