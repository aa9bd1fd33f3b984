"""Training one network on its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.errors import RunError, TrainingError
from hwnas.network import lower
from hwnas.space import AnySpace, read_space
from hwnas.supernet import Recipe, Supernet, quality
from hwnas.supernet.training.standalone import train_standalone

RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=0.1, augment="shift")


def test_a_network_alone_learns_the_same_each_time_and_leaves_no_trace(repository: Path) -> None:
    space = read_space(repository / "search_spaces" / "digits.yaml")
    network, data = lower(space, space.random(random.Random(0))), load_data("digits", seed=0).without_test()
    state, losses = torch.get_rng_state(), []
    one = train_standalone(network, data, RECIPE, on_epoch=lambda epoch, loss: losses.append(loss))
    assert torch.equal(torch.get_rng_state(), state)
    other = train_standalone(network, data, RECIPE)
    assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert losses[1] < losses[0]
    assert quality(one, network, data.validation) > 0.5


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data({"name": "digits", "limit": 256}, seed=0).without_test()


@pytest.fixture(scope="module")
def space(repository: Path) -> AnySpace:
    return read_space(repository / "search_spaces" / "digits.yaml")


SHORT = replace(RECIPE, epochs=3)


class Killed(Exception):
    pass


def killed_after(last: int) -> Callable[[int, float], None]:
    def on_epoch(epoch: int, loss: float) -> None:
        if epoch == last:
            raise Killed

    return on_epoch


@pytest.mark.parametrize("inherits", [False, True])
def test_interrupted_and_resumed_it_ends_with_the_same_weights(
    space: AnySpace, data: Dataset, tmp_path: Path, inherits: bool
) -> None:
    network = lower(space, space.smallest())
    start = Supernet(space, seed=3).extract(network) if inherits else None
    whole = train_standalone(network, data, SHORT, start=start)
    for last in (1, 2):
        with pytest.raises(Killed):
            train_standalone(network, data, SHORT, start=start, folder=tmp_path, on_epoch=killed_after(last))
    epochs: list[int] = []
    resumed = train_standalone(
        network, data, SHORT, start=start, folder=tmp_path, on_epoch=lambda epoch, loss: epochs.append(epoch)
    )
    assert epochs == [3]
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_it_begins_with_the_weights_that_it_is_given_and_leaves_them_alone(space: AnySpace, data: Dataset) -> None:
    network = lower(space, space.smallest())
    start = Supernet(space, seed=3).extract(network)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    still = train_standalone(
        network, data, replace(SHORT, epochs=1, learning_rate=1e-12, weight_decay=0.0), start=start
    )
    assert_close(dict(still.named_parameters()), dict(start.named_parameters()))
    train_standalone(network, data, SHORT, start=start)
    assert_close(start.state_dict(), before, rtol=0, atol=0)


def test_a_folder_of_another_training_is_refused(space: AnySpace, data: Dataset, tmp_path: Path) -> None:
    network = lower(space, space.smallest())
    train_standalone(network, data, replace(SHORT, epochs=1), folder=tmp_path)
    with pytest.raises(RunError, match="its recipe differ"):
        train_standalone(network, data, SHORT, folder=tmp_path)
    other = lower(space, space.largest())
    start = Supernet(space).extract(other)
    with pytest.raises(RunError, match="its network and recipe and start differ"):
        train_standalone(other, data, SHORT, start=start, folder=tmp_path)


def test_divergence_is_caught_and_named(space: AnySpace, data: Dataset) -> None:
    network = lower(space, space.smallest())
    start = Supernet(space).extract(network)
    with torch.no_grad():
        next(start.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="diverged in epoch 1, step 1"):
        train_standalone(network, data, SHORT, start=start)
