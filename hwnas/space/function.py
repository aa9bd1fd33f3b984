"""A space written as a Python function that is handed `choose(name, options)` and returns a network."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, final

from hwnas.errors import SpaceError
from hwnas.space.architecture import MOST_OPTIONS, Architecture, Choice, Suggest, Value
from hwnas.space.meta_build import weightless
from hwnas.space.shown import choices_table
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.user_code import SourceFile, calling
from hwnas.words import brief

Choose = Callable[[str, Sequence[Value]], Any]
FORM = (
    "A space is a function that is handed `choose` and returns (input_shape, {slot: Operator}) or (input_shape, module)"
)
COUNTABLE = 20_000
"""A function's decisions are counted by walking all of them; beyond this many architectures that is not tried."""
COUNTABLE_MODULES = 1_000
"""The same for a function that returns modules: building and tracing one takes ten milliseconds and more."""


@brief
@final
@dataclass(frozen=True)
class FunctionSpace:
    """A space whose architectures are made by a function.

    `build(choose)` decides by calling `choose(name, options)` and returns `(input_shape, {slot: operator})`.
    Which choices are made may depend on what was chosen before; a name always comes with the same options.
    In place of the operators it may return a `torch.nn.Module`. Up to `COUNTABLE` architectures (of modules
    `COUNTABLE_MODULES`) are counted exactly and drawn uniformly; beyond, each decision is drawn uniformly.

    Args:
        name: the space's name.
        build: the function; the input shape is (channels, height, width) for images, without the batch.
        source: publication that the space is from.

    Example:
        >>> from hwnas import OPERATORS, lower
        >>> from hwnas.ops.classifier import Classifier
        >>> from hwnas.ops.conv import Conv
        >>> def build(choose):
        ...     width = choose("width", [8, 16])
        ...     return (1, 8, 8), {"stem": Conv(1, width), "head": Classifier(width, 10)}
        >>> space = FunctionSpace("two", build)
        >>> space.count
        2
        >>> lower(space, space.largest()).slots
        ('stem', 'head')
    """

    name: str
    build: Callable[[Choose], Any]
    source: str = ""
    plugins: tuple[SourceFile, ...] = ()
    """User's files with operators that a latency table's rows name; `build` makes its operators itself."""
    task: Task = DEFAULT_TASK
    """Task of its networks, without shapes: each network has its own."""

    def _repr_html_(self) -> str:
        return choices_table(self)

    def walk(self, suggest: Suggest, *, weights: bool = False) -> Any:
        """Return the result of `build`, choices made by `suggest`; a module has weights only if `weights` is set."""
        decided: dict[str, tuple[Value, ...]] = {}
        picks: dict[str, Value] = {}

        def choose(name: str, options: Sequence[Value]) -> Value:
            options = tuple(options)
            if not options:
                raise self._error(f"the choice `{name}` has no options", "A choice has at least one option")
            if len(options) > MOST_OPTIONS:
                raise self._error(
                    f"the choice `{name}` has {len(options):,} options",
                    f"A choice has {MOST_OPTIONS:,} at most: each is built before a run, and timed for a table",
                )
            if len(set(options)) < len(options):
                raise self._error(f"the choice `{name}` repeats an option", "Options differ from each other")
            if name in decided:
                if decided[name] != options:
                    raise self._error(
                        f"the choice `{name}` is asked with two lists of options",
                        "A name always comes with the same options",
                    )
                return picks[name]
            choice = Choice(name, options)
            value = suggest(choice) if len(options) > 1 else options[0]
            decided[name], picks[name] = options, choice.option(value, where=f"space `{self.name}`")
            return picks[name]

        with calling(self.build, SpaceError, name=self.name, options=picks, allowed=FORM):
            return self.build(choose) if weights else weightless(lambda: self.build(choose))

    def sample(self, suggest: Suggest) -> Architecture:
        """Return the architecture that `suggest` decides; it is called for active choices only."""
        picks: dict[str, Value] = {}

        def record(choice: Choice) -> Value:
            picks[choice.name] = choice.option(suggest(choice), where=f"space `{self.name}`")
            return picks[choice.name]

        self.walk(record)
        return Architecture(self.name, tuple(sorted(picks.items())))

    def largest(self) -> Architecture:
        """Return the architecture with the last option at every choice."""
        return self.sample(lambda choice: choice.options[-1])

    def smallest(self) -> Architecture:
        """Return the architecture with the first option at every choice."""
        return self.sample(lambda choice: choice.options[0])

    def random(self, rng: random.Random) -> Architecture:
        """Return an architecture drawn uniformly if the space is countable, else uniformly at each decision."""
        if self._all is not None:
            return rng.choice(self._all)
        return self.sample(lambda choice: rng.choice(choice.options))

    def blueprint(self, architecture: Architecture, *, weights: bool = False) -> Any:
        """Return the result of `build` for an architecture; raise SpaceError if the picks do not fit."""
        picks, active = dict(architecture.picks), set()

        def replay(choice: Choice) -> Value:
            active.add(choice.name)
            if choice.name not in picks:
                raise self._error(
                    f"the architecture decides nothing for choice `{choice.name}`",
                    f"Options: {', '.join(map(str, choice.options))}",
                )
            return picks[choice.name]

        built = self.walk(replay, weights=weights)
        if extra := sorted(set(picks) - active):
            raise self._error(
                f"the architecture picks `{extra[0]}`, which is not active in it",
                f"Active: {', '.join(sorted(active))}",
            )
        return built

    @cached_property
    def count(self) -> int:
        """Number of architectures that the function can decide; SpaceError beyond `COUNTABLE`."""
        if self._all is None:
            raise self._error(
                f"the function decides more than {self._countable:,} architectures",
                "That many are counted by walking all of them",
            )
        return len(self._all)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice that occurs in all architectures, or in 2,000 random ones (modules: 300) if not counted."""
        by_name: dict[str, Choice] = {}

        def note(hand: Suggest) -> Suggest:
            return lambda choice: hand(by_name.setdefault(choice.name, choice))

        if self._all is not None:
            for architecture in self._all:
                picks = dict(architecture.picks)
                self.walk(note(lambda choice, picks=picks: picks[choice.name]))  # type: ignore[misc]
        else:
            rng = random.Random(0)
            for _ in range(300 if self.returns_module else 2000):
                self.walk(note(lambda choice: rng.choice(choice.options)))
        return tuple(by_name.values())

    @cached_property
    def returns_module(self) -> bool:
        """True if the function builds modules, rather than operators by slot."""
        built = self.walk(lambda choice: choice.options[0])
        return not (isinstance(built, tuple) and len(built) == 2 and isinstance(built[1], Mapping))

    @property
    def _countable(self) -> int:
        return COUNTABLE_MODULES if self.returns_module else COUNTABLE

    @property
    def counted(self) -> bool:
        """True if all architectures of the space are known."""
        return self._all is not None

    @cached_property
    def _all(self) -> list[Architecture] | None:
        architectures: list[Architecture] = []
        rng = random.Random(0)
        if self.returns_module and min(_breadth(self, rng) for _ in range(3)) > 100 * self._countable:
            return None  # walking up to the bound would take a while, to no end
        for architecture in self.enumerate():
            architectures.append(architecture)
            if len(architectures) > self._countable:
                return None
        return architectures

    def enumerate(self) -> Iterator[Architecture]:
        """Yield all architectures, options counted up from the last choice that was made."""
        prefix: list[int] | None = []
        while prefix is not None:
            trail: list[tuple[int, int]] = []

            def follow(choice: Choice, prefix: list[int] = prefix, trail: list[tuple[int, int]] = trail) -> Value:
                index = prefix[len(trail)] if len(trail) < len(prefix) else 0
                trail.append((index, len(choice.options)))
                return choice.options[index]

            yield self.sample(follow)
            while trail and trail[-1][0] + 1 == trail[-1][1]:
                trail.pop()
            prefix = [i for i, _ in trail[:-1]] + [trail[-1][0] + 1] if trail else None

    def __reduce__(self) -> Any:
        return FunctionSpace, tuple(getattr(self, field.name) for field in fields(self))  # without what was counted

    def _error(self, met: str, allowed: str) -> SpaceError:
        return SpaceError(
            met, where=f"space `{self.name}`", allowed=allowed, do=f"Change the function in {self.source or self.name}"
        )


def _breadth(space: FunctionSpace, rng: random.Random) -> int:
    """Return the product of the numbers of options on the way to a random architecture: on average, the count."""
    counts: list[int] = []

    def note(choice: Choice) -> Value:
        counts.append(len(choice.options))
        return rng.choice(choice.options)

    space.walk(note)
    return math.prod(counts)
