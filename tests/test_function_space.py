"""Spaces written as a Python function."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from scipy.stats import chisquare

from hwnas.errors import SpaceError
from hwnas.network import lower, operators_of
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.space import Architecture, Choice, FunctionSpace
from hwnas.space.function import Choose
from hwnas.space_checks import check_space


def two_paths(choose: Choose) -> Any:
    """Deep networks choose a kernel, flat ones a width: six architectures, two of them flat."""
    chain: dict[str, Any] = {}
    width = 8
    if choose("deep", [False, True]):
        for i in (1, 2):
            chain[f"conv{i}"] = Conv(1 if i == 1 else 8, 8, choose(f"kernel{i}", [1, 3]))
    else:
        width = choose("width", [8, 16])
        chain["conv1"] = Conv(1, width)
    chain["head"] = Classifier(width, choose("classes", [10]))
    return (1, 8, 8), chain


SPACE = FunctionSpace("two_paths", two_paths, source="test_function_space.py")


def test_all_architectures_are_found_once() -> None:
    found = list(SPACE.enumerate())
    assert len(set(found)) == len(found) == SPACE.count == 6
    assert len({lower(SPACE, architecture) for architecture in found}) == 6


def test_drawing_is_uniform_over_architectures() -> None:
    rng = random.Random(0)
    drawn = Counter(SPACE.random(rng) for _ in range(600))
    assert len(drawn) == 6
    assert chisquare(list(drawn.values())).pvalue > 1e-3


def test_only_open_and_active_choices_are_asked() -> None:
    assert dict(SPACE.smallest().picks) == {"deep": False, "width": 8}
    assert dict(SPACE.largest().picks) == {"deep": True, "kernel1": 3, "kernel2": 3}
    assert {choice.name for choice in SPACE.choices} == {"deep", "kernel1", "kernel2", "width"}


@pytest.mark.parametrize("architecture", list(SPACE.enumerate()), ids=lambda architecture: architecture.key)
def test_replaying_gives_the_same(architecture: Architecture) -> None:
    again = Architecture.from_dict(json.loads(json.dumps(architecture.as_dict())))
    assert again == architecture
    assert lower(SPACE, again) == lower(SPACE, architecture)


def test_operators_cover_every_network() -> None:
    links = {link for found in SPACE.enumerate() for link in lower(SPACE, found).links}
    assert set(operators_of(SPACE)) == links


def test_a_space_beyond_counting_still_draws() -> None:
    def huge(choose: Choose) -> Any:
        chain = {f"c{i}": Conv(1, 1, choose(f"k{i}", [1, 3])) for i in range(40)}
        return (1, 4, 4), {**chain, "head": Classifier(1, 2)}

    space = FunctionSpace("huge", huge)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.space.function.COUNTABLE", 100)
        assert len(space.random(random.Random(0)).picks) == 40
        assert len(space.choices) == 40
        with pytest.raises(SpaceError, match="decides more than"):
            _ = space.count


def test_a_name_asked_twice_is_one_decision() -> None:
    def tied(choose: Choose) -> Any:
        kernels = [choose("kernel", [1, 3]) for _ in range(2)]
        return (1, 4, 4), {"a": Conv(1, 8, kernels[0]), "b": Conv(8, 8, kernels[1]), "head": Classifier(8, 2)}

    space = FunctionSpace("tied", tied)
    assert space.count == 2
    assert all(
        net.operators[0].knobs["kernel"] == net.operators[1].knobs["kernel"]
        for net in (lower(space, found) for found in space.enumerate())
    )


def asks(*questions: tuple[str, list[Any]]) -> Any:
    def build(choose: Choose) -> Any:
        for name, options in questions:
            choose(name, options)
        return (1, 4, 4), {"head": Classifier(1, 2)}

    return build


REFUSED: dict[str, tuple[Any, str]] = {
    "no options": (asks(("a", [])), "the choice `a` has no options"),
    "two lists": (asks(("a", [1, 2]), ("a", [1, 3])), "the choice `a` is asked with two lists of options"),
    "repeated option": (asks(("a", [1, 1])), "the choice `a` repeats an option"),
    "no network": (lambda choose: None, "the function returns NoneType.*input_shape"),
    "no operators": (lambda choose: ((1, 4, 4), {}), "the function returns tuple"),
    "modules for operators": (lambda choose: ((1, 4, 4), {"a": Conv(1, 2).module()}), "the function returns tuple"),
    "does not run": (lambda choose: ((3, 4, 4), {"a": Conv(1, 2)}), "the module fails at input 3x4x4"),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_a_function_that_breaks_the_contract_is_refused(build: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_space(FunctionSpace("bad", build))


def test_misfits_are_refused() -> None:
    with pytest.raises(SpaceError, match="`9` is no option of choice `deep`"):
        SPACE.sample(lambda choice: 9)
    with pytest.raises(SpaceError, match="decides nothing for choice `deep`"):
        lower(SPACE, Architecture("two_paths", ()))
    extra = Architecture("two_paths", (("deep", False), ("kernel1", 3), ("width", 8)))
    with pytest.raises(SpaceError, match="picks `kernel1`, which is not active"):
        lower(SPACE, extra)


def test_choices_are_plain_data() -> None:
    assert SPACE.choices[0] == Choice("deep", (False, True))
