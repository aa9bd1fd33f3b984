"""The laws of the design, tried on random networks of every space in the tree, at tiny inputs."""

from __future__ import annotations

import json
import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hwnas.network import build, costs, lower
from hwnas.notation import read_architecture, write_architecture
from hwnas.population import Codebook, codebook_of
from hwnas.space import Architecture, Space
from hwnas.supernet import Supernet
from tests.helpers.tiny import SPACES, tiny

SEEDS = st.integers(0, 2**32)
some = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> Space:
    return tiny(request.param)


@pytest.fixture(scope="module")
def supernet(space: Space) -> Supernet:
    return Supernet(space, seed=0)


@pytest.fixture(scope="module")
def codebook(space: Space) -> Codebook:
    return codebook_of(space)


@some
@given(seed=SEEDS, training=st.booleans())
def test_a_slice_is_the_extracted_network(space: Space, supernet: Supernet, seed: int, training: bool) -> None:
    network = lower(space, space.random(random.Random(seed)))
    images = torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    alone = supernet.extract(network).train(training)
    supernet.train(training)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        sliced = supernet(images, network)
        torch.manual_seed(seed)
        torch.testing.assert_close(sliced, alone(images))


@some
@given(seed=SEEDS)
def test_derived_costs_are_the_built_network_s(space: Space, seed: int) -> None:
    network = lower(space, space.random(random.Random(seed)))
    with torch.device("meta"):
        module: nn.Module = build(network).eval()
        images = torch.empty(1, *network.input_shape)
    with FlopCounterMode(display=False) as flops:
        output = module(images)
    found = costs(network)
    assert found.params == sum(parameter.numel() for parameter in module.parameters())
    assert found.macs == flops.get_total_flops() // 2
    assert found.output_shape == tuple(output.shape[1:]) == network.task.outputs[0].shape


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=SEEDS)
def test_an_architecture_survives_every_form(space: Space, codebook: Codebook, seed: int) -> None:
    architecture = space.random(random.Random(seed))
    assert codebook.decode(codebook.encode([architecture])) == [architecture]
    assert Architecture.from_dict(json.loads(json.dumps(architecture.as_dict()))) == architecture
    if space.notation:
        written = json.loads(json.dumps(write_architecture(space, architecture)))
        assert read_architecture(space, written, where="test") == architecture
    again = space.sample(lambda choice: dict(architecture.picks)[choice.name])
    assert (again, again.key) == (architecture, architecture.key)
