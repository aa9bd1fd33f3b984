"""Architectures in their projects' own notations."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import SpaceError
from hwnas.io.yaml import read_yaml
from hwnas.notation import NOTATIONS, read_architecture, write_architecture
from hwnas.notation.fbnet import WORDS
from hwnas.space import Space, parse_space, read_space

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"
WRITTEN = {path.stem: space for path in sorted(SPACES.glob("*.yaml")) if (space := read_space(path)).notation}


def test_every_notation_is_used_by_a_space() -> None:
    assert {space.notation for space in WRITTEN.values()} == set(NOTATIONS)


@given(name=st.sampled_from(("ofa_mobilenet_v3_w1.0", "ofa_proxyless_w1.3")), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_entries_of_layers_that_are_not_there_mean_nothing(name: str, seed: int) -> None:
    space = WRITTEN[name]
    architecture = space.random(random.Random(seed))
    written = write_architecture(space, architecture)
    for stage, depth in enumerate(written["d"][:5]):
        for layer in range(4 * stage + depth, 4 * stage + 4):
            written["ks"][layer] = written["e"][layer] = 0  # as that project's encoder writes them
    assert read_architecture(space, written, where="test") == architecture


def test_one_value_stands_for_all_layers_and_a_resolution_may_stand_in_a_list() -> None:
    space = WRITTEN["ofa_mobilenet_v3_w1.0"]
    read = read_architecture(space, {"wid": None, "ks": 7, "e": 6, "d": 4, "r": [224]}, where="test")
    assert read == space.largest()
    fixed = WRITTEN["ofa_mobilenet_v3_224"]
    assert read_architecture(fixed, {"ks": 7, "e": 6, "d": 4}, where="test") == fixed.largest()


def test_a_last_layer_that_once_for_all_leaves_out_is_the_largest() -> None:
    space = WRITTEN["ofa_proxyless_w1.3"]
    written = write_architecture(space, space.smallest())
    short = {key: value[:-1] if isinstance(value, list) else value for key, value in written.items()}
    picks = dict(read_architecture(space, short, where="test").picks)
    assert (picks["s6.1.kernel"], picks["s6.1.expand"]) == (7, 6)
    assert {**picks, "s6.1.kernel": 3, "s6.1.expand": 3} == dict(space.smallest().picks)


def test_places_that_round_to_one_width_or_one_stem_are_one_architecture() -> None:
    space = WRITTEN["ofa_resnet50d"]
    written = write_architecture(space, space.smallest())
    other = {**written, "d": [1, *written["d"][1:]], "w": [1, *written["w"][1:]]}
    assert read_architecture(space, other, where="test") == space.smallest()


@given(words=st.lists(st.sampled_from(sorted(WORDS.picks)), min_size=22, max_size=22))
@settings(max_examples=100, deadline=None)
def test_where_a_skip_stands_in_a_stage_does_not_matter(words: list[str]) -> None:
    """The layers are 1, then five stages of 4 whose first skip is a convolution, then 1."""
    moved = [words[0]]
    for first in range(1, 21, 4):
        rest = words[first + 1 : first + 4]
        moved += [words[first], *(word for word in rest if word != "skip"), *["skip"] * rest.count("skip")]
    moved.append(words[21])
    space = WRITTEN["fbnet"]
    read = read_architecture(space, words, where="test")
    assert read == read_architecture(space, [[word] for word in moved], where="test")
    paper = [word.removeprefix("ir_").replace("s2", "e1_g2") for word in moved]
    assert write_architecture(space, read) == paper


def test_a_string_of_digits_may_be_a_list() -> None:
    space = WRITTEN["nas_bench_macro"]
    read = read_architecture(space, [0, 1, 2, 0, 1, 0, 0, 2], where="test")
    assert read == read_architecture(space, "01201002", where="test")
    assert write_architecture(space, read) == "01" + "210" + "020"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("ofa_mobilenet_v3_w1.0", {"wid": [1]}, "unknown key `wid`"),
        ("ofa_mobilenet_v3_w1.0", {"w": [0] * 6}, "unknown key `w`"),
        ("ofa_mobilenet_v3_w1.0", {"ks": [3] * 19}, "`ks` holds 19 entries. It holds 20"),
        ("ofa_mobilenet_v3_w1.0", {"d": None}, "`null` is no option of `d`, entry 1"),
        ("ofa_mobilenet_v3_w1.0", {"ks": [4] * 20}, "`4` is no option of `ks`, entry 1. Options: 3, 5, 7"),
        ("ofa_mobilenet_v3_w1.0", {"ks": [[3]] * 20}, "`[3]` is no option of `ks`, entry 1"),
        ("ofa_resnet50d", {"d": True}, "`true` is no option of `d`, entry 1"),
        ("ofa_mobilenet_v3_w1.0", {"r": 225}, "`225` is no option of `r`"),
        ("ofa_mobilenet_v3_w1.0", {"r": [224, 192]}, "`r` holds 2 entries"),
        ("ofa_mobilenet_v3_224", {"r": 192}, "`192` is no option of `r`. Options: 224"),
        ("ofa_proxyless_w1.3", {"e": [3] * 19}, "`e` holds 19 entries. It holds 20 or 21"),
        ("ofa_proxyless_w1.3", {"d": [2, 2, 2, 2, 2, 2]}, "`2` is no option of `d`, entry 6"),
        ("ofa_mobilenet_v3_w1.0", {"d": "2"}, '`"2"` is no option of `d`, entry 1. Options: 2, 3, 4'),
        ("ofa_mobilenet_v3_w1.0", {"d": [2]}, "`d` holds 1 entry. It holds 5"),
        ("ofa_resnet50d", {"ks": [3] * 18}, "unknown key `ks`"),
        ("ofa_resnet50d", {"d": [2, 3, 0, 0, 0]}, "`3` is no option of `d`, entry 2. Options: 0, 1, 2"),
        ("ofa_resnet50d", {"e": 0.3}, "`0.3` is no option of `e`, entry 1"),
        ("attentive_nas", {"kernel": [3] * 7}, "unknown key `kernel`. Did you mean `kernel_size`"),
        ("attentive_nas", {"expand_ratio": [2, 4, 4, 4, 4, 6, 6]}, "`2` is no option of `expand_ratio`, entry 1"),
    ],
    ids=str,
)
def test_lists_that_do_not_fit_are_refused_by_name(name: str, change: dict[str, Any], told: str) -> None:
    space = WRITTEN[name]
    refuse(space, write_architecture(space, space.largest()) | change, told)


@pytest.mark.parametrize(
    ("name", "raw", "told"),
    [
        ("ofa_mobilenet_v3_w1.0", ["k3_e1"], "`list` is no architecture. The form is {ks: [...], e: [...]"),
        ("ofa_mobilenet_v3_w1.0", {"ks": 3, "e": 3, "d": 2}, "the key `r` is missing"),
        ("fbnet", {"ks": 3}, "`dict` is no architecture. The form is a list of 22 block names"),
        ("fbnet", ["skip"] * 21, "21 blocks are named. Space `fbnet` has 22 layers"),
        ("fbnet", ["k3_e3"] * 21 + ["k7_e3"], "unknown block `k7_e3` for layer 22. Did you mean `k"),
        ("fbnet", ["k3_e3"] * 21 + [["k3_e3", "skip"]], "unknown block `['k3_e3', 'skip']` for layer 22"),
        ("nas_bench_macro", 1201202, "`int` is no architecture. The form is a string of eight digits"),
        ("nas_bench_macro", "0120120", "7 blocks are named. Space `nas_bench_macro` has 8 layers"),
        ("nas_bench_macro", "01201203", "unknown block `3` for layer 8"),
    ],
    ids=str,
)
def test_forms_that_do_not_fit_are_refused_by_name(name: str, raw: Any, told: str) -> None:
    refuse(WRITTEN[name], raw, told)


def refuse(space: Space, raw: Any, told: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read_architecture(space, raw, where="arch.json")
    error = caught.value
    assert told in str(error)
    assert error.where == "arch.json"
    assert all((error.met, error.allowed, error.do))


def test_what_a_narrower_space_has_decided_must_fit_where_the_layer_is_there() -> None:
    raw = read_yaml(SPACES / "ofa_mobilenet_v3_224.yaml")
    raw["stages"][2]["expand"] = 6
    space = parse_space(raw, where="x.yaml")
    written = write_architecture(space, space.smallest())
    absent = {**written, "e": [*written["e"][:2], 3, 3, *written["e"][4:]]}
    assert read_architecture(space, absent, where="arch.json") == space.smallest()
    refuse(space, {**written, "e": [3, *written["e"][1:]]}, "`3` is no option of `e`, entry 1. Options: 6")


@pytest.mark.parametrize("notation", ["ofa", "ofa_resnet", "attentive_nas", "fbnet", "nas_bench_macro"])
def test_a_space_that_is_built_otherwise_is_refused(notation: str) -> None:
    space = replace(read_space(SPACES / "cifar10_bottleneck.yaml"), notation=notation)
    with pytest.raises(SpaceError):
        read_architecture(space, {"ks": 3, "r": 32, "resolution": 32}, where="arch.json")


@pytest.mark.parametrize("notation", ["ofa", "ofa_resnet", "attentive_nas", "fbnet", "nas_bench_macro"])
def test_a_space_with_choices_that_its_notation_does_not_know_is_refused(notation: str) -> None:
    file = {"ofa": "ofa_mobilenet_v3_224", "ofa_resnet": "ofa_resnet50d"}.get(notation, notation)
    raw = read_yaml(SPACES / f"{file}.yaml")
    raw["stages"][-1]["dropout"] = [0.1, 0.2]
    space = parse_space(raw, where="x.yaml")
    with pytest.raises(SpaceError, match=rf"`head\.1\.dropout` has no place in the notation `{notation}`"):
        read_architecture(space, write_architecture(WRITTEN[file], WRITTEN[file].largest()), where="arch.json")


def test_a_space_without_a_notation_says_how_its_architectures_are_written() -> None:
    space = read_space(SPACES / "digits.yaml")
    assert write_architecture(space, space.largest()) is None
    with pytest.raises(SpaceError, match="no notation of its own"):
        read_architecture(space, {"ks": [3]}, where="arch.json")
