"""Bad spaces, each in a file as a person would write it: an error in four parts that names the file and the stage."""

from __future__ import annotations

import json
import math
import random
import textwrap
import time
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, SpaceError
from hwnas.network import lower, operators_of
from hwnas.pareto import Objective, Tier
from hwnas.pipeline import cost, open_space, space_facts
from hwnas.report.units import architectures
from hwnas.search.evaluate import evaluate
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Space, parse_space, read_space
from hwnas.space_checks import check_space

HEAD = "  - {name: head, op: classifier}\n"


def space(*stages: str, top: str = "", given: str = "{channels: 3, resolution: 8}") -> str:
    listed = "".join(f"  - {{{stage}}}\n" for stage in stages)
    return f"name: bad\ninput: {given}\nclasses: 4\n{top}stages:\n{listed}{HEAD}"


MB = "name: s1, op: mbconv, width: 8, kernel: 3, expand: 2"

BAD: dict[str, tuple[str, str, str]] = {  # the file, what is met, which stage or line is named
    # the list
    "an unknown operator": (space("name: s1, op: mbcnv, width: 8"), "unknown operator `mbcnv`", "s1"),
    "a missing knob": (space("name: s1, op: mbconv, width: 8, kernel: 3"), "`mbconv` lacks its knob `expand`", "s1"),
    "a missing width": (space("name: s1, op: conv"), "`conv` lacks its knob `width`", "s1"),
    "a width that heads do not divide": (
        space("name: patch, op: patchembed, width: 24, patch: 4, grid: 2",
              "name: s1, op: transformer, width: 24, heads: [3, 5], head_width: 0"),
        "width 24 is not divisible by 5 heads", "s1",
    ),
    "a kernel of nothing": (space("name: s1, op: conv, width: 8, kernel: 0"), "`kernel` is 0", "s1"),
    "a stride beyond its kernel": (
        space("name: s1, op: conv, width: 8, kernel: 3, stride: 4"), "stride 4 is beyond the reach of kernel 3", "s1"
    ),
    "a stride beyond one of its kernels": (
        space("name: s1, op: conv, width: 8, kernel: [5, 2, 3], stride: 3"), "stride 3 is beyond the reach", "s1"
    ),
    "a stride beyond the resolution": (
        space("name: s1, op: conv, width: 8, kernel: 9, stride: 9"), "`s1_1` strides 9 at resolution 8", "s1"
    ),
    "a stride beyond one of the resolutions": (
        space("name: s1, op: conv, width: 8, stride: 2", "name: s2, op: conv, width: 8, kernel: 4, stride: 4",
              given="{channels: 3, resolution: [4, 8]}"), "`s2_1` strides 4 at resolution 2", "s2"
    ),
    "a kernel without padding beyond the input": (
        space("name: patch, op: patchembed, width: 24, patch: 16, grid: 1"), "the module fails at input 3x8x8", "patch"
    ),
    "no depth": (space(f"{MB}, depth: []"), "the choice `depth` has no options", "s1"),
    "a depth of nothing": (space(f"{MB}, depth: 0"), "the stage never has a layer", "s1"),
    "an empty depth": (space(f"{MB}, depth: "), "`depth` holds None", "s1"),
    "two stages of one name": (space(MB, MB), "two stages are named `s1`", ""),
    "two keys of one name": (space(f"{MB}, kernel: 5"), "key `kernel` stands here twice", ":5"),
    "two blocks of one name": (
        space("name: s1, op: a, width: 8", top="blocks:\n  a: {op: conv}\n  a: {op: mbconv}\n"),
        "key `a` stands here twice", ":6",
    ),
    "two options of one value": (space(f"{MB}, depth: [1, 1.0]"), "the choice `depth` repeats an option", "s1"),
    "choices of each other": (
        space(f"{MB}, se: $a", top="choices: {a: $b, b: $a}\n"), "the choice `a` refers to `$b`", "choices"
    ),
    "a choice of itself": (
        space(f"{MB}, se: $a", top="choices: {a: [1, $a]}\n"),
        "the choice `a` refers to `$a`", "choices",
    ),
    "a block of itself": (
        space("name: s1, op: a, width: 8", top="blocks: {a: {op: a}}\n"),
        "unknown operator `a`", "s1",
    ),
    "blocks of each other": (
        space("name: s1, op: a, width: 8", top="blocks: {a: {op: b}, b: {op: a, kernel: 3}}\n"),
        "the block `a` is made of `b`, which is no operator", "s1",
    ),
    "an anchor of itself": (
        space(f"{MB}, se: &loop [*loop]"), "an anchor holds itself", ":5",
    ),
    # options from large to small: the last option is taken for the largest everywhere
    "widths from large to small": (
        space("name: s1, op: conv, width: [16, 8]"), "`width` does not list its options", "s1"
    ),
    "widths in no order": (space("name: s1, op: conv, width: [8, 32, 16]"), "`width` does not list its options", "s1"),
    "depths from large to small": (space(f"{MB}, depth: [2, 1]"), "`depth` does not list its options", "s1"),
    "resolutions from large to small": (
        space(MB, given="{channels: 3, resolution: [16, 8]}"), "`resolution` does not list its options", "input"
    ),
    "shared widths from large to small": (
        space("name: s1, op: conv, width: $w", top="choices: {w: [16, 8]}\n"), "`width` does not list its options", "s1"
    ),
    "kernels from large to small": (
        space("name: s1, op: conv, width: 8, kernel: [5, 3]"), "`s1.1.kernel` does not list its options", "s1"
    ),
    "kernels in no order": (
        space("name: s1, op: conv, width: 8, kernel: [5, 3, 7]"), "`s1.1.kernel` does not list its options", "s1"
    ),
    "shared expansions from large to small": (
        space("name: s1, op: mbconv, width: 8, kernel: 3, expand: $e", top="choices: {e: [6, 2.5]}\n"),
        "`e` does not list its options", "",
    ),
    "a block's kernels from large to small": (
        space("name: s1, op: [conv, b], width: 8", top="blocks: {b: {op: mbconv, kernel: [5, 3], expand: 2}}\n"),
        "`s1.1.b.kernel` does not list its options", "s1",
    ),
    "yes before no": (space(f"{MB}, se: [true, false]"), "`s1.1.se` does not list its options", "s1"),
    "features from large to small": (
        space(MB).replace("op: classifier", "op: classifier, features: [64, 16]"),
        "`head.1.features` does not list", "head",
    ),
    # even kernels
    "an even kernel": (
        space("name: s1, op: conv, width: 8, kernel: 4"), "the even kernel 4 changes the resolution", "s1"
    ),
    "an even kernel in the middle": (
        space("name: s1, op: mbconv, width: 16, kernel: [3, 4, 5], expand: 2"), "the even kernel 4 changes", "s1"
    ),
    # more than can be meant
    "a choice of thousands": (
        space(f"name: s1, op: conv, width: {list(range(1, 2001))}"), "the choice `width` has 2,000 options", "s1"
    ),
    "a shared choice of thousands": (
        space("name: s1, op: conv, width: $w", top=f"choices: {{w: {list(range(1, 2001))}}}\n"),
        "the choice `w` has 2,000 options", "choices",
    ),
    "stages that are deep together": (
        space(f"{MB}, depth: 6000", f"{MB.replace('s1', 's2')}, depth: [1, 6000]"),
        "the largest network has 12,001 layers", "",
    ),
    # slips of the pen
    "a misspelt key of the space": (space(MB, top="sorce: me\n"), "unknown key `sorce`", ""),
    "a misspelt key of a stage": (space(f"{MB}, dept: 2"), "`mbconv` has no knob `dept`", "s1"),
    "a misspelt knob": (space(f"{MB}, kernl: 5"), "`mbconv` has no knob `kernl`", "s1"),
    "a misspelt choice": (space(f"{MB}, depth: $sise", top="choices: {size: [1, 2]}\n"), "refers to `$sise`", "s1"),
    "a knob of another operator": (
        space("name: s1, op: conv, width: 8, expand: 4"),
        "`conv` has no knob `expand`", "s1",
    ),
    "a list for a mapping": ("- name: bad\n- stages\n", "the file holds list instead of named keys", ""),
    "a list for the input": (space(MB, given="[3, 8]"), "`input` is no mapping", ""),
    "a list for the blocks": (space(MB, top="blocks: [conv]\n"), "`blocks` is no mapping", ""),
    "a list for the choices": (space(MB, top="choices: [3, 5]\n"), "`choices` is no mapping", ""),
    "a mapping for the stages": ("name: bad\ninput: {channels: 3, resolution: 8}\nclasses: 4\nstages: {s1: conv}\n",
                                 "`stages` is no list of stages", ""),
    "a word for a stage": (f"name: bad\ninput: {{channels: 3, resolution: 8}}\nclasses: 4\nstages:\n  - conv\n{HEAD}",
                           "stage 1 has no `name` or no `op`", ""),
    "a mapping for options": (space(f"{MB}, se: {{a: 1}}"), "`se` holds {'a': 1}", "s1"),
    "a list for a name": (space("name: [s1], op: conv, width: 8"), "`['s1']` is no name", "stage 1"),
    "a list of options for a stride": (space(f"{MB}, stride: [1, 2]"), "`stride` is [1, 2]", "s1"),
    "no operator at all": (space("name: s1, op: [], width: 8"), "the choice `op` has no options", "s1"),
    "a number for an operator": (space("name: s1, op: 3, width: 8"), "unknown operator `3`", "s1"),
    "an empty file": ("", "the file is empty", ""),
    "a tab": ("name: bad\n\tinput: 3\n", "this is not valid YAML", ":2"),
    # values that are no values
    "no number": (space(f"{MB}, activation: .nan"), "`activation` holds nan", "s1"),
    "an infinite number": (
        space("name: s1, op: mbconv, width: 8, kernel: 3, expand: .inf"),
        "`expand` holds inf", "s1",
    ),
    "a negative width": (space("name: s1, op: conv, width: -8"), "`width` is -8", "s1"),
    "a width of nothing": (space("name: s1, op: conv, width: [0, 8]"), "`width` is 0", "s1"),
    "a negative kernel in the middle": (
        space("name: s1, op: conv, width: 8, kernel: [1, -3, 5]"), "`kernel` is -3", "s1"
    ),
    "a word for a number": (
        space("name: s1, op: conv, width: 8, kernel: three"), "`kernel` of `conv` is 'three'", "s1"
    ),
    "a word for yes or no": (space(f"{MB}, se: maybe"), "`se` of `mbconv` is 'maybe'", "s1"),
    "a number for yes or no": (space(f"{MB}, se: 1"), "`se` of `mbconv` is 1", "s1"),
    "a fraction for a whole number": (
        space("name: s1, op: conv, width: 8, kernel: 3.5"), "`kernel` of `conv` is 3.5", "s1"
    ),
    "a depth of millions": (space(f"{MB}, depth: [1, 100000000]"), "`depth` is 100000000", "s1"),
    "a word for a width": (space("name: s1, op: conv, width: wide"), "`width` is 'wide'", "s1"),
    "a width that no machine holds": (
        space("name: s1, op: conv, width: 100000000000000000000"),
        "`width` holds", "s1",
    ),
    "a negative resolution": (space(MB, given="{channels: 3, resolution: -8}"), "`resolution` is -8", "input"),
    "channels that are a choice": (
        space(MB, given="{channels: [1, 3], resolution: 8}"),
        "`channels` is [1, 3]", "input",
    ),
    "no classes": (space(MB).replace("classes: 4", "classes: 0"), "`classes` is 0", ""),
    "a date": (space(f"{MB}, activation: 2026-01-01"), "`activation` holds datetime.date(2026, 1, 1)", "s1"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "met", "place"), BAD.values(), ids=BAD)
