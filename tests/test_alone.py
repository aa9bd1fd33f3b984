"""Training one network on its own."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch.testing import assert_close

from hwnas.data import load_data
from hwnas.network import lower
from hwnas.space import read_space
from hwnas.supernet import Recipe, accuracy
from hwnas.supernet.alone import train_alone

RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=0.1, augment="shift")


def test_a_network_alone_learns_the_same_each_time_and_leaves_no_trace(repository: Path) -> None:
    space = read_space(repository / "search_spaces" / "digits.yaml")
    network, data = lower(space, space.random(random.Random(0))), load_data("digits", seed=0).without_test()
    state, losses = torch.get_rng_state(), []
    one = train_alone(network, data, RECIPE, on_epoch=lambda epoch, loss: losses.append(loss))
    assert torch.equal(torch.get_rng_state(), state)
    other = train_alone(network, data, RECIPE)
    assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert losses[1] < losses[0]
    assert accuracy(one, network, data.validation) > 0.5
