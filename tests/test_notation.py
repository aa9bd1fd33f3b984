"""Architectures in their projects' own notations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import SpaceError
from hwnas.notation import NOTATIONS, read_architecture, write_architecture
from hwnas.space import Space, read_space

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"
WRITTEN = {path.stem: space for path in sorted(SPACES.glob("*.yaml")) if (space := read_space(path)).notation}


def test_every_notation_is_used_by_a_space() -> None:
    assert {space.notation for space in WRITTEN.values()} == set(NOTATIONS)


@pytest.fixture
def ofa() -> Space:
    return WRITTEN["ofa_mobilenet_v3_w1.0"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"wid": [1]}, "unknown key `wid`"),
        ({"ks": [3] * 19}, "`ks` holds 19 entries"),
        ({"d": None}, "`None` is no option of `d`, entry 1"),
        ({"ks": [4] * 20}, "`4` is no option of `ks`, entry 1"),
        ({"r": 225}, "`225` is no option"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_name(ofa: Space, change: dict[str, Any], told: str) -> None:
    written = write_architecture(ofa, ofa.largest()) | change
    with pytest.raises(SpaceError) as caught:
        read_architecture(ofa, written, where="arch.json")
    assert told in str(caught.value)
    assert "arch.json" in str(caught.value)


def test_a_space_without_a_notation_says_how_its_architectures_are_written() -> None:
    space = read_space(SPACES / "digits.yaml")
    assert write_architecture(space, space.largest()) is None
    with pytest.raises(SpaceError, match="no notation of its own"):
        read_architecture(space, {"ks": [3]}, where="arch.json")
