"""AutoFormer's notation: `mlp_ratio` and `num_heads` by layer, `embed_dim`, and `depth`.

Source: microsoft/Cream, folder AutoFormer (Chen et al., ICCV 2021). Its files write the keys in capitals and one
`EMBED_DIM`; its code says `layer_num` for the depth and gives every layer its `embed_dim`, all of them the same. All of
these are read; written is what its code takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.errors import SpaceError
from hwnas.notation import Notation
from hwnas.notation.lists import Entry, Lists, covering, entries_of, layer_entries
from hwnas.space import Architecture, Knob, Space, Stage
from hwnas.words import counted

LAYERS = ("mlp_ratio", "num_heads")


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of `{"mlp_ratio": [...], "num_heads": [...], "embed_dim": 192, "depth": 13}`."""
    lists = _lists(space)
    return lists.read(space, _filled_up(lists, _plain(raw, where), where) if isinstance(raw, Mapping) else raw, where)


def write(space: Space, architecture: Architecture) -> dict[str, Any]:
    """The same, as that project's code takes it: `layer_num` for the depth, and an `embed_dim` for each layer."""
    values = _lists(space).write(space, architecture)
    depth = values.pop("depth")
    return {
        **{key: values[key][:depth] for key in LAYERS},
        "embed_dim": [values["embed_dim"]] * depth,
        "layer_num": depth,
    }


def _filled_up(lists: Lists, plain: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The mapping with an entry for every layer that can be there; the added ones mean nothing."""
    if "depth" not in plain:
        raise _error("the key `depth` is missing", where, "It may be written `layer_num`")
    filled = dict(plain)
    for key in LAYERS:
        values, entries = plain.get(key), lists.entries[key]
        if isinstance(values, list):
            if len(values) != plain["depth"]:
                raise _error(f"`{key}` holds {entries_of(values)}", where, f"It holds one a layer: {plain['depth']}")
            filled[key] = [*values, *(next(iter(entry.meanings)) for entry in entries[len(values) :])]
    return filled


def _plain(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The mapping with small letters, one `embed_dim`, and `depth`."""
    plain: dict[str, Any] = {}
    for name, value in raw.items():
        key = {"layer_num": "depth"}.get(str(name).lower(), str(name).lower())
        if key == "embed_dim" and isinstance(value, list) and value:
            if value != [value[0]] * len(value):
                raise _error(f"`{name}` holds unlike widths", where, "All layers have one width")
            value = value[0]
        if plain.get(key, value) != value:
            raise _error(f"`{name}` is {value}, and {plain[key]} before", where, "A key is given once")
        plain[key] = value
    return plain


def _lists(space: Space) -> Lists:
    blocks = _blocks(space)
    width = blocks.width or Knob((space.width,))
    entries = {
        "mlp_ratio": layer_entries(blocks, "mlp_ratio"),
        "num_heads": layer_entries(blocks, "heads"),
        "embed_dim": [Entry.of(width.shared or f"{blocks.name}.width", width)],
        "depth": [Entry.of(blocks.depth_choice, blocks.depth)],
    }
    return covering(space, Lists(entries, frozenset({"embed_dim", "depth"})))


def _blocks(space: Space) -> Stage:
    stages = [stage for stage in space.stages if {block.op for block in stage.blocks} == {"transformer"}]
    if len(stages) != 1 or not {"heads", "mlp_ratio"} <= stages[0].knobs.keys():
        raise _error(
            f"{counted(len(stages), 'stage')} are transformers",
            f"space `{space.name}`",
            "The notation `autoformer` is of one stage that sets `heads` and `mlp_ratio`",
        )
    return stages[0]


def _error(problem: str, where: str, allowed: str) -> SpaceError:
    return SpaceError(problem, where=where, allowed=allowed, do="Correct the architecture, or name the space it is of")


AUTOFORMER = Notation(read, write)
