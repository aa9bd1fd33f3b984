"""Once-for-all's notation of its ResNet50D: depths `d`, expansions `e` by layer, widths `w`, resolution `r`.

Source: mit-han-lab/once-for-all, OFAResNets. `d` holds how many layers each stage has beyond its fewest; its first
entry is the stem's, which has its residual convolution only at the largest value. `w` holds places among three width
multipliers, first the stem's inner and outer width. Two multipliers round to one inner width; the first is written.
"""

from __future__ import annotations

from typing import Any

from hwnas.notation import Notation
from hwnas.notation.lists import Entry, Lists, covering, layer_entries
from hwnas.notation.ofa import as_written
from hwnas.ops.operator import make_divisible
from hwnas.space import Architecture, Knob, Space


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of `{"d": [...], "e": [...], "w": [...], "r": resolution}`."""
    return _lists(space).read(space, raw, where)


def write(space: Space, architecture: Architecture) -> dict[str, Any]:
    """The same form."""
    return _lists(space).write(space, architecture)


def _lists(space: Space) -> Lists:
    stem, stages = space.stages[0], space.stages[1:-1]
    outer = _options(stem.width)
    inner = [make_divisible(int(width) // 2) for width in outer]
    entries = {
        "d": [
            Entry("stem.1.residual", {0: False, 1: False, 2: True}),
            *(Entry.index(stage.depth_choice, stage.depth.options) for stage in stages),
        ],
        "e": [entry for stage in stages for entry in layer_entries(stage, "expand")],
        "w": [
            Entry.index("stem.1.hidden", inner),
            Entry.index("stem.width", outer),
            *(Entry.index(f"{stage.name}.width", _options(stage.width)) for stage in stages),
        ],
        "r": [Entry.of("resolution", space.input["resolution"])],
    }
    return covering(space, Lists(entries, frozenset({"r"})))


def _options(width: Knob | None) -> tuple[Any, ...]:
    return () if width is None else width.options


OFA_RESNET = Notation(read, write, as_written)
