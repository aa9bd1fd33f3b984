"""A space written as a Python function that is handed `choose(name, options)` and returns a network."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, final

from hwnas.errors import SpaceError
from hwnas.registry import SourceFile
from hwnas.space.architecture import MOST_OPTIONS, Architecture, Choice, Suggest, Value
from hwnas.space.meta_build import weightless

Choose = Callable[[str, Sequence[Value]], Any]
COUNTABLE = 20_000
"""A function's decisions are counted by walking all of them; beyond this many architectures that is not tried."""
COUNTABLE_MODULES = 1_000
"""The same for a function that returns modules: building and tracing one takes ten milliseconds and more."""


@final
@dataclass(frozen=True)
class FunctionSpace:
    """`build(choose)` decides by calling `choose(name, options)` and returns `(input_shape, {slot: operator})`.

    Which choices are asked may depend on what was chosen before; a name always comes with the same options.
    In place of the operators it may return a `torch.nn.Module`. Up to `COUNTABLE` architectures (of modules
    `COUNTABLE_MODULES`) are counted exactly and drawn uniformly; beyond, each decision is drawn uniformly.
    """

    name: str
    build: Callable[[Choose], Any]
    source: str = ""
    plugins: tuple[SourceFile, ...] = ()
    """Files of a user's with operators that a latency table's rows name; `build` makes its operators itself."""

    def walk(self, suggest: Suggest, *, weights: bool = False) -> Any:
        """What `build` returns when `suggest` decides. A module has its `weights` on demand only: they take memory."""
        asked: dict[str, tuple[tuple[Value, ...], Value]] = {}

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
            if name in asked:
                if asked[name][0] != options:
                    raise self._error(
                        f"the choice `{name}` is asked with two lists of options",
                        "A name always comes with the same options",
                    )
                return asked[name][1]
            choice = Choice(name, options)
            value = suggest(choice) if len(options) > 1 else options[0]
            asked[name] = options, choice.option(value, where=f"space `{self.name}`")
            return asked[name][1]

        return self.build(choose) if weights else weightless(lambda: self.build(choose))

    def sample(self, suggest: Suggest) -> Architecture:
        """The architecture that `suggest` decides; it is asked for active choices only."""
        picks: dict[str, Value] = {}

        def record(choice: Choice) -> Value:
            picks[choice.name] = choice.option(suggest(choice), where=f"space `{self.name}`")
            return picks[choice.name]

        self.walk(record)
        return Architecture(self.name, tuple(sorted(picks.items())))

    def largest(self) -> Architecture:
        """The last option at every choice."""
        return self.sample(lambda choice: choice.options[-1])

    def smallest(self) -> Architecture:
        """The first option at every choice."""
        return self.sample(lambda choice: choice.options[0])

    def random(self, rng: random.Random) -> Architecture:
        """An architecture drawn uniformly if the space is countable, else uniformly at each decision."""
        if self._all is not None:
            return rng.choice(self._all)
        return self.sample(lambda choice: rng.choice(choice.options))

    def blueprint(self, architecture: Architecture, *, weights: bool = False) -> Any:
        """What `build` returns for an architecture; SpaceError when the picks do not fit."""
        picks, asked = dict(architecture.picks), set()

        def replay(choice: Choice) -> Value:
            asked.add(choice.name)
            if choice.name not in picks:
                raise self._error(
                    f"the architecture decides nothing for choice `{choice.name}`",
                    f"Options: {', '.join(map(str, choice.options))}",
                )
            return picks[choice.name]

        built = self.walk(replay, weights=weights)
        if extra := sorted(set(picks) - asked):
            raise self._error(
                f"the architecture picks `{extra[0]}`, which is not active in it", f"Active: {', '.join(sorted(asked))}"
            )
        return built

    @cached_property
    def count(self) -> int:
        """How many architectures the function can decide; SpaceError beyond `COUNTABLE`."""
        if self._all is None:
            raise self._error(
                f"the function decides more than {self._countable:,} architectures",
                "That many are counted by walking all of them",
            )
        return len(self._all)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice that was met in all architectures, or in 2,000 random ones (modules: 300) if not counted."""
        met: dict[str, Choice] = {}

        def note(hand: Suggest) -> Suggest:
            return lambda choice: hand(met.setdefault(choice.name, choice))

        if self._all is not None:
            for architecture in self._all:
                picks = dict(architecture.picks)
                self.walk(note(lambda choice, picks=picks: picks[choice.name]))  # type: ignore[misc]
        else:
            rng = random.Random(0)
            for _ in range(300 if self.returns_module else 2000):
                self.walk(note(lambda choice: rng.choice(choice.options)))
        return tuple(met.values())

    @cached_property
    def returns_module(self) -> bool:
        """Whether it builds modules, rather than operators by slot."""
        built = self.walk(lambda choice: choice.options[0])
        return not (isinstance(built, tuple) and len(built) == 2 and isinstance(built[1], Mapping))

    @property
    def _countable(self) -> int:
        return COUNTABLE_MODULES if self.returns_module else COUNTABLE

    @property
    def counted(self) -> bool:
        """Whether all its architectures are known."""
        return self._all is not None

    @cached_property
    def _all(self) -> list[Architecture] | None:
        found: list[Architecture] = []
        rng = random.Random(0)
        if self.returns_module and min(_breadth(self, rng) for _ in range(3)) > 100 * self._countable:
            return None  # walking up to the bound would take a while, to no end
        for architecture in self.enumerate():
            found.append(architecture)
            if len(found) > self._countable:
                return None
        return found

    def enumerate(self) -> Iterator[Architecture]:
        """All architectures, options counted up from the last choice that was asked."""
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
    """The product of the numbers of options that a random architecture meets: on average, how many there are."""
    met: list[int] = []

    def note(choice: Choice) -> Value:
        met.append(len(choice.options))
        return rng.choice(choice.options)

    space.walk(note)
    return math.prod(met)
