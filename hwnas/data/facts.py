"""The steps from a data set's images to a network's input, described so that they can be repeated without hwnas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

Step = Mapping[str, Any]
"""One thing that is done to an image; `step` names it, docs/reference/manifest.md describes the rest."""


@final
@dataclass(frozen=True)
class Raw:
    """The images as a reader gets them, and its processing before they are split."""

    color: str = "as given"
    """`grey` or `RGB`, where that is known."""
    span: tuple[float, float] | None = None
    """Smallest and largest value that a pixel can have; None: 0 to 255 for bytes, those seen for other numbers."""
    steps: tuple[Step, ...] = ()
    order: str = "as the arrays have them"
    """Order in which the images of a pool are numbered, in words."""


def decoding(color: str, resolution: int) -> tuple[Step, ...]:
    """Return the steps by which `hwnas.data.images.decoded` decodes the bytes of an image."""
    return (
        {"step": "decode", "colour": color, "upright": True},
        {"step": "fit", "size": [resolution, resolution], "method": "bilinear", "as": "Pillow, ImageOps.fit"},
    )


def squaring(resolution: int, *, whole: bool) -> tuple[Step, ...]:
    """Return the steps of `hwnas.data.source.squared`; `whole` if pixels are bytes before and after."""
    rounded: tuple[Step, ...] = ({"step": "round"},) if whole else ()
    return ({"step": "crop", "to": "centre square"}, resizing(resolution, resolution), *rounded)


def resizing(height: int, width: int) -> Step:
    """Return a resize by PyTorch as a step."""
    how = "PyTorch, interpolate(antialias=True, align_corners=False)"
    return {"step": "resize", "size": [height, width], "method": "bilinear", "antialias": True, "as": how}


def described(steps: Iterable[Step], value: str = "pixel") -> str:
    """Return the steps as one sentence; `value` is the word for one number of an input.

    >>> described([{"step": "decode", "colour": "RGB"}, {"step": "divide", "by": 255}, {"step": "normalise"}])
    'decode as RGB; then, channel by channel, (pixel / 255 - mean) / std'
    """
    parts, number = list[str](), value
    for step in steps:
        name = step["step"]
        if name in ("multiply", "divide"):
            number = f"{number} {'*' if name == 'multiply' else '/'} {step['by']:g}"
        elif name == "round" and number != value:
            number = f"round({number})"
        elif name == "normalise":
            number = f"({number} - mean) / std"
        else:
            parts += [f"channel by channel, {number}"] if number != value else []
            parts, number = [*parts, _words(step)], value
    parts += [f"channel by channel, {number}"] if number != value else []
    return "; then, ".join(parts)


def _words(step: Step) -> str:
    name, size = step["step"], "x".join(map(str, step.get("size", ())))
    return {
        "decode": f"decode as {step.get('colour')}",
        "fit": f"crop to the centre square and resize to {size} (bilinear)",
        "crop": "crop to the centre square",
        "resize": f"resize to {size} (bilinear)",
        "round": "round to whole numbers",
    }[name]


def spelled(numbers: Sequence[int]) -> str:
    """Return whole numbers in ascending order as text, runs as first and last.

    >>> spelled([7, 0, 1, 2, 5])
    '0-2,5,7'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
