"""Spaces of stages: counted exactly, drawn uniformly, replayed, refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hwnas.errors import ConfigError, SpaceError
from hwnas.network import lower
from hwnas.space import Architecture, Choice, Space, parse_space, read_space
from hwnas.space.values import parse_shape
from hwnas.space_checks import check_space
from tests.helpers.spaces import HEAD, INPUT, SMALL, enumerate_architectures, mb, space_of

small_spaces = pytest.mark.parametrize("space", SMALL.values(), ids=SMALL)


@small_spaces
def test_the_count_is_what_enumeration_finds(space: Space) -> None:
    found = list(enumerate_architectures(space))
    assert len(set(found)) == len(found) == space.count


@small_spaces
def test_equal_networks_have_equal_architectures(space: Space) -> None:
    networks = {lower(space, architecture) for architecture in enumerate_architectures(space)}
    assert len(networks) == space.count


@small_spaces
def test_drawing_is_uniform_within_chance(space: Space) -> None:
    rng = random.Random(1)
    drawn = Counter(space.random(rng) for _ in range(30 * space.count))
    assert set(drawn) <= set(enumerate_architectures(space))
    counts = [*drawn.values(), *[0] * (space.count - len(drawn))]
    if space.count > 1:
        assert chisquare(counts).pvalue > 1e-3


def test_drawing_by_weight_is_exact_beyond_floating_point() -> None:
    choice = Choice("depth", (1, 2), (10**400, 3 * 10**400))
    rng = random.Random(0)
    assert 0.7 < sum(choice.draw(rng) == 2 for _ in range(1000)) / 1000 < 0.8


@small_spaces
def test_smallest_and_largest_are_the_ends_of_every_choice(space: Space) -> None:
    options = {choice.name: choice.options for choice in space.choices}
    assert all(value == options[name][0] for name, value in space.smallest().picks)
    assert all(value == options[name][-1] for name, value in space.largest().picks)


@small_spaces
def test_choices_are_exactly_what_walks_ask_for(space: Space) -> None:
    met = {name for architecture in enumerate_architectures(space) for name, _ in architecture.picks}
    assert met == {choice.name for choice in space.choices}


@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(SMALL)))
@settings(max_examples=100, deadline=None)
def test_replaying_an_architecture_gives_it_back(seed: int, name: str) -> None:
    space = SMALL[name]
    architecture = space.random(random.Random(seed))
    picks = dict(architecture.picks)
    assert space.sample(lambda choice: picks[choice.name]) == architecture
    again = Architecture.from_dict(json.loads(json.dumps(architecture.as_dict())))
    assert (again, again.key) == (architecture, architecture.key)
    assert lower(space, again) == lower(space, architecture)


def test_keys_are_the_same_in_every_process() -> None:
    architecture = SMALL["per layer"].largest()
    code = f"from hwnas import Architecture; print(Architecture.from_dict({architecture.as_dict()!r}).key)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert done.stdout.strip() == architecture.key
    assert len({found.key for found in enumerate_architectures(SMALL["blocks"])}) == SMALL["blocks"].count


def test_no_inactive_choice_is_ever_asked() -> None:
    asked: list[str] = []

    def shallow(choice: Choice) -> Any:
        asked.append(choice.name)
        return choice.options[0]

    SMALL["per layer"].sample(shallow)
    assert asked == ["s1.depth", "s1.1.kernel", "s1.1.expand"]


def test_a_count_may_be_far_beyond_64_bits() -> None:
    layer = 3 * 4
    space = space_of(*(mb(f"s{i}", depth=[19, 20], kernel=[3, 5, 7], expand=[1, 2, 3, 4]) for i in range(5)))
    assert space.count == (layer**19 + layer**20) ** 5
    assert len(space.random(random.Random(0)).picks) > 5 * 19 * 2


class TestMisfits:
    """Architectures that do not fit their space."""

    space = SMALL["per layer"]

    def refuse(self, message: str, **changes: Any) -> None:
        picks = {**dict(self.space.smallest().picks), **changes}
        kept = tuple(sorted((name, value) for name, value in picks.items() if value is not None))
        with pytest.raises(SpaceError, match=message):
            lower(self.space, Architecture("small", kept))

    def test_a_choice_left_open(self) -> None:
        self.refuse(r"decides nothing for choice `s1\.1\.kernel`.*Options: 3, 5", **{"s1.1.kernel": None})

    def test_a_choice_that_is_not_active(self) -> None:
        self.refuse(r"picks `s1\.2\.kernel`, which is not active.*Did you mean `s1\.1\.kernel`", **{"s1.2.kernel": 3})

    def test_a_value_that_is_no_option(self) -> None:
        self.refuse(r"`4` is no option of choice `s1\.1\.kernel`.*Options: 3, 5", **{"s1.1.kernel": 4})

    def test_a_hand_that_invents_options(self) -> None:
        with pytest.raises(SpaceError, match=r"`99` is no option of choice `s1\.depth`"):
            self.space.sample(lambda _: 99)

    def test_another_space(self) -> None:
        with pytest.raises(SpaceError, match="the architecture is of space `other`"):
            lower(self.space, replace(self.space.smallest(), space="other"))

    def test_a_form_that_is_none(self) -> None:
        with pytest.raises(SpaceError, match=r"front\.json: keys \['kernel'\] do not describe an architecture"):
            Architecture.from_dict({"kernel": 3}, where="front.json")


def raw(**changes: Any) -> dict[str, Any]:
    space = {"name": "x", "input": INPUT, "classes": 4, "stages": [mb(), HEAD]}
    return {key: value for key, value in {**space, **changes}.items() if value is not None}


def stages(**knobs: Any) -> dict[str, Any]:
    stage = {key: value for key, value in mb(**knobs).items() if value is not None}
    return raw(stages=[stage, HEAD])


BLOCKS = {"a": {"op": "mbconv", "kernel": [3, 5], "expand": 2}, "b": {"op": "mbconv", "kernel": [5, 7], "expand": 2}}

MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (raw(clases=4), r"x\.yaml: unknown key `clases`\. Did you mean `classes`\?"),
    "unknown input key": (raw(input={**INPUT, "size": 3}), r"x\.yaml: input: unknown key `size`\. Known: channels"),
    "missing key": (raw(classes=None), "the key `classes` or `outputs` is missing"),
    "no stages": (raw(stages=[]), "`stages` is no list of stages"),
    "stage without operator": (raw(stages=[{"name": "s1"}]), "stage 1 has no `name` or no `op`"),
    "stage is a word": (raw(stages=["conv"]), "stage 1 has no `name` or no `op`"),
    "empty choice": (stages(kernel=[]), r"stage `s1`: the choice `kernel` has no options\. A list holds at least one"),
    "repeated option": (stages(kernel=[3, 5, 3]), "the choice `kernel` repeats an option"),
    "equal options": (stages(expand=[2, 2.0]), "the choice `expand` repeats an option"),
    "nested option": (stages(kernel=[[3]]), r"`kernel` holds \[3\]"),
    "infinite option": (stages(expand=float("inf")), "`expand` holds inf"),
    "undefined option": (stages(expand=[1, float("nan")]), "`expand` holds nan"),
    "unknown operator": (stages(op="mbcov"), r"unknown operator `mbcov`\. Did you mean `mbconv`\?"),
    "unknown knob": (stages(kernal=5), r"`mbconv` has no knob `kernal`\. Did you mean `kernel`\?"),
    "misspelt width": (stages(widht=5), r"`mbconv` has no knob `widht`\. Did you mean `width`\?"),
    "missing knob": (stages(kernel=None), r"`mbconv` lacks its knob `kernel`.*Write `kernel: VALUE`"),
    "missing width": (stages(width=None), r"`mbconv` lacks its knob `width`"),
    "derived knob": (stages(in_channels=3), "`in_channels` is set"),
    "width by another name": (stages(out_channels=3), "`out_channels` is set.*Write `width` in the stage"),
    "unknown activation in the middle": (stages(activation=["relu", "rleu"]), "unknown activation `rleu`.*`relu`"),
    "operator in the middle": (stages(op=["mbconv", "nope", "bottleneck"]), "unknown operator `nope`"),
    "stride beyond the resolution": (stages(stride=9), "`s1_1` strides 9 at resolution 8.*larger input resolution"),
    "always empty": (stages(depth=0), "the stage never has a layer"),
    "negative depth": (stages(depth=[-1, 1]), "`depth` is -1"),
    "empty last stage": (raw(stages=[mb(), {**HEAD, "depth": [0, 1]}]), "the last stage may be empty"),
    "open width of an empty stage": (stages(depth=[0, 1], width=[8, 16]), "`width` is open once for a stage"),
    "open knob of an empty stage": (
        stages(depth=[0, 1], kernel=[3, 5], per="stage"),
        "`kernel` is open once for a stage that may be empty",
    ),
    "choice shared by empty stages": (
        raw(stages=[mb(depth=[0, 1], kernel="$k"), mb("s2", depth=[0, 1], kernel="$k"), HEAD], choices={"k": [3, 5]}),
        "share a choice with a stage that is never empty",
    ),
    "fractional width": (stages(width=8.5), "`width` is 8.5"),
    "depth true": (stages(depth=True), "`depth` is True"),
    "no resolution": (raw(input={"channels": 3}), "`resolution` holds None"),
    "duplicate stage": (raw(stages=[mb(), mb(), HEAD]), "two stages are named `s1`"),
    "width of the last stage": (raw(stages=[mb(), {**HEAD, "width": 3}]), "the last stage `head` has a width"),
    "unused shared choice": (raw(choices={"k": [3, 5]}), r"the choice `k` is used nowhere.*Use `\$k` or remove it"),
    "undeclared shared choice": (stages(kernel="$k"), r"knob `kernel` refers to `\$k`"),
    "shared resolution": (raw(choices={"resolution": [8]}), "a shared choice is named `resolution`"),
    "bad space name": (raw(name="My Space"), "`My Space` is no name"),
    "bad stage name": (stages(name="s.1"), "`s.1` is no name"),
    "bad choice name": (raw(choices={"K": [1]}), "`K` is no name"),
    "bad per": (stages(per="network"), "`per: network` is not understood"),
    "per of no knob": (stages(per={"kernal": "stage"}), "names no knob or no level. Did you mean `kernel`"),
    "block without operator": (raw(blocks={"a": {"kernel": 3}}), "block `a` names no operator"),
    "block with a shared knob": (
        raw(blocks={"a": {"op": "mbconv", "kernel": "$k"}}, choices={"k": [3, 5]}),
        "A block's own knobs cannot be shared choices",
    ),
    "equal blocks": (raw(blocks={"a": BLOCKS["a"], "b": BLOCKS["a"]}), "two blocks are the same"),
    "overlapping blocks": (
        raw(blocks=BLOCKS, stages=[{"name": "s1", "op": ["a", "b"], "width": 8}, HEAD]),
        "the blocks `a` and `b` can become the same `mbconv`",
    ),
    "overlap through a default": (
        raw(
            blocks={"a": {"op": "conv", "kernel": 3}, "b": {"op": "conv"}},
            stages=[{"name": "s1", "op": ["a", "b"], "width": 8}, HEAD],
        ),
        "the blocks `a` and `b` can become the same `conv`",
    ),
    "knob set twice": (
        raw(blocks=BLOCKS, stages=[{"name": "s1", "op": "a", "kernel": 3, "width": 8}, HEAD]),
        "`kernel` is set by the stage and by its block `a`",
    ),
}


@pytest.mark.parametrize(("space", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_space_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises((SpaceError, ConfigError), match=message) as caught:
        check_space(parse_space(space, where="x.yaml"))
    error = caught.value
    assert all((error.met, error.where, error.allowed, error.do)), "four parts"
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


def test_a_repeated_key_in_the_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: x\nclasses: 3\nclasses: 4\n")
    with pytest.raises(ConfigError, match=r"twice\.yaml:3: .*`classes` stands here twice"):
        read_space(path)


def test_a_shape_is_read_from_an_option() -> None:
    assert parse_shape("3,32,32", "--input", where="hwnas open") == parse_shape("3x32x32", "--input", where="x")


@pytest.mark.parametrize("text", ["", "3,,3", "-1,3", "0", "3.5", "²", "three"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no shape"):
        parse_shape(text, "--input", where="hwnas open")
