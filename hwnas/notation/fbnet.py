"""FBNet's notation: the names of 22 blocks, such as `k5_e6`, `k3_e1_g2` or `skip`.

Source: Wu et al., CVPR 2019, table 2. facebookresearch/mobile-vision writes `ir_k5_e6`, and `ir_k3_s2` for `k3_e1_g2`;
each name may be in a separate list there. All of these are read, the paper's are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.errors import SpaceError
from hwnas.notation import Notation
from hwnas.notation.blocks import Words
from hwnas.space import Architecture, Space, Value


def _words() -> Words:
    plain: dict[str, Mapping[str, Value]] = {
        f"k{k}_e{e}": {"op": "plain", "plain.kernel": k, "plain.expand": e} for k in (3, 5) for e in (1, 3, 6)
    }
    group: dict[str, Mapping[str, Value]] = {f"k{k}_e1_g2": {"op": "group", "group.kernel": k} for k in (3, 5)}
    project = {f"ir_{word}": picks for word, picks in plain.items()}
    project |= {f"ir_k{k}_s2": group[f"k{k}_e1_g2"] for k in (3, 5)}
    return Words({**plain, **group, "skip": {"op": "skip"}, **project}, "skip")


WORDS = _words()


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of 22 names."""
    if not isinstance(raw, list):
        raise SpaceError(
            f"`{type(raw).__name__}` is no architecture",
            where=where,
            allowed="The form is a list of 22 block names",
            do='Write it as `["k3_e1", "k3_e6", "skip", ...]`',
        )
    return WORDS.read(space, [word[0] if isinstance(word, list) and len(word) == 1 else word for word in raw], where)


FBNET = Notation(read, WORDS.write)
