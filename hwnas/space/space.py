"""A space written as stages: it walks its own decisions, counts them exactly and names each one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

from hwnas.errors import SpaceError, did_you_mean
from hwnas.space.architecture import Architecture, Choice, Suggest, Value


@dataclass(frozen=True)
class Knob:
    """One or more options for one knob; `shared` names the space-wide choice that decides it."""

    options: tuple[Value, ...]
    shared: str | None = None


@dataclass(frozen=True)
class Block:
    """An operator with knobs of its own; `label` is what a choice between blocks is decided by."""

    label: str
    op: str
    knobs: Mapping[str, Knob] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """`depth` layers of one width. The first layer takes the stride; `per_stage` knobs are decided once."""

    name: str
    blocks: tuple[Block, ...]
    depth: Knob
    width: Knob | None
    stride: int | None
    knobs: Mapping[str, Knob]
    per_stage: frozenset[str] = frozenset()

    def picks(self, index: int, block: Block, decided: Mapping[str, Value]) -> dict[str, Value]:
        """By the names of the choices, the picks that make layer `index` this block with these knobs decided."""
        slot = f"{self.name}.{index}"
        picks: dict[str, Value] = {f"{slot}.op": block.label}
        for name, value in decided.items():
            if name == "out_channels":
                knob, own = self.width, f"{self.name}.width"
            elif name in block.knobs:
                knob, own = block.knobs[name], f"{slot}.{block.label}.{name}"
            else:
                knob, own = self.knobs[name], f"{self.name if name in self.per_stage else slot}.{name}"
            picks[own if knob is None or knob.shared is None else knob.shared] = value
        return picks

    @property
    def may_be_empty(self) -> bool:
        """Whether it may have no layer at all."""
        return 0 in self.depth.options

    @property
    def stage_knobs(self) -> dict[str, Knob]:
        """What is decided once for all layers: width, knobs per stage, and knobs that a shared choice decides."""
        width = {} if self.width is None else {"width": self.width}
        once = {n: knob for n, knob in self.knobs.items() if n in self.per_stage or knob.shared is not None}
        return width | once

    @property
    def depth_choice(self) -> str:
        """The choice that decides how many layers there are."""
        return self.depth.shared or f"{self.name}.depth"


@dataclass(frozen=True)
class Layer:
    """One operator yet to be made: its place in the space, its kind, its knobs (input channels excepted)."""

    slot: str
    op: str
    knobs: Mapping[str, Value]


@dataclass(frozen=True)
class Blueprint:
    """All that one architecture decides: input channels, resolution, classes and layers."""

    channels: int
    resolution: int
    classes: int
    layers: tuple[Layer, ...]


@final
@dataclass(frozen=True)
class Space:
    """A search space of stages, as read from YAML by `read_space`.

    >>> space.sample(lambda choice: choice.options[-1])     # the largest architecture
    >>> space.count                                          # exact, an int of any size
    """

    name: str
    channels: int
    classes: int
    resolution: Knob
    stages: tuple[Stage, ...]
    shared: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    source: str = ""
    notation: str = ""
    """In which project's notation its architectures can be written, a name in `hwnas.notation.NOTATIONS`."""

    # --- the one walk ---

    def walk(self, suggest: Suggest) -> Blueprint:
        """Ask `suggest` for every active choice, in order, and return what was decided."""

        def ask(name: str) -> Value:
            choice = self._choice[name]
            return choice.option(suggest(choice), where=f"space `{self.name}`")

        decided = {name: ask(name) for name in self.shared if name in self._choice}

        def decide(name: str, knob: Knob) -> Value:
            if knob.shared is not None:
                return decided.get(knob.shared, knob.options[0])
            return ask(name) if len(knob.options) > 1 else knob.options[0]

        resolution = decide("resolution", self.resolution)
        layers: list[Layer] = []
        for stage in self.stages:
            per_stage = {name: decide(f"{stage.name}.{name}", stage.knobs[name]) for name in sorted(stage.per_stage)}
            if stage.width is not None:
                per_stage["out_channels"] = decide(f"{stage.name}.width", stage.width)
            elif stage is self.stages[-1]:
                per_stage["out_channels"] = self.classes
            for index in range(1, int(decide(f"{stage.name}.depth", stage.depth)) + 1):
                layers.append(_layer(stage, index, per_stage, decide))
        return Blueprint(self.channels, int(resolution), self.classes, tuple(layers))

    # --- hands for the walk ---

    def sample(self, suggest: Suggest) -> Architecture:
        """The architecture that `suggest` decides; it is asked for active choices only."""
        picks: dict[str, Value] = {}

        def record(choice: Choice) -> Value:
            picks[choice.name] = choice.option(suggest(choice), where=f"space `{self.name}`")
            return picks[choice.name]

        self.walk(record)
        return Architecture(self.name, tuple(sorted(picks.items())))

    def largest(self) -> Architecture:
        """The last option at every choice; options are written from small to large."""
        return self.sample(lambda choice: choice.options[-1])

    def smallest(self) -> Architecture:
        """The first option at every choice."""
        return self.sample(lambda choice: choice.options[0])

    def random(self, rng: random.Random) -> Architecture:
        """An architecture drawn uniformly from all of the space."""
        return self.sample(lambda choice: choice.draw(rng))

    def blueprint(self, architecture: Architecture) -> Blueprint:
        """What an architecture decides.

        Raises:
            SpaceError: it lacks an active choice, names another one, or picks a value that is no option.
        """
        picks, asked = dict(architecture.picks), set()

        def replay(choice: Choice) -> Value:
            asked.add(choice.name)
            if choice.name not in picks:
                raise SpaceError(
                    f"the architecture decides nothing for choice `{choice.name}`",
                    where=f"space `{self.name}`",
                    allowed=f"Options: {', '.join(map(str, choice.options))}",
                    do="Add the pick",
                )
            return picks[choice.name]

        blueprint = self.walk(replay)
        if extra := sorted(set(picks) - asked):
            raise SpaceError(
                f"the architecture picks `{extra[0]}`, which is not active in it",
                where=f"space `{self.name}`",
                allowed=did_you_mean(extra[0], asked),
                do="Remove the pick, or correct its name",
            )
        return blueprint

    # --- what can be said without walking ---

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice that can be active, in the order of the walk."""
        return tuple(self._choice.values())

    @cached_property
    def conditions(self) -> Mapping[str, Mapping[str, tuple[Value, ...]]]:
        """For each choice that is not always active: the choices that it hangs on, and with which of their options."""
        found: dict[str, dict[str, tuple[Value, ...]]] = {}
        for stage in self.stages:
            depths = stage.depth.options
            for index in range(1, max(map(int, depths)) + 1):
                slot = f"{stage.name}.{index}"
                deep = {stage.depth_choice: tuple(depth for depth in depths if int(depth) >= index)}
                found |= {f"{slot}.{name}": deep for name in ("op", *stage.knobs)}
                for block in stage.blocks:
                    found |= {f"{slot}.{block.label}.{n}": deep | {f"{slot}.op": (block.label,)} for n in block.knobs}
        return {
            choice.name: needs
            for choice in self.choices
            if (needs := {n: o for n, o in found.get(choice.name, {}).items() if self._hangs_on(n, o)})
        }

    def _hangs_on(self, name: str, options: tuple[Value, ...]) -> bool:
        return name in self._choice and len(options) < len(self._choice[name].options)

    @cached_property
    def count(self) -> int:
        """How many architectures the space holds, exactly."""
        total = len(self.resolution.options) if self.resolution.shared is None else 1
        for name, options in self.shared.items():
            total *= sum(self._shared_weights(name, options))
        for stage in self.stages:
            total *= math.prod(len(k.options) for k in _stage_knobs(stage) if k.shared is None)
            if stage.depth.shared is None:
                total *= sum(_layer_count(stage) ** int(depth) for depth in stage.depth.options)
        return total

    def _shared_weights(self, name: str, options: tuple[Value, ...]) -> tuple[int, ...]:
        deep = [stage for stage in self.stages if stage.depth.shared == name]
        return tuple(math.prod(_layer_count(stage) ** int(value) for stage in deep) for value in options)

    @cached_property
    def _choice(self) -> dict[str, Choice]:
        return {choice.name: choice for choice in self._all_choices() if len(choice.options) > 1}

    def _all_choices(self) -> Iterator[Choice]:
        for name, options in self.shared.items():
            yield Choice(name, options, self._shared_weights(name, options))
        yield _choice("resolution", self.resolution)
        for stage in self.stages:
            for name in sorted(stage.per_stage):
                yield _choice(f"{stage.name}.{name}", stage.knobs[name])
            if stage.width is not None:
                yield _choice(f"{stage.name}.width", stage.width)
            depths, layers = stage.depth.options, _layer_count(stage)
            yield _choice(f"{stage.name}.depth", stage.depth, tuple(layers ** int(depth) for depth in depths))
            for index in range(1, max(map(int, depths)) + 1):
                yield from _layer_choices(stage, index)


def _choice(name: str, knob: Knob, weights: tuple[int, ...] | None = None) -> Choice:
    return Choice(name, knob.options if knob.shared is None else (), weights)


def _stage_knobs(stage: Stage) -> list[Knob]:
    width = [stage.width] if stage.width is not None else []
    return width + [knob for name, knob in stage.knobs.items() if name in stage.per_stage]


def _block_count(block: Block) -> int:
    return math.prod(len(knob.options) for knob in block.knobs.values())


def _layer_count(stage: Stage) -> int:
    own = [knob for name, knob in stage.knobs.items() if name not in stage.per_stage and knob.shared is None]
    return sum(map(_block_count, stage.blocks)) * math.prod(len(knob.options) for knob in own)


def _layer_choices(stage: Stage, index: int) -> Iterator[Choice]:
    slot = f"{stage.name}.{index}"
    labels = tuple(block.label for block in stage.blocks)
    yield Choice(f"{slot}.op", labels, tuple(map(_block_count, stage.blocks)))
    for block in stage.blocks:
        for name, knob in block.knobs.items():
            yield _choice(f"{slot}.{block.label}.{name}", knob)
    for name, knob in stage.knobs.items():
        if name not in stage.per_stage:
            yield _choice(f"{slot}.{name}", knob)


def _layer(stage: Stage, index: int, per_stage: Mapping[str, Value], decide: Any) -> Layer:
    slot = f"{stage.name}.{index}"
    label = decide(f"{slot}.op", Knob(tuple(block.label for block in stage.blocks)))
    block = next(block for block in stage.blocks if block.label == label)
    knobs: dict[str, Value] = dict(per_stage)
    for name, knob in block.knobs.items():
        knobs[name] = decide(f"{slot}.{block.label}.{name}", knob)
    for name, knob in stage.knobs.items():
        if name not in stage.per_stage:
            knobs[name] = decide(f"{slot}.{name}", knob)
    if stage.stride is not None and index == 1:
        knobs["stride"] = stage.stride
    return Layer(f"{stage.name}_{index}", block.op, knobs)
