"""Combinations of the knobs of one layer, without walking a space from its beginning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from hwnas.space.architecture import Value
from hwnas.space.space import Space
from hwnas.space.stage import Block, Knob, Stage
from hwnas.tasks.ends import channels_of


def layers_of(space: Space, stage: Stage, block: Block) -> Iterator[dict[str, Value]]:
    """Yield all knobs, widths included, that a layer of a stage can have as this block; a stride is left out."""
    leaving = stage.width or Knob((space.width,))
    entering = _entering(space, stage)
    if max(map(int, stage.depth.options)) > 1:
        entering.append(leaving)
    for width in entering:
        yield from _decisions({"in_channels": width, "out_channels": leaving, **block.knobs, **stage.knobs})


def _entering(space: Space, stage: Stage) -> list[Knob]:
    """Return the widths that can reach the first layer of a stage."""
    anyhow = {name: options[0] for name, options in space.shared.items()}
    widths = [Knob((channels_of(space.input_shapes(anyhow)[0]),))]
    for before in space.stages[: space.stages.index(stage)]:
        width = before.width or Knob((space.width,))
        widths = [*widths, width] if before.may_be_empty else [width]
    return widths


def _decisions(knobs: Mapping[str, Knob]) -> Iterator[dict[str, Value]]:
    """Yield all combinations of the knobs; one knob under two names, or two of one shared choice, are the same."""
    groups = {name: knob.shared or id(knob) for name, knob in knobs.items()}
    options = {groups[name]: knob.options for name, knob in knobs.items()}
    for picked in product(*options.values()):
        decided = dict(zip(options, picked, strict=True))
        yield {name: decided[group] for name, group in groups.items()}
