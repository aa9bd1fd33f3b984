"""Common part of notations of block names: one word a layer, one of them for a layer that is left out.

The layers that a notation names are those of the stages that choose between blocks. Where a stage may be empty the skip
is no layer, so that `[A, skip, B]` and `[A, B, skip]` are one architecture; the second is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.errors import SpaceError, did_you_mean
from hwnas.space import Architecture, Choice, Space, Stage, Value
from hwnas.words import counted


@dataclass(frozen=True)
class Words:
    """The vocabulary of a notation."""

    picks: Mapping[str, Mapping[str, Value]]
    """Picks of each word, by the part after `stage.layer.` of a choice's name; the first of equal ones is written."""
    skip: str

    def read(self, space: Space, words: Sequence[Any], where: str) -> Architecture:
        """The architecture of one word for each layer."""
        stages = _named(space)
        total = sum(map(_layers, stages))
        if len(words) != total:
            raise _error(
                f"{counted(len(words), 'block')} are named",
                where,
                f"Space `{space.name}` has {counted(total, 'layer')} to name",
            )
        for index, word in enumerate(words, start=1):
            if not isinstance(word, str) or word not in self.picks:
                raise _error(f"unknown block `{word}` for layer {index}", where, did_you_mean(str(word), self.picks))
        picks: dict[str, Value] = {}
        rest = list(words)
        for stage in stages:
            named, rest = rest[: _layers(stage)], rest[_layers(stage) :]
            if stage.may_be_empty:
                named = [word for word in named if word != self.skip]
                picks[stage.depth_choice] = len(named)
            for layer, word in enumerate(named, start=1):
                picks |= {f"{stage.name}.{layer}.{name}": value for name, value in self.picks[word].items()}

        def pick(choice: Choice) -> Value:
            if choice.name not in picks:
                raise SpaceError(
                    f"the choice `{choice.name}` has no place in the notation `{space.notation}`",
                    where=f"space `{space.name}`",
                    allowed="It names the blocks of layers",
                    do="Make it no choice, or remove `notation` from the space",
                )
            return picks[choice.name]

        return space.sample(pick)

    def write(self, space: Space, architecture: Architecture) -> list[str]:
        """Return one word for each layer."""
        picks = dict(architecture.picks)
        words: list[str] = []
        for stage in _named(space):
            there = int(picks[stage.depth_choice]) if stage.may_be_empty else _layers(stage)
            for layer in range(1, there + 1):
                prefix = f"{stage.name}.{layer}."
                decided = {name.removeprefix(prefix): v for name, v in picks.items() if name.startswith(prefix)}
                words.append(next(word for word, meant in self.picks.items() if meant == decided))
            words += [self.skip] * (_layers(stage) - there)
        return words


def _named(space: Space) -> list[Stage]:
    return [stage for stage in space.stages if len(stage.blocks) > 1]


def _layers(stage: Stage) -> int:
    return max(map(int, stage.depth.options))


def _error(problem: str, where: str, allowed: str) -> SpaceError:
    return SpaceError(problem, where=where, allowed=allowed, do="Correct the architecture, or name the space it is of")
