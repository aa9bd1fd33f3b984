"""Sizes of images that networks take and that a data set holds: images are resized, which is reported."""

from __future__ import annotations

from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.ops import Shape
from hwnas.space import AnySpace, Space


def input_sides(space: AnySpace) -> tuple[tuple[int, ...], ...]:
    """Return the sides of images of a space's networks, from small to large; of a function, those at its ends."""
    if isinstance(space, Space):
        return tuple((int(side), int(side)) for side in space.resolution.options)
    ends: list[Shape] = [lower(space, end).input_shape for end in (space.smallest(), space.largest())]
    return tuple(sorted({shape[1:] for shape in ends}))


def refuse_oblong(space: AnySpace, resolution: int, *, where: str) -> None:
    """Refuse networks of images that are not square: data sets are, and would be stretched.

    Raises:
        ConfigError: a network takes such images.
    """
    for sides in input_sides(space):
        if len(set(sides)) > 1:
            raise ConfigError(
                f"the networks take images of {told(sides)}, the data has images of {told((resolution, resolution))}",
                where=where,
                allowed="Data sets are square, and a square image would be stretched",
                do="Give the networks a square input",
            )


def resizing(space: AnySpace, resolution: int) -> str | None:
    """Return a notice if no network takes the images as they are; None if one does."""
    sides = [side for side in input_sides(space) if len(side) == 2]
    if not sides or (resolution, resolution) in sides:
        return None
    to = told(sides[0]) if len(sides) == 1 else f"{told(sides[0])} up to {told(sides[-1])}, as each network takes them"
    return f"images of {told((resolution, resolution))} are resized to {to}"


def told(sides: tuple[int, ...]) -> str:
    """Return sides in the usual notation, such as 32x48."""
    return "x".join(map(str, sides))
