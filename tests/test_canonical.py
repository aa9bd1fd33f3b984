"""`canonical`: a function of the space's that says which decisions make the same network."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare

from hwnas.errors import ConfigError, HwnasError, SpaceError
from hwnas.network import lower, operators_by_slot
from hwnas.pareto import Objective, Tier
from hwnas.pipeline import open_space
from hwnas.population import codebook_of
from hwnas.search.evaluate import Evaluation
from hwnas.search.progress import Finished
from hwnas.search.samplers import SAMPLERS
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.search.surrogate import Acquisition, candidates_of
from hwnas.space import Architecture, parse_space
from hwnas.space.canonical import MAX_COMBINATIONS
from tests.helpers.spaces import SMALL, enumerate_architectures, mb, space_of

SPACE = SMALL["canonical"]
TIER = Tier("edge", (Objective("top1@toy", "max"),))


def test_the_count_is_of_unlike_networks() -> None:
    """One layer: two expansions; two layers: four, with each of two kernels; twice that, with and without attention."""
    assert SPACE.count == len(list(enumerate_architectures(SPACE))) == 2 * (2 * 1 + 4 * 2)
    assert len({lower(SPACE, architecture) for architecture in enumerate_architectures(SPACE)}) == SPACE.count


def test_drawing_is_uniform_over_unlike_networks() -> None:
    rng = random.Random(0)
    drawn = Counter(SPACE.random(rng) for _ in range(40 * SPACE.count))
    assert set(drawn) == set(enumerate_architectures(SPACE))
    assert chisquare(list(drawn.values())).pvalue > 1e-3


def test_only_operators_of_networks_that_stand_for_some_are_listed() -> None:
    found = operators_by_slot(SPACE)
    for architecture in enumerate_architectures(SPACE):
        network = lower(SPACE, architecture)
        for slot, link in zip(network.slots, network.links, strict=True):
            assert link in found[slot]


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_a_search_tries_each_network_once(sampler: str) -> None:
    guide = Acquisition(candidates_of(codebook_of(SPACE)), [])
    study = open_study(StudySpec(SPACE, TIER, sampler, population=4, guide=guide))
    finished = study.run(lambda a: Evaluation(a, {"top1@toy": float(len(a.key))}), 100)
    assert finished == Finished(20, 0, "all 20 architectures of the space were tried")


def test_what_does_not_stand_for_its_network_is_refused_with_what_does() -> None:
    picks = dict(SPACE.sample(lambda choice: choice.options[0]).picks) | {"k": 5}
    with pytest.raises(SpaceError, match=r"another architecture stands for this network: k 5.*In that one: k 3"):
        lower(SPACE, Architecture(SPACE.name, tuple(sorted(picks.items()))))


def test_a_pick_that_equals_an_option_becomes_that_option() -> None:
    space = replace(SPACE, canonical=lambda picks: {**picks, "k": 3.0})
    picks = dict(space.largest().picks)
    assert (picks["k"], type(picks["k"])) == (3, int)


def test_a_file_beside_the_space_may_hold_the_function(tmp_path: Path) -> None:
    (tmp_path / "equal.py").write_text("def same(picks):\n    return {**picks, 'k': 3}\n")
    (tmp_path / "s.yaml").write_text(
        "name: s\ncanonical: equal.py:same\ninput: {channels: 1, resolution: 8}\nclasses: 2\nchoices: {k: [3, 5]}\n"
        "stages: [{name: s1, op: conv, width: 8, kernel: $k}, {name: head, op: classifier}]\n"
    )
    space, _ = open_space(tmp_path / "s.yaml")
    assert space.count == 1
    assert space.largest() == space.smallest()


def refuses(picks: Any) -> Any:
    raise ZeroDivisionError("no")


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "raises": (refuses, "`refuses(n=1, k=3)` raised ZeroDivisionError: no"),
    "leaves a choice out": (lambda picks: {"n": 1}, "the function returns picks of n"),
    "picks what is no option": (lambda picks: {**picks, "k": 4}, "picks 4 for `k`, which is no option"),
    "returns no picks": (lambda picks: 3, "raised TypeError"),
    "turns round": (lambda picks: {**picks, "k": 8 - picks["k"]}, "maps what it returned to something else"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_function_at_fault_is_told(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "current", FAULTS[fault][0], raising=False)
    stages = mb(depth="$n"), mb("s2", kernel="$k")
    space = space_of(*stages, choices={"n": [1, 2], "k": [3, 5]}, canonical=f"{__name__}:current")
    with pytest.raises(HwnasError) as caught:
        assert space.count
    assert FAULTS[fault][1] in caught.value.met
    assert "canonical" in caught.value.where


def test_too_many_combinations_are_refused() -> None:
    choices = {f"k{n}": [1, 3, 5, 7, 9] for n in range(8)}
    stages = [{"name": f"s{n}", "op": "conv", "width": 8, "kernel": f"$k{n}"} for n in range(8)]
    space = space_of(*stages, choices=choices, canonical="tests.helpers.spaces:flat")
    with pytest.raises(SpaceError, match=rf"390,625 combinations.*Up to {MAX_COMBINATIONS:,}"):
        assert space.count


@pytest.mark.parametrize(
    "reference", ["tests.helpers.spaces:HEAD", "tests.helpers.spaces:nothing", "tests.helpers.spaces", 3]
)
def test_a_reference_that_names_no_function_is_refused(reference: Any) -> None:
    with pytest.raises((SpaceError, ConfigError)) as caught:
        parse_space({"name": "s", "input": {"channels": 1, "resolution": 8}, "classes": 2, "canonical": reference,
                     "stages": [{"name": "head", "op": "classifier"}]}, where="s.yaml")  # fmt: skip
    assert "s.yaml" in caught.value.where