def test_a_bad_space_is_refused(text: str, met: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises((SpaceError, ConfigError)) as caught:
        open_space(path)
    error = caught.value
    assert met in error.met
    assert error.where.startswith(str(path))
    assert place in error.where.removeprefix(str(path))
    assert all((error.met, error.where, error.allowed, error.do)), "four parts"
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


def test_laughing_anchors_are_told_of_in_few_words(tmp_path: Path) -> None:
    """Lists of lists of lists are small in memory, and endless when they are written out."""
    anchors = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))
    path = tmp_path / "bad.yaml"
    path.write_text(f"a0: &a0 [x]\n{anchors}\n")
    with pytest.raises(ConfigError, match="too many values"):
        open_space(path)
    path.write_text(space(f"{MB}, se: *a39").replace("name: bad\n", "name: bad\nblocks:\n  a0: &a0 [x]\n"
                    + textwrap.indent(anchors, "  ") + "\n"))  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        open_space(path)
    assert len(str(caught.value)) < 1000


def test_a_guess_at_the_form_of_an_input_is_answered_with_examples(tmp_path: Path) -> None:
    (path := tmp_path / "space.yaml").write_text(space(MB, given="{channels: 2, length: 64}"))
    with pytest.raises(SpaceError) as caught:
        open_space(path)
    assert "`input: {shape: [6, 100]}`" in caught.value.do


