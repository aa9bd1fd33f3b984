"""The contract that every operator keeps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from hwnas.errors import ConfigError, SpaceError
from hwnas.network import make_operator
from hwnas.ops import OPERATORS, Operator
from hwnas.ops.costs import operator_costs
from hwnas.ops.operator import make_divisible
from hwnas.registry import member
from hwnas.testing import Case, OperatorContract
from tests.helpers.operators import EXAMPLES, input_of

pytestmark = pytest.mark.usefixtures("uncached")


def test_every_operator_has_examples() -> None:
    assert EXAMPLES.keys() == OPERATORS.keys()


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_kind_is_the_name_in_the_table(kind: str) -> None:
    operator_class = member(OPERATORS, kind, what="operator", where="test")
    assert operator_class.__name__.lower() == kind
    assert issubclass(operator_class, Operator)
    assert operator_class.__final__
    assert operator_class.__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("kind", "line"),
    [(kind, line) for kind, lines in EXAMPLES.items() for line in range(len(lines))],
)
class TestBuiltIn(OperatorContract):
    """Each keeps the contract that users' operators are held to."""

    @pytest.fixture
    def cases(self, kind: str, line: int) -> Sequence[Case]:
        operators = [make_operator(kind, knobs, where="test") for knobs in EXAMPLES[kind][line]]
        return [Case(tuple(operators), input_of(operators[0])[1:])]


@pytest.mark.parametrize(
    ("macs", "knobs"),
    [
        (5 * 5 * 16 * 24 * 64, {"in_channels": 16, "out_channels": 24, "kernel": 5}),
        (3 * 3 * 3 * 8 * 16, {"in_channels": 3, "out_channels": 8, "stride": 2}),
    ],
)
def test_macs_count_a_multiply_add_as_one(macs: int, knobs: dict[str, object]) -> None:
    operator = make_operator("conv", knobs, where="test")
    assert operator_costs(operator, (operator.in_channels, 8, 8)).macs == macs


def test_costs_are_worked_out_once_and_draw_no_random_numbers() -> None:
    operator = make_operator("conv", EXAMPLES["conv"][0][0], where="test")
    operator_costs.cache_clear()
    before = torch.get_rng_state()
    assert operator_costs(operator, (16, 6, 6)) is operator_costs(operator, (16, 6, 6))
    assert torch.equal(before, torch.get_rng_state())


def test_peak_memory_counts_what_lives_at_once() -> None:
    """A residual keeps its input while the expanded tensor lives; a plain chain needs input and output of one layer."""
    shape = (8, 4, 4)
    plain = make_operator("conv", {"in_channels": 8, "out_channels": 16}, where="test")
    assert operator_costs(plain, shape).activation_bytes == 4 * 16 * (8 + 16)
    residual = make_operator("mbconv", {"in_channels": 8, "out_channels": 8, "kernel": 3, "expand": 4}, where="test")
    assert operator_costs(residual, shape).activation_bytes == 4 * 16 * (8 + 32 + 32)


def test_a_module_that_does_not_run_names_the_input() -> None:
    operator = make_operator("conv", {"in_channels": 8, "out_channels": 8, "kernel": 5, "stride": 1}, where="test")
    with pytest.raises(SpaceError, match=r'conv \{"in_channels": 8.*the module fails at input 3x8x8'):
        operator_costs(operator, (3, 8, 8))


def test_bad_operators_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"s1: unknown operator `mbcnv`\. Did you mean `mbconv`\?"):
        make_operator("mbcnv", {}, where="s1")
    with pytest.raises(SpaceError, match=r"`conv` lacks its knob `width`.*It needs width\. Write"):
        make_operator("conv", {"in_channels": 3}, where="s1")
    with pytest.raises(SpaceError, match=r"unknown activation `rleu`\. Did you mean `relu`"):
        operator_costs(
            make_operator("conv", {"in_channels": 3, "out_channels": 8, "activation": "rleu"}, where="s"), (3, 4, 4)
        )


@pytest.mark.parametrize("value", [1, 3, 8, 11, 12, 15.9, 16, 36, 44, 100.5, 960])
def test_widths_are_rounded_to_eight_and_never_far_down(value: float) -> None:
    rounded = make_divisible(value)
    assert rounded % 8 == 0
    assert 0.9 * value <= rounded <= max(8, value + 8)
