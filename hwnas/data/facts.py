"""The steps from a data set's samples to a network's input, described so that they can be repeated without hwnas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

Step = Mapping[str, Any]
"""One thing that is done to a sample; `step` names it, docs/reference/manifest.md describes the rest."""


@final
@dataclass(frozen=True)
class Raw:
    """The samples as a reader gets them, and its processing before they are split."""

    color: str = "as given"
    """`grey` or `RGB`, where that is known."""
    span: tuple[float, float] | None = None
    """Smallest and largest value that there can be; None: 0 to 255 for bytes, those seen for other numbers."""
    steps: tuple[Step, ...] = ()
    order: str = "as the arrays have them"
    """Order in which the samples of a pool are numbered, in words."""
    channels: tuple[str, ...] = ()
    """Names of a signal's channels or of a table's columns, where they have names."""
    rate_hz: float | None = None
    """Sampling rate of signals, where it is known."""
    notes: tuple[str, ...] = ()
    """Treatment of files that are unlike the others, or left out, in words."""


def decoding(color: str, size: tuple[int, int]) -> tuple[Step, ...]:
    """Return the steps by which `hwnas.data.readers.images.decoded` decodes the bytes of an image."""
    return (
        {"step": "decode", "colour": color, "upright": True},
        {"step": "fit", "size": list(size), "method": "bilinear", "as": "Pillow, ImageOps.fit"},
    )


def squaring(size: tuple[int, int], *, whole: bool, part: tuple[int, int]) -> tuple[Step, ...]:
    """Return the steps of `hwnas.data.resizing.resized`; `whole` if pixels are bytes before and after."""
    rounded: tuple[Step, ...] = ({"step": "round"},) if whole else ()
    crop = {"step": "crop", "to": "centre square"} if size[0] == size[1] else {"step": "crop", "size": list(part)}
    return (crop, resizing(*size), *rounded)


def resizing(*size: int) -> Step:
    """Return a resize by PyTorch as a step: to (height, width), or of a signal, as one row of pixels, to (length,)."""
    how = "PyTorch, interpolate(antialias=True, align_corners=False)"
    method = "bilinear" if len(size) == 2 else "linear"
    return {"step": "resize", "size": list(size), "method": method, "antialias": True, "as": how}


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
        elif name == "subtract":
            number = f"({number} - {step['by']:g})"
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
    square = "to" in step or len(set(step.get("size", ()))) == 1
    part = "the centre square" if square else "the largest centred part of these proportions"
    return {
        "decode": f"decode as {step.get('colour')}",
        "fit": f"crop to {part} and resize to {size} (bilinear)",
        "crop": f"crop to {part if square else f'{size} at the centre'}",
        "resize": f"resize to {size} ({step.get('method')})",
        "round": "round to whole numbers",
        "window": f"take {step.get('length')} consecutive values",
        "length": f"cut to {step.get('length')} values, or repeat the last one up to there",
        "log_mel": f"log-mel spectrogram, {size} (frames x bands)",
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
