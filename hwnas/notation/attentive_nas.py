"""AttentiveNAS's notation: `resolution`, and by stage `width`, `depth`, `kernel_size` and `expand_ratio`.

Source: facebookresearch/AttentiveNAS (Wang et al., CVPR 2021). `width` begins with the first convolution's and ends
with the last one's; entries that are not open are written all the same.
"""

from __future__ import annotations

from typing import Any

from hwnas.notation import Notation
from hwnas.notation.lists import Entry, Lists, covering, layer_entries, stage_entries
from hwnas.space import Architecture, Space


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of `{"resolution": 224, "width": [...], "depth": [...], "kernel_size": [...], ...}`."""
    return _lists(space).read(space, raw, where)


def write(space: Space, architecture: Architecture) -> dict[str, Any]:
    """The same form."""
    return _lists(space).write(space, architecture)


def _lists(space: Space) -> Lists:
    stages, head = space.stages[:-1], space.stages[-1]
    blocks = stages[1:]
    entries = {
        "resolution": [Entry.of("resolution", space.input["resolution"])],
        "width": [
            *(Entry.of(f"{stage.name}.width", stage.width) for stage in stages if stage.width is not None),
            *layer_entries(head, "hidden"),
        ],
        "depth": [Entry.of(stage.depth_choice, stage.depth) for stage in blocks],
        "kernel_size": stage_entries(blocks, "kernel"),
        "expand_ratio": stage_entries(blocks, "expand"),
    }
    return covering(space, Lists(entries, frozenset({"resolution"})))


ATTENTIVE_NAS = Notation(read, write)
