"""NAS-Bench-Macro's notation: eight digits, one a layer.

0 is an identity, 1 a MobileNetV2 block with expansion 3 and kernel 3, 2 one with expansion 6 and kernel 5.
Source: xiusu/NAS-Bench-Macro (Su et al., CVPR 2021).
"""

from __future__ import annotations

from typing import Any

from hwnas.errors import SpaceError
from hwnas.notation import Notation
from hwnas.notation.blocks import Words
from hwnas.space import Architecture, Space

BLOCKS = Words({"0": {"op": "identity"}, "1": {"op": "mb3_k3"}, "2": {"op": "mb6_k5"}}, "0")


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of a string of digits, or of a list of them."""
    if not isinstance(raw, str | list):
        raise SpaceError(
            f"`{type(raw).__name__}` is no architecture",
            where=where,
            allowed="The form is a string of eight digits",
            do='Write it as `"01201202"`, with its quotes in a JSON file',
        )
    return BLOCKS.read(space, [str(digit) for digit in raw], where)


def write(space: Space, architecture: Architecture) -> str:
    """The string; the identities of a stage come last, as in the benchmark's own canonical strings."""
    return "".join(BLOCKS.write(space, architecture))


NAS_BENCH_MACRO = Notation(read, write)
