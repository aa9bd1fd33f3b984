"""The shipped spaces at the smallest input they take, so that laws can be tried on each of them in little time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hwnas.errors import SpaceError
from hwnas.space import Knob, Space, Stage, read_space
from hwnas.space_checks import check_space
from tests.helpers.repository import REPOSITORY

FOLDER = REPOSITORY / "search_spaces"
SAME = ("ofa_mobilenet_v3_224",)  # as `ofa_mobilenet_v3_w1.0`, but for the resolution
SPACES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml")) if path.stem not in SAME}
RESOLUTIONS = (8, 16, 32, 64)


@cache
def tiny(name: str) -> Space:
    """A shipped space; of square images with 10 classes, at the least of `RESOLUTIONS` that its networks can be built
    at; of transformers two layers on four patches."""
    space = read_space(SPACES[name])
    if "resolution" not in space.input:
        return space
    space = replace(space, width=10, stages=tuple(map(_shallow, space.stages)))
    for resolution in RESOLUTIONS:
        small = replace(space, input={**space.input, "resolution": Knob((resolution,))})
        try:
            check_space(small)
        except SpaceError:
            continue
        return small
    raise AssertionError(f"{name} cannot be built at a resolution up to {RESOLUTIONS[-1]}")


def _shallow(stage: Stage) -> Stage:
    ops = {block.op for block in stage.blocks}
    if "transformer" in ops:
        return replace(stage, depth=Knob((1, 2)))
    return replace(stage, knobs={**stage.knobs, "grid": Knob((2,))}) if "patchembed" in ops else stage
