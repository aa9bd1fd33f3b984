"""Strategies: each holds its law at every step, and the ones of users are checked."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import ConfigError
from hwnas.network import lower
from hwnas.space import AnySpace, Architecture, FunctionSpace, Space
from hwnas.space.function import Choose
from hwnas.supernet import STRATEGIES, Recipe, SampledSubnet, Step
from hwnas.supernet.strategies import open_strategy
from hwnas.supernet.strategies.phases import kind_of, phases_of
from tests.helpers.spaces import SMALL, enumerate_architectures, mb, space_of
from tests.helpers.tiny import SPACES as SHIPPED
from tests.helpers.tiny import tiny

seeds = st.integers(0, 10**6)
each_small_space = pytest.mark.parametrize("name", SMALL)
RECIPE = Recipe(epochs=30)


def lessons_of(
    strategy: str, space: AnySpace, seed: int, *, epoch: int = 30, recipe: Recipe = RECIPE
) -> list[SampledSubnet]:
    drawn = open_strategy(space, replace(recipe, strategy=strategy))
    return list(drawn(Step(epoch, recipe.epochs, 1, 10, 0.0), random.Random(seed)))


@pytest.mark.parametrize("strategy", STRATEGIES)
@each_small_space
def test_the_lessons_of_a_step_follow_from_the_seed_and_can_be_made(strategy: str, name: str) -> None:
    lessons = lessons_of(strategy, SMALL[name], 3)
    assert lessons == lessons_of(strategy, SMALL[name], 3)
    for place, lesson in enumerate(lessons):
        lower(SMALL[name], lesson.architecture)
        assert lesson.teacher is None or lesson.teacher < place


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_largest_network_is_alone_in_the_first_epochs(strategy: str) -> None:
    space, recipe = SMALL["per layer"], replace(RECIPE, warmup_largest_epochs=4)
    assert lessons_of(strategy, space, 0, epoch=4, recipe=recipe) == [SampledSubnet(space.largest())]
    assert len({tuple(lessons_of(strategy, space, seed, epoch=5, recipe=recipe)) for seed in range(9)}) > 1


# --- sandwich ---


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 5), seeds)
def test_a_sandwich_holds_the_largest_first_and_the_others_learn_from_it(count: int, seed: int) -> None:
    space = SMALL["per layer"]
    found = lessons_of("sandwich", space, seed, recipe=replace(RECIPE, num_random_subnets=count))
    assert found[0] == SampledSubnet(space.largest(), teacher=None)
    assert found[1] == SampledSubnet(space.smallest(), teacher=0)
    assert [lesson.teacher for lesson in found[2:]] == [0] * count


# --- single path ---


@each_small_space
def test_single_paths_are_uniform_over_architectures(name: str) -> None:
    space = SMALL[name]
    every = list(enumerate_architectures(space))
    drawn = open_strategy(space, replace(RECIPE, strategy="single_path"))
    rng, each = random.Random(0), max(30, 3000 // len(every))
    found: Counter[Architecture] = Counter()
    for _ in range(each * len(every)):
        [lesson] = drawn(Step(1, 30, 1, 10, 0.0), rng)
        found[lesson.architecture] += 1
        assert lesson.teacher is None
    assert set(found) <= set(every)
    misfit = sum((found[one] - each) ** 2 / each for one in every)  # chi-squared
    assert misfit < len(every) + 5 * (2 * len(every)) ** 0.5 + 5


# --- fair ---

UNEVEN = space_of(
    mb(depth=[2, 3, 4], kernel=[3, 5, 7], expand=[3, 4, 6]), mb("s2", depth=[1, 2], width=[8, 16], se=[False, True])
)


def counts(architectures: list[Architecture]) -> dict[str, Counter[Any]]:
    found: dict[str, Counter[Any]] = {}
    for architecture in architectures:
        for name, value in architecture.picks:
            found.setdefault(name, Counter())[value] += 1
    return found


def build(choose: Choose) -> Any:
    from hwnas.ops.classifier import Classifier
    from hwnas.ops.conv import Conv

    width = choose("width", [8, 16, 24])
    chain = {"stem": Conv(1, width, kernel=choose("kernel", [1, 3]))}
    if width > 8:  # two of three widths
        chain["more"] = Conv(width, width, kernel=choose("more", [1, 3, 5, 7]))
    return (1, 8, 8), {**chain, "head": Classifier(width, 10)}


FAIR: dict[str, AnySpace] = {
    **{name: space for name, space in SMALL.items() if space.canonical is None},
    "uneven": UNEVEN,
    "a function": FunctionSpace("fair", build),
}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(FAIR)), seeds)
def test_in_a_fair_step_the_options_of_every_choice_are_trained_equally_often(name: str, seed: int) -> None:
    space = FAIR[name]
    lessons = lessons_of("fair", space, seed)
    found = counts([lesson.architecture for lesson in lessons])
    assert found.keys() == {choice.name for choice in space.choices}
    for choice in space.choices:
        assert set(found[choice.name]) == set(choice.options)
        assert len(set(found[choice.name].values())) == 1, choice.name
    assert all(lesson.teacher is None for lesson in lessons)


def test_a_fair_step_takes_no_more_networks_than_it_must() -> None:
    expected = {"one network": 1, "per stage": 4, "shared knob": 6, "uneven": 36, "a function": 6}
    assert {name: len(lessons_of("fair", FAIR[name], 0)) for name in expected} == expected
    assert len(lessons_of("fair", tiny("nas_bench_201"), 0)) == 5


def test_choices_of_a_fair_step_are_drawn_apart() -> None:
    """Two choices of two options meet in all four ways, each as often."""
    space = space_of(mb(kernel=[3, 5], expand=[1, 2]))
    pairs = Counter(dict(lessons_of("fair", space, seed)[0].architecture.picks).__str__() for seed in range(800))
    assert len(pairs) == 4
    assert all(140 < count < 260 for count in pairs.values())


def test_a_space_that_cannot_be_fair_in_a_step_is_refused() -> None:
    space = space_of(mb(width=[8, 16, 24, 32, 40], kernel=[1, 3, 5, 7]), mb("s2", width=list(range(8, 64, 8))))
    with pytest.raises(ConfigError, match=r"no 64 networks .* `s2.width` has 7 options"):
        open_strategy(space, replace(RECIPE, strategy="fair"))


# --- progressive ---

WIDE = [*SHIPPED, *SMALL]


@pytest.mark.parametrize("name", WIDE)
def test_progressive_phases_widen_the_space_until_it_is_whole(name: str) -> None:
    space = SMALL[name] if name in SMALL else tiny(name)
    phases = phases_of(space, RECIPE)
    names = [choice for phase in phases for choice in phase.choices]
    assert sorted(names) == sorted(choice.name for choice in space.choices)
    assert [phase.epoch for phase in phases] == sorted({phase.epoch for phase in phases})
    assert all(phase.choices for phase in phases)
    if isinstance(space, Space) and space.canonical is None:
        for phase, later in zip(phases, phases[1:] or (), strict=False):
            closed = {choice for other in phases if other.epoch >= later.epoch for choice in other.choices}
            options = {choice.name: choice.options for choice in space.choices}
            for lesson in lessons_of("progressive", space, 5, epoch=later.epoch - 1):
                picks = dict(lesson.architecture.picks)
                assert all(picks[name] == options[name][-1] for name in closed & picks.keys()), phase
    last = lessons_of("progressive", space, 5, epoch=RECIPE.epochs)
    assert last[:2] == [SampledSubnet(space.largest()), SampledSubnet(space.smallest(), 0)]


@pytest.mark.parametrize("name", ["per layer", "blocks", "shared knob", "empty stages", "two operators"])
def test_every_architecture_of_a_widened_space_can_be_drawn(name: str) -> None:
    space = SMALL[name]
    drawn = {
        lesson.architecture
        for seed in range(2)
        for lesson in lessons_of("progressive", space, seed, recipe=replace(RECIPE, num_random_subnets=600))
    }
    every = set(enumerate_architectures(space))
    assert drawn <= every
    assert len(drawn) >= min(len(every), 300)


KINDS = {
    "per layer": {"s1.depth": "depth", "s1.1.kernel": "kernel", "s1.2.kernel": "kernel", "s1.2.expand": "width"},
    "resolutions": {"resolution": "kernel", "s1.depth": "depth"},
    "shared knob": {"k": "kernel"},
    "shared depth": {"d": "depth", "s2.2.kernel": "kernel"},
    "blocks": {"s1.1.op": "kernel", "s1.2.thin.expand": "width", "s1.2.wide.kernel": "kernel", "s1.depth": "depth"},
    "empty stages": {"w": "width", "s2.depth": "depth", "s3.1.expand": "width", "s2.2.kernel": "kernel"},
    "transformers": {"dim": "width", "s1.1.heads": "width", "s1.2.mlp_ratio": "width", "s1.depth": "depth"},
    "a function": {"width": "width", "more": "kernel", "kernel": "kernel"},
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_choice_changes_tells_its_kind(name: str) -> None:
    space = SMALL.get(name) or FAIR[name]
    named = {choice.name: choice for choice in space.choices}
    found = {choice: kind_of(space, named[choice]) for choice in KINDS[name]}
    if name == "a function":  # 8 channels have a layer less
        assert found.pop("width") == "depth"
    assert found == {choice: kind for choice, kind in KINDS[name].items() if choice in found}


def test_phases_can_be_listed() -> None:
    space = SMALL["per layer"]
    recipe = replace(RECIPE, phases=(("*.depth",), ("*.expand",)), phase_epochs=(5, 20), strategy="progressive")
    assert [(phase.epoch, phase.choices) for phase in phases_of(space, recipe)] == [
        (5, ("s1.depth",)),
        (20, ("s1.1.expand", "s1.2.expand")),
    ]
    shapes = {epoch: counts([lesson.architecture for seed in range(20) for lesson in lessons_of(
        "progressive", space, seed, epoch=epoch, recipe=recipe)]) for epoch in (4, 19, 20)}  # fmt: skip
    assert {len(shapes[epoch]["s1.1.kernel"]) for epoch in shapes} == {2}, "what is not listed is open from the start"
    assert [len(shapes[epoch]["s1.depth"]) for epoch in (4, 19)] == [1, 2]
    assert [len(shapes[epoch]["s1.1.expand"]) for epoch in (19, 20)] == [1, 2]


BAD_PHASES: dict[str, dict[str, Any]] = {
    r"`\*.kernle` matches no choice .*\. Did you mean": {"phases": (("*.kernle",),)},
    r"`phase_epochs` is \[1, 5\] for 3 phases in 30 epochs": {"phase_epochs": (1, 5)},
    r"`phase_epochs` is \[1, 5, 31\] for 3 phases": {"phase_epochs": (1, 5, 31)},
    r"`phase_epochs` is \[9, 5, 20\] for 3 phases": {"phase_epochs": (9, 5, 20)},
    r"`phase_epochs` is \[30, 30, 30\] for 3 phases": {"warmup_largest_epochs": 29},
}


@pytest.mark.parametrize("message", BAD_PHASES)
def test_phases_that_do_not_fit_are_refused(message: str) -> None:
    with pytest.raises(ConfigError, match=message.removesuffix(r" .*\. Did you mean")):
        open_strategy(SMALL["per layer"], replace(RECIPE, strategy="progressive", **BAD_PHASES[message]))


# --- of users ---

OWN = """
from hwnas.supernet import SampledSubnet

