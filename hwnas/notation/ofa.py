"""Once-for-all's notation: kernels `ks` and expansions `e` by layer, depths `d` by stage, resolution `r`.

Source: mit-han-lab/once-for-all (Cai et al., ICLR 2020). Its lists hold an entry for every layer that a network can
have; entries of layers that a network does not have mean nothing. The last stage of its ProxylessNAS space has a fixed
depth, and lists without its entries leave it at the largest kernel and expansion, as in that project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from hwnas.notation import Notation
from hwnas.notation.lists import Entry, Lists, covering, layer_entries
from hwnas.ops import Operator, Shape
from hwnas.space import Architecture, Space


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of `{"ks": [...], "e": [...], "d": [...], "r": resolution}`."""
    if isinstance(raw, Mapping) and raw.get("wid", "") is None:  # that project's searches write it, and it is open
        raw = {key: value for key, value in raw.items() if key != "wid"}
    return _lists(space).read(space, raw, where)


def write(space: Space, architecture: Architecture) -> dict[str, Any]:
    """The same form."""
    return _lists(space).write(space, architecture)


def _lists(space: Space) -> Lists:
    open_stages = [
        stage for stage in space.stages if "kernel" in stage.knobs and len(stage.knobs["kernel"].options) > 1
    ]
    last = open_stages[-1].depth.options if open_stages else ()
    entries = {
        "ks": [entry for stage in open_stages for entry in layer_entries(stage, "kernel")],
        "e": [entry for stage in open_stages for entry in layer_entries(stage, "expand")],
        "d": [Entry.of(stage.depth_choice, stage.depth) for stage in open_stages],
        "r": [Entry.of("resolution", space.input["resolution"])],
    }
    return covering(space, Lists(entries, frozenset({"r"}), int(last[0]) if len(last) == 1 else 0))


def as_written(raw: Any, links: Iterable[tuple[Operator, Shape]]) -> dict[str, int]:
    """Return the counts of once-for-all's own counter: it sums MACs by layer in float32, which rounds above 2^24."""
    from hwnas.ops.costs import operator_costs

    params, macs = 0, np.float32(0)
    for link in links:
        params += operator_costs(*link).params
        for layer in _layers(*link):
            macs += np.float32(layer)
    return {"params": params, "macs": int(macs)}


@cache
def _layers(operator: Operator, shape: Shape) -> tuple[int, ...]:
    from hwnas.ops.count_cache import counted_once

    return counted_once("layer_macs", operator, shape, _count_layers)


def _count_layers(operator: Operator, shape: Shape) -> tuple[int, ...]:
    from hwnas.ops.layermacs import layer_macs

    return layer_macs(operator, shape)


OFA = Notation(read, write, as_written)
