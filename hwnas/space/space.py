"""A space written as stages: it walks its own decisions, counts them exactly and names each one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import final

from hwnas.errors import SpaceError, did_you_mean
from hwnas.space.architecture import Architecture, Choice, Suggest, Value
from hwnas.space.canonical import Canonical, Picks, combinations, distinct, settled
from hwnas.space.questions import Question, Questions
from hwnas.space.shown import choices_table
from hwnas.space.stage import Block, Blueprint, Knob, Layer, Stage
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.ends import Shape, TensorSpec
from hwnas.user_code import SourceFile
from hwnas.words import brief


@brief
@final
@dataclass(frozen=True)
class Space:
    """A search space of stages, as read from YAML by `read_space`.

    Args:
        name: the space's name.
        stages: stages in the order in which data flow through them.
        shared: options of choices that several stages use, by name.
        source: publication that the space is from.

    Example:
        >>> from hwnas import read_space
        >>> from hwnas.io.resources import find_file
        >>> space = read_space(find_file("digits", "search_spaces"))
        >>> space.count
        26880
        >>> space.sample(lambda choice: choice.options[-1]) == space.largest()
        True
    """

    name: str
    input: Mapping[str, Knob]
    """Sizes of the input: `channels` and `resolution` of square images, else `axis_1`, `axis_2`, ..., of several inputs
    with the input's name and a dot before each; see `shape`."""
    width: int
    """Width of the last stage, and so of a network's output."""
    stages: tuple[Stage, ...]
    shared: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    source: str = ""
    notation: str = ""
    """Notation of another project in which its architectures can be written, a name in `hwnas.notation.NOTATIONS`."""
    plugins: tuple[SourceFile, ...] = ()
    """User's files with operators that the stages name."""
    task: Task = DEFAULT_TASK
    """Task of its networks, without shapes: each network has its own."""
    tensors: tuple[TensorSpec, ...] = ()
    """Inputs of its networks, their sizes apart; empty where there is one in float32."""
    canonical: Canonical | None = None
    """Function from picks of the shared choices to those of the architecture that stands for the same network."""

    def _repr_html_(self) -> str:
        return choices_table(self)

    # --- the one walk ---

    def walk(self, suggest: Suggest) -> Blueprint:
        """Ask `suggest` for every active choice, in order, and return what was decided."""

        where = f"space `{self.name}`"

        def ask(choice: Choice) -> Value:
            return choice.option(suggest(choice), where=where)

        decided = self.settle({name: ask(self._choice[name]) for name in self.shared if name in self._choice})

        def decide(question: Question) -> Value:
            if question.choice is not None:
                return ask(question.choice)
            return decided.get(question.shared, question.value) if question.shared is not None else question.value

        sizes = {question.knob: int(decide(question)) for question in self._questions.input}
        layers: list[Layer] = []
        for stage in self._questions.stages:
            once = tuple([decide(question) for question in stage.once])
            for place in stage.layers[: int(decide(stage.depth))]:
                label = decide(place.op)
                layers.append(place.layer(label, once, tuple([decide(own) for own in place.questions[label]])))
        return Blueprint(sizes, tuple(layers))

    # --- hands for the walk ---

    def sample(self, suggest: Suggest) -> Architecture:
        """Return the architecture that `suggest` decides; it is called for active choices only."""
        picks: dict[str, Value] = {}

        def record(choice: Choice) -> Value:
            picks[choice.name] = choice.option(suggest(choice), where=f"space `{self.name}`")
            return picks[choice.name]

        self.walk(record)
        return Architecture(self.name, tuple(sorted(self.settle(picks).items())))

    def largest(self) -> Architecture:
        """Return the architecture with the last option at every choice; options are written from small to large."""
        return self.sample(lambda choice: choice.options[-1])

    def smallest(self) -> Architecture:
        """Return the architecture with the first option at every choice."""
        return self.sample(lambda choice: choice.options[0])

    def random(self, rng: random.Random) -> Architecture:
        """Return an architecture drawn uniformly from all of the space."""
        together: Picks = {} if self.joint is None else self.distinct[int(self.joint.draw(rng))]
        return self.sample(lambda choice: together[choice.name] if choice.name in together else choice.draw(rng))

    def blueprint(self, architecture: Architecture) -> Blueprint:
        """Return all that an architecture decides.

        Raises:
            SpaceError: it lacks an active choice, names another one, picks a value that is not an option, or is not the
                one that stands for its network.
        """
        picks, active = dict(architecture.picks), set()

        def replay(choice: Choice) -> Value:
            active.add(choice.name)
            if choice.name not in picks:
                raise SpaceError(
                    f"the architecture decides nothing for choice `{choice.name}`",
                    where=f"space `{self.name}`",
                    allowed=f"Options: {', '.join(map(str, choice.options))}",
                    do="Add the pick",
                )
            return picks[choice.name]

        blueprint = self.walk(replay)
        if extra := sorted(set(picks) - active):
            raise SpaceError(
                f"the architecture picks `{extra[0]}`, which is not active in it",
                where=f"space `{self.name}`",
                allowed=did_you_mean(extra[0], active),
                do="Remove the pick, or correct its name",
            )
        if (image := self.settle(picks)) is not picks and image != picks:
            changed = {name: value for name, value in image.items() if value != picks[name]}
            raise SpaceError(
                f"another architecture stands for this network: {', '.join(f'{n} {picks[n]}' for n in changed)}",
                where=f"space `{self.name}`",
                allowed=f"In that one: {', '.join(f'{name} {value}' for name, value in changed.items())}",
                do="Correct the picks, or have `space.sample` do it",
            )
        return blueprint

    # --- what shared choices decide together ---

    def settle(self, picks: Picks) -> Picks:
        """Return the picks, shared ones as they are in the architecture that stands for the same network."""
        if self.canonical is None:
            return picks
        decided = {name: picks.get(name, options[0]) for name, options in self.shared.items()}
        image = settled(self.canonical, decided, self.shared, where=f"space `{self.name}`")
        return {name: image.get(name, value) for name, value in picks.items()}

    @cached_property
    def distinct(self) -> tuple[Picks, ...]:
        """All that the shared choices can decide together, once for each network that comes of it."""
        if self.canonical is None:
            return tuple(combinations(self.shared))
        return distinct(self.canonical, self.shared, where=f"space `{self.name}`")

    @cached_property
    def joint(self) -> Choice | None:
        """With `canonical`, the shared choices as one, between the places of `distinct`: they are drawn together."""
        if self.canonical is None:
            return None
        weights = {name: self._shared_weights(name, options) for name, options in self.shared.items()}
        by_value = {name: dict(zip(self.shared[name], weights[name], strict=True)) for name in self.shared}
        leads_to = tuple(math.prod(by_value[name][value] for name, value in picks.items()) for picks in self.distinct)
        return Choice("shared", tuple(range(len(leads_to))), leads_to)

    # --- what can be said without walking ---

    def input_shapes(self, shared: Picks) -> list[Shape]:
        """Return the shapes of its networks' inputs under picks of the shared choices, from small to large."""
        options = {name: open_options(knob, shared) for name, knob in self.input.items()}
        return [self.shape(sizes) for sizes in combinations(options)]  # type: ignore[arg-type]

    def shape(self, sizes: Mapping[str, int]) -> Shape:
        """Return the shape of a network's input of these sizes, by the names in `input`."""
        if "resolution" in sizes:
            return sizes["channels"], sizes["resolution"], sizes["resolution"]
        if not self.tensors:
            return tuple(sizes.values())
        left = iter(sizes.values())
        return tuple(replace(spec, shape=tuple(next(left) for _ in spec.shape)) for spec in self.tensors)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice that can be active, in the order of the walk."""
        return tuple(self._choice.values())

    @cached_property
    def conditions(self) -> Mapping[str, Mapping[str, tuple[Value, ...]]]:
        """For each choice that is not always active: the choices that it depends on, with the options needed."""
        needs_by_name: dict[str, dict[str, tuple[Value, ...]]] = {}
        for stage in self.stages:
            depths = stage.depth.options
            for index in range(1, max(map(int, depths)) + 1):
                slot = f"{stage.name}.{index}"
                deep = {stage.depth_choice: tuple(depth for depth in depths if int(depth) >= index)}
                needs_by_name |= {f"{slot}.{name}": deep for name in ("op", *stage.knobs)}
                for block in stage.blocks:
                    needs_by_name |= {
                        f"{slot}.{block.label}.{n}": deep | {f"{slot}.op": (block.label,)} for n in block.knobs
                    }
        return {
            choice.name: needs
            for choice in self.choices
            if (needs := {n: o for n, o in needs_by_name.get(choice.name, {}).items() if self._hangs_on(n, o)})
        }

    def _hangs_on(self, name: str, options: tuple[Value, ...]) -> bool:
        return name in self._choice and len(options) < len(self._choice[name].options)

    @cached_property
    def count(self) -> int:
        """Number of architectures in the space, exactly."""
        total = math.prod(len(knob.options) for knob in self.input.values() if knob.shared is None)
        if self.joint is not None:
            total *= sum(self.joint.weights or ())
        else:
            total *= math.prod(sum(self._shared_weights(name, options)) for name, options in self.shared.items())
        for stage in self.stages:
            depths = stage.depth.options if stage.depth.shared is None else (0,)  # told with the shared choices
            total *= self.ways(stage, depths)
        return total

    def ways(self, stage: Stage, depths: tuple[Value, ...]) -> int:
        """Return in how many ways a stage can be decided at these depths, choices shared with others aside."""
        once = math.prod(len(knob.options) for knob in _stage_knobs(stage) if knob.shared is None)
        layers = _layer_count(stage)
        return once * sum(math.prod([layers] * int(depth)) for depth in depths)

    def _shared_weights(self, name: str, options: tuple[Value, ...]) -> tuple[int, ...]:
        deep = [stage for stage in self.stages if stage.depth.shared == name]
        return tuple(math.prod(_layer_count(stage) ** int(value) for stage in deep) for value in options)

    @cached_property
    def _questions(self) -> Questions:
        return Questions.of(self.input, self.stages, self.width, self._choice)

    @cached_property
    def _choice(self) -> dict[str, Choice]:
        return {choice.name: choice for choice in self._all_choices() if len(choice.options) > 1}

    def _all_choices(self) -> Iterator[Choice]:
        for name, options in self.shared.items():
            yield Choice(name, options, self._shared_weights(name, options))
        for name, knob in self.input.items():
            yield _choice(name, knob)
        for stage in self.stages:
            for name in sorted(stage.per_stage):
                yield _choice(f"{stage.name}.{name}", stage.knobs[name])
            if stage.width is not None:
                yield _choice(f"{stage.name}.width", stage.width)
            depths, layers = stage.depth.options, _layer_count(stage)
            yield _choice(f"{stage.name}.depth", stage.depth, tuple(layers ** int(depth) for depth in depths))
            for index in range(1, max(map(int, depths)) + 1):
                yield from _layer_choices(stage, index)


def open_options(knob: Knob, shared: Picks) -> tuple[Value, ...]:
    """Return a knob's options under picks of the shared choices."""
    return (shared[knob.shared],) if knob.shared is not None else knob.options


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
