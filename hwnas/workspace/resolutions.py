"""Sizes of images that networks take and that a data set holds: images are resized, which is reported."""

from __future__ import annotations

from hwnas.network import lower
from hwnas.ops import Shape
from hwnas.space import AnySpace, Space
from hwnas.space.canonical import combinations
from hwnas.tasks.ends import is_plain


def input_sides(space: AnySpace) -> tuple[tuple[int, ...], ...]:
    """Return the sides of images of a space's networks, from small to large; of a function, those at its ends."""
    if isinstance(space, Space):
        options = {knob.shared or name: knob.options for name, knob in space.input.items()}
        shapes = (shape for picks in combinations(options) for shape in space.input_shapes(picks))
        return tuple(dict.fromkeys(shape[1:] for shape in shapes if is_plain(shape)))
    ends: list[Shape] = [lower(space, end).input_shape for end in (space.smallest(), space.largest())]
    return tuple(sorted({shape[1:] for shape in ends if is_plain(shape)}))


def resizing(space: AnySpace, own: tuple[int, ...]) -> str | None:
    """Return a notice if no network takes the images of a data set as they are, of these sides; None if one does."""
    sides = [side for side in input_sides(space) if len(side) == 2]
    if not sides or len(own) != 2 or own in sides:
        return None
    to = (
        sides_text(sides[0])
        if len(sides) == 1
        else f"{sides_text(sides[0])} up to {sides_text(sides[-1])}, as each network takes them"
    )
    return f"{space.task.terms.samples} of {sides_text(own)} are resized to {to}"


def sides_text(sides: tuple[int, ...]) -> str:
    """Return sides in the usual notation, such as 32x48."""
    return "x".join(map(str, sides))
