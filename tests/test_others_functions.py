"""Functions that others wrote: whatever one raises is an error with its name, its line and what it was called with."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.data import load_data
from hwnas.errors import HwnasError, SpaceError
from hwnas.network import build, lower
from hwnas.supernet.strategies import open_strategy
from hwnas.supernet.strategies.sampled_subnet import Step
from hwnas.supernet.training.recipe import Recipe
from hwnas.user_code import calling, named
from hwnas.workspace.spaces import open_space
from tests.helpers.spaces import SMALL

CODE = """import torch
from torch import nn
from hwnas import Operator
from dataclasses import dataclass

def wrong(*given):
    {raises}

def net(choose):
    choose("width", [8, 16])
    wrong(choose("depth", [1, 2]))

def strategy(space, recipe):
    return wrong

@dataclass(frozen=True)
class Odd(Operator):
    def module(self):
        if torch.get_default_device().type != "meta":
            {raises}
        return nn.Conv2d(self.in_channels, self.out_channels, 1)
"""
RAISES = {"raise KeyError((1, 2))": "KeyError: (1, 2)", "raise SystemExit(3)": "SystemExit: 3", "return [][1]": "Index"}
SPACE = """name: s
plugins: [own.py]
{canonical}input: {{channels: 1, resolution: 8}}
classes: 2
choices: {{k: [3, 5]}}
stages: [{{name: s1, op: conv, width: 8, kernel: $k}}, {{name: s2, op: odd, width: 8}}, {{name: head, op: classifier}}]
"""


def canonical(folder: Path) -> None:
    (folder / "s.yaml").write_text(SPACE.format(canonical="canonical: own.py:wrong\n"))
    open_space(folder / "s.yaml")


def operator(folder: Path) -> None:
    (folder / "s.yaml").write_text(SPACE.format(canonical=""))
    space, _ = open_space(folder / "s.yaml")
    build(lower(space, space.smallest()))


def strategy(folder: Path) -> None:
    recipe = replace(Recipe(), strategy="own.py:strategy")
    open_strategy(SMALL["per layer"], recipe, base=folder)(Step(1, 3, 2, 9, 0.5), random.Random(0))


CALLS: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "canonical": (canonical, "`wrong(k=3)`", 7),
    "a space": (lambda folder: open_space(folder / "own.py:net"), "`net(width=8, depth=1)`", 7),
    "data": (lambda folder: load_data("own.py:wrong", seed=0, base=folder), "`own.py:wrong`", 7),
    "a strategy": (strategy, "`own.py:strategy(epoch=1, epochs=3, step=2, steps=9, loss=0.5)`", 7),
    "an operator's module": (operator, "`odd.module(in_channels=8, out_channels=8)`", 20),
}


@pytest.mark.parametrize("raises", RAISES)
@pytest.mark.parametrize("call", CALLS)
def test_what_a_function_raises_names_it_with_line_and_options(call: str, raises: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CODE.format(raises=raises))
    function, name, line = CALLS[call]
    with pytest.raises(HwnasError) as caught:
        function(tmp_path)
    assert caught.value.met.startswith(f"{name} raised {RAISES[raises]}")
    assert f"{tmp_path / 'own.py'}:{line}" in caught.value.where
    assert caught.value.allowed
    assert caught.value.do


def test_many_options_are_cut() -> None:
    with pytest.raises(SpaceError) as caught, calling(len, SpaceError, allowed="a", options={"x": "y" * 5000}):
        raise ValueError
    assert "...)` raised ValueError: no reason is given" in caught.value.met
    assert (len(caught.value.met) < 500, caught.value.where) == (True, "len")


@pytest.mark.parametrize("reference", ["own.py:VALUE", "tests.helpers.spaces:HEAD"])
def test_what_cannot_be_called_is_no_function(reference: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("VALUE = 3\n")
    with pytest.raises(HwnasError, match="which cannot be called"):
        named(reference, base=tmp_path, where="here")


@pytest.mark.parametrize(
    ("old", "new", "met"),
    [
        ("skip_connect", "1000000", r"`edge_1_0` is 1000000.*Known: avg_pool_3x3, "),
        ("skip_connect", "skip_conect", r"`edge_1_0` is 'skip_conect'.*Did you mean `skip_connect`"),
        ("edge_1_0", "edge_9_0", "there is no choice `edge_1_0`"),
    ],
)
def test_the_cell_of_a_shipped_space_names_the_operation_that_it_does_not_know(
    old: str, new: str, met: str, tmp_path: Path, repository: Path
) -> None:
    text = (repository / "search_spaces" / "nas_bench_201.yaml").read_text()
    assert old in text
    (tmp_path / "s.yaml").write_text(text.replace(old, new))
    with pytest.raises(SpaceError, match=met):
        open_space(tmp_path / "s.yaml")


def test_a_built_in_operator_is_refused_without_words_of_python(tmp_path: Path) -> None:
    stages = "[{name: s1, op: fbconv, width: 8, kernel: 3, expand: 1, groups: 2}, {name: head, op: classifier}]"
    (tmp_path / "s.yaml").write_text(f"name: s\ninput: {{channels: 3, resolution: 8}}\nclasses: 2\nstages: {stages}\n")
    with pytest.raises(SpaceError, match=r"cannot be built \(in_channels must be divisible by groups\)"):
        open_space(tmp_path / "s.yaml")
