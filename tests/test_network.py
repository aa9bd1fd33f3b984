"""Networks: lowered once, built and costed from the same operators."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hwnas.network import Network, build, costs, lower, operators_by_slot, operators_of
from hwnas.space import Space
from hwnas.space_checks import check_space
from tests.helpers.spaces import SMALL, enumerate_architectures, mb, space_of

small_spaces = pytest.mark.parametrize("space", SMALL.values(), ids=SMALL)


def some_networks(space: Space, count: int = 4) -> list[Network]:
    rng = random.Random(0)
    found = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count - 2))]
    return [lower(space, architecture) for architecture in found]


@small_spaces
def test_lowering_is_deterministic(space: Space) -> None:
    for architecture in enumerate_architectures(space):
        one, other = lower(space, architecture), lower(space, architecture)
        assert one == other
        assert hash(one) == hash(other)


@small_spaces
def test_the_listed_operators_are_exactly_those_of_all_networks(space: Space) -> None:
    met: dict[str, set[Any]] = {}
    for architecture in enumerate_architectures(space):
        network = lower(space, architecture)
        for slot, link in zip(network.slots, network.links, strict=True):
            met.setdefault(slot, set()).add(link)
    assert {slot: set(links) for slot, links in operators_by_slot(space).items()} == met
    assert set(operators_of(space)) == set().union(*met.values())


def test_knobs_of_a_stage_that_change_shapes_are_followed_together() -> None:
    """An even kernel makes a tensor grow by one, so that layer two sees one resolution for each kernel."""
    stage = {"name": "s1", "op": "conv", "width": 8, "kernel": [1, 2], "depth": [1, 2], "per": "stage"}
    space = space_of(stage)
    links = {link for found in enumerate_architectures(space) for link in lower(space, found).links}
    assert set(operators_of(space)) == links


@small_spaces
def test_derived_costs_are_those_of_the_built_network(space: Space) -> None:
    for network in some_networks(space):
        module = build(network).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            logits = module(torch.randn(1, *network.input_shape))
        found = costs(network)
        assert found.params == sum(parameter.numel() for parameter in module.parameters())
        assert found.macs * 2 == flops.get_total_flops()
        assert found.output_shape == tuple(logits.shape[1:]) == (space.width,)


@small_spaces
def test_shapes_are_those_that_flow(space: Space) -> None:
    network = some_networks(space)[-1]
    flowing = torch.randn(2, *network.input_shape)
    for child, shape in zip(build(network).eval(), network.shapes, strict=True):
        assert tuple(flowing.shape[1:]) == shape
        flowing = child(flowing)


def test_the_network_of_a_file_is_what_the_file_says() -> None:
    space = space_of(mb(depth=2, stride=2, se=True), mb("s2", width=16))
    network = lower(space, space.smallest())
    assert network.slots == ("s1_1", "s1_2", "s2_1", "head_1")
    assert [op.knobs.get("stride") for op in network.operators] == [2, 1, 1, None]
    assert [(op.in_channels, op.out_channels) for op in network.operators] == [(3, 8), (8, 8), (8, 16), (16, 4)]
    assert network.shapes == ((3, 8, 8), (8, 4, 4), (8, 4, 4), (16, 4, 4))


def test_checking_runs_the_ends_of_the_space() -> None:
    from hwnas.errors import SpaceError

    check_space(space_of(mb(stride=8, kernel=9)))
    with pytest.raises(SpaceError, match="`s2_1` strides 4 at resolution 2"):
        check_space(space_of(mb(stride=4, kernel=5), mb("s2", stride=4, kernel=5)))