def largest(space, recipe):
    return lambda step, rng: [SampledSubnet(space.largest())]

def nothing(space, recipe):
    return lambda step, rng: []

def architectures(space, recipe):
    return lambda step, rng: [space.largest()]

def itself(space, recipe):
    return lambda step, rng: [SampledSubnet(space.largest(), teacher=0)]

def raises(space, recipe):
    return lambda step, rng: [SampledSubnet(space.nothing())]

def no_function(space, recipe):
    return [SampledSubnet(space.largest())]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def test_a_strategy_may_be_a_function_of_the_user(own: Path) -> None:
    space = SMALL["per layer"]
    drawn = open_strategy(space, replace(RECIPE, strategy="own.py:largest"), base=own)
    assert drawn(Step(1, 1, 1, 1, 0.0), random.Random(0)) == [SampledSubnet(space.largest())]


BAD_STRATEGIES = {
    "own.py:nothing": r"it said '\[\]' for a step",
    "own.py:architectures": "it said .*Architecture",
    "own.py:itself": "lesson 0 learns from lesson 0",
    "own.py:raises": r"own\.py:17: `own\.py:raises\(epoch=1, .*\)` raised AttributeError: 'Space' object has",
    "own.py:no_function": "it gave list, which cannot be called",
    "own.py:missing": "`own.py` defines no `missing`",
    "sandwhich": "unknown strategy `sandwhich`",
}


@pytest.mark.parametrize("reference", BAD_STRATEGIES)
def test_a_strategy_that_cannot_be_used_is_refused(reference: str, own: Path) -> None:
    with pytest.raises(ConfigError, match=BAD_STRATEGIES[reference]):
        open_strategy(SMALL["per layer"], replace(RECIPE, strategy=reference), base=own)(
            Step(1, 1, 1, 1, 0.0), random.Random(0)
        )