# --- what looks bad and is not ---


def test_a_kernel_of_one_may_stride(tmp_path: Path) -> None:
    """Published spaces take every other pixel where they skip a layer."""
    path = tmp_path / "space.yaml"
    path.write_text(space("name: s1, op: conv, width: 8, kernel: 1, stride: 2"))
    assert open_space(path)[0].count == 1


def test_a_stride_beyond_its_kernel_is_allowed_where_all_is_read(tmp_path: Path) -> None:
    """A bottleneck's shortcut averages what its kernel passes over."""
    path = tmp_path / "space.yaml"
    path.write_text(space("name: s1, op: bottleneck, width: 8, kernel: 3, stride: 4"))
    assert open_space(path)[0].count == 1


def test_a_kernel_may_be_larger_than_its_input(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(space("name: s1, op: conv, width: 8, kernel: 11"))
    assert open_space(path)[0].count == 1


@pytest.fixture
def single(tmp_path: Path) -> Path:
    path = tmp_path / "single.yaml"
    path.write_text(space(MB).replace("name: bad", "name: single"))
    return path


def test_a_space_of_one_architecture_is_a_space(single: Path) -> None:
    opened, _ = open_space(single)
    assert opened.count == 1
    assert opened.smallest() == opened.largest() == opened.random(random.Random(0))
    assert len(operators_of(opened)) == 2
    assert space_facts(opened)["architectures"] == 1
    assert cost(single)["architecture"] == {"space": "single", "picks": {}}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_search_in_a_space_of_one_architecture_tries_it_and_ends(single: Path, tmp_path: Path, sampler: str) -> None:
    opened, _ = open_space(single)
    tier = Tier("t", (Objective("top1@x", "max"), Objective("latency_ms@x", "min")), ())
    plan = StudySpec(opened, tier, sampler, 4, 0, {}, first=(opened.smallest(), opened.largest()))
    study, store = open_study(plan, tmp_path / "study.log", name="x"), ScoreStore.open(tmp_path / "scores.jsonl")
    scorers = {"top1@x": lambda architecture: 0.5, "latency_ms@x": lambda architecture: 1.0}
    finished = study.run(lambda architecture: evaluate(architecture, scorers, tier, store, {}), 10)
    assert len(study.evaluations) == 1
    assert finished.stopped == "all 1 architectures of the space were tried"


def test_a_space_may_be_deep_and_larger_than_any_number(tmp_path: Path) -> None:
    """A thousand stages of 10^30 architectures each are counted, drawn and lowered in seconds."""
    stages = [
        {"name": f"s{n}", "op": "conv", "depth": [1, 2, 3, 4, 5], "width": 8, "kernel": [1, 3, 5, 7, 9, 11]}
        for n in range(1000)
    ]
    raw = {"name": "huge", "input": {"channels": 3, "resolution": 8}, "classes": 4,
           "stages": [*stages, {"name": "head", "op": "classifier"}]}  # fmt: skip
    start = time.monotonic()
    opened = parse_space(raw, where="huge.yaml")
    assert isinstance(opened, Space)
    check_space(opened)
    assert opened.count == sum(6**depth for depth in range(1, 6)) ** 1000
    assert space_facts(opened)["architectures"] == opened.count
    network = lower(opened, opened.random(random.Random(0)))
    assert len(network.operators) > 3000
    assert json.dumps(opened.smallest().as_dict())
    assert time.monotonic() - start < 30


def test_a_count_that_python_does_not_write_is_told_by_its_power(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(space(f"{MB}, depth: 5000, se: [true, false], activation: [relu, relu6, hswish, silu]"))
    facts = space_facts(read_space(path))
    assert facts["architectures"] is None
    assert facts["architectures_log10"] == pytest.approx(5000 * math.log10(8))
    assert json.dumps(facts)
    assert architectures(10**5000) == "1.00 \N{MULTIPLICATION SIGN} 10⁵⁰⁰⁰"


@pytest.mark.parametrize("op", ["groups", "dropout"])
def test_a_knob_may_fall_where_the_operator_grows_or_stays(op: str, tmp_path: Path) -> None:
    """Of groups the smaller number makes the larger operator; a knob that changes no cost has no order."""
    (tmp_path / "own.py").write_text(PLUGIN)
    path = tmp_path / "space.yaml"
    listed = {"groups": "[4, 2, 1]", "dropout": "[0.5, 0.1]"}
    text = space("name: stem, op: conv, width: 8", f"name: s1, op: grouped, width: 8, {op}: {listed[op]}")
    path.write_text(text.replace("classes:", "plugins: [own.py]\nclasses:"))
    assert open_space(path)[0].count == len(listed[op].split(","))
    path.write_text(path.read_text().replace("[4, 2, 1]", "[4, 1, 2]"))
    if op == "groups":
        with pytest.raises(SpaceError, match=r"`s1.1.groups` does not list.*Write \[4, 2, 1\]"):
            open_space(path)


PLUGIN = """\
from dataclasses import dataclass
from torch import nn
from hwnas import Operator

@dataclass(frozen=True)
class Grouped(Operator):
    groups: int = 1
    dropout: float = 0.0

    def module(self):
        return nn.Sequential(nn.Conv2d(self.in_channels, self.out_channels, 3, 1, 1, groups=self.groups))
"""


@pytest.mark.parametrize(
    ("choice", "refused"),
    [("'w', [16, 8]", True), ("'w', [8, 16]", False), ("'w', [8, 16, 12]", True), ("'w', range(1, 3000)", True)],
)
def test_a_function_lists_its_options_from_small_to_large(choice: str, refused: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(f"""\
from hwnas.ops.conv import Conv
from hwnas.ops.classifier import Classifier

def net(choose):
    width = choose({choice})
    return (3, 8, 8), {{"stem": Conv(3, width), "head": Classifier(width, 4)}}
""")
    if not refused:
        assert open_space(f"{path}:net")[0].count == 2
        return
    with pytest.raises(SpaceError, match=r"`w` (does not list its options from small to large|has 2,999 options)"):
        open_space(f"{path}:net")


def test_stages_are_counted_before_they_are_read() -> None:
    start = time.monotonic()
    stages = [{"name": f"s{n}", "op": "conv", "width": 8} for n in range(10_001)]
    raw = {"name": "long", "input": {"channels": 3, "resolution": 8}, "classes": 4, "stages": stages}
    with pytest.raises(SpaceError, match="the largest network has 10,001 stages"):
        parse_space(raw, where="long.yaml")
    with pytest.raises(SpaceError, match="two stages are named `s1`"):
        parse_space({**raw, "stages": [*stages[:9999], stages[1]]}, where="long.yaml")
    assert time.monotonic() - start < 10


def test_a_long_check_shows_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(space(f"{MB.replace('width: 8', 'width: [8, 16, 24]')}"))
    seen: list[tuple[float, float]] = []
    check_space(read_space(path), lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(len(seen)))
    assert {total for _, total in seen} == {len(seen)}


@pytest.mark.parametrize("text", ["classes: 18446744073709551616", "classes: 1000000001"])
def test_numbers_beyond_every_tensor_are_refused_before_anything_is_built(text: str, tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(
        f"name: large\ninput: {{channels: 1, resolution: 8}}\n{text}\nstages: [{{name: head, op: classifier}}]\n"
    )
    with pytest.raises(SpaceError, match="`classes` is ") as caught:
        read_space(path)
    assert "1,000,000,000" in caught.value.allowed


def test_words_without_end_are_refused_in_few_words(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(
        f"name: long\ninput: {{channels: 1, resolution: 8}}\nclasses: 2\nstages:\n"
        f"  - {{name: s1, op: conv, width: 8, activation: {'z' * 30_000}}}\n  - {{name: head, op: classifier}}\n"
    )
    with pytest.raises(SpaceError, match="`activation` holds ") as caught:
        read_space(path)
    assert len(str(caught.value)) < 1000
