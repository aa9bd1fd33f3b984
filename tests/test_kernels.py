"""Kernel transformation: identities change nothing, and what is learned is what is extracted, trained and resumed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, RunError, SpaceError
from hwnas.network import Network, lower, make_operator
from hwnas.space import FunctionSpace, Space
from hwnas.space.function import Choose
from hwnas.supernet import Recipe, Supernet, identity_of, load_trained, train
from hwnas.supernet.slicing.kernel_transform import kernel_sizes, steps_to, transform_matrices, transformed
from hwnas.supernet.training import checkpoint
from tests.helpers.spaces import SMALL, mb, space_of

SPACES: dict[str, Space] = {
    "depthwise": space_of(mb(kernel=[3, 5, 7], depth=[1, 2])),
    "dense": space_of({"name": "s1", "op": "bottleneck", "width": [8, 16], "kernel": [1, 3, 5]}),
    "shared knob": SMALL["shared knob"],
    "two operators": SMALL["two operators"],
    "sizes that skip": space_of(mb(kernel=[3, 7], width=[8, 16], expand=[1, 2])),
}
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def matrices_of(supernet: Supernet) -> dict[str, nn.Parameter]:
    return {name: value for name, value in supernet.named_parameters() if "to" in name.rsplit("/", 1)[-1]}


def learned(space: Space) -> Supernet:
    """A supernet whose matrices are none of them the identity."""
    supernet = Supernet(space, kernel_transform=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in matrices_of(supernet).values():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return supernet


def networks(space: Space) -> list[Network]:
    rng = random.Random(1)
    return [lower(space, a) for a in (space.smallest(), space.largest(), *(space.random(rng) for _ in range(4)))]


def images(network: Network) -> Tensor:
    return torch.randn(3, *network.input_shape, generator=torch.Generator().manual_seed(2))


@each_space
def test_identities_change_nothing(space: Space) -> None:
    plain, mapped = Supernet(space, seed=3).train(), Supernet(space, seed=3, kernel_transform=True).train()
    assert matrices_of(mapped)
    assert not matrices_of(plain), "off by default"
    for network in networks(space):
        assert torch.equal(mapped(images(network), network), plain(images(network), network))


@each_space
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_mapped_slice_is_the_extracted_network(space: Space, training: bool) -> None:
    supernet = learned(space).train(training)
    for network in networks(space):
        module = supernet.extract(network).train(training)
        with torch.no_grad():
            assert_close(supernet(images(network), network), module(images(network)))


def test_a_small_kernel_is_mapped_step_by_step_from_the_largest() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 2, 7, 7, generator=generator)
    sizes = kernel_sizes("k", [(1, 1, 3, 3), (4, 2, 7, 7), (4, 2, 5, 5)])
    weights = {name: torch.randn(value.shape, generator=generator) for name, value in transform_matrices("k", sizes)}
    assert {name: len(value) for name, value in weights.items()} == {"k/7to5": 25, "k/5to3": 9}
    for o in range(3):
        for i in range(2):
            five = (weights["k/7to5"] @ kernel[o, i, 1:6, 1:6].flatten()).reshape(5, 5)
            three = (weights["k/5to3"] @ five[1:4, 1:4].flatten()).reshape(3, 3)
            for size, expected in ((7, kernel[o, i]), (5, five), (3, three)):
                shape = (3, 2, size, size)
                found = transformed(kernel, shape, steps_to("k", sizes, shape), weights)
                assert found.shape == shape
                assert_close(found[o, i], expected)


@each_space
def test_gradients_flow_through_the_maps_that_a_network_uses(space: Space) -> None:
    """A step against them lowers the loss as they say it does."""
    supernet = learned(space).double().train()
    met = set[str]()
    for network in networks(space):
        supernet.zero_grad(set_to_none=True)
        x = images(network).double()
        loss = supernet(x, network).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        used = {name: value for name, value in supernet.named_parameters() if value.grad is not None}
        slope = sum(float(value.grad.square().sum()) for value in used.values() if value.grad is not None)
        step = 1e-6 / slope**0.5
        with torch.no_grad():
            for value in used.values():
                value.sub_(step * value.grad)
            change = float(supernet(x, network).square().sum() - loss)
            for value in used.values():
                value.add_(step * value.grad)
        assert change == pytest.approx(-step * slope, rel=1e-2)
        met |= used.keys()
        assert network != networks(space)[1] or not used.keys() & matrices_of(supernet).keys(), "the largest has none"
    assert matrices_of(supernet).keys() & met


def test_kernels_that_do_not_nest_are_refused() -> None:
    with pytest.raises(SpaceError, match="of the kernels 1x7 and 7x1 neither lies within the other"):
        kernel_sizes("s1_1/conv/weight", [(8, 8, 1, 7), (8, 8, 7, 1)])
    with pytest.raises(SpaceError, match="of the kernels 3 and 1x7 neither"):
        kernel_sizes("s1_1/conv/weight", [(8, 8, 7, 7), (8, 8, 1, 7), (8, 8, 3, 3)])
    assert kernel_sizes("k", [(8, 8, 3, 1), (8, 8, 7, 3)]) == ((7, 3), (3, 1))


def test_only_kernels_of_convolutions_are_mapped() -> None:
    class Odd(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(1, 4, size))
            self.conv = nn.Conv2d(3, 4, size)

    small, large = (make_operator("conv", {"in_channels": 3, "out_channels": 4, "kernel": k}, where="") for k in (3, 5))

    def build(choose: Choose) -> Any:
        return (3, 8, 8), {"only": (small, large)[choose("which", [0, 1])]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(small), "module", lambda self: Odd(self.kernel))
        patch.setattr("hwnas.network.Network.links", property(lambda self: [(self.operators[0], (3, 8, 8))]))
        supernet = Supernet(FunctionSpace("odd", build), kernel_transform=True)
    assert set(matrices_of(supernet)) == {"only/conv/conv/weight/5to3"}


# --- training ---

SPACE = space_of(
    {"name": "s1", "op": "mbconv", "width": 8, "kernel": [3, 5], "expand": 2},
    input={"channels": 1, "resolution": 8},
    classes=10,
)
RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=0.1, kernel_transform=True, calibration_batches=1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data({"name": "digits", "limit": 160}, seed=0).without_test()


def test_matrices_are_learned_and_resumed(data: Dataset, tmp_path: Path) -> None:
    whole = Supernet(SPACE, kernel_transform=True)
    train(whole, SPACE, data, RECIPE, tmp_path / "whole")
    assert all(not torch.equal(value, torch.eye(len(value))) for value in matrices_of(whole).values())

    def stop(epoch: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Supernet(SPACE, kernel_transform=True), SPACE, data, RECIPE, tmp_path / "parts", on_epoch=stop)
    again = Supernet(SPACE, seed=9, kernel_transform=True)
    train(again, SPACE, data, RECIPE, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    plain = replace(RECIPE, kernel_transform=False)
    with pytest.raises(RunError, match=r"\(train.kernel_transform: True then, False now\)"):
        train(Supernet(SPACE), SPACE, data, plain, tmp_path / "whole")


def test_a_supernet_that_the_recipe_does_not_describe_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`kernel_transform=True`, the supernet was made with `kernel_transform=Fal"):
        train(Supernet(SPACE), SPACE, data, RECIPE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_training_that_was_begun_before_there_was_a_key_is_continued(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, kernel_transform=False)
    train(Supernet(SPACE), SPACE, data, recipe, tmp_path)
    content = checkpoint.load(checkpoint.checkpoints(tmp_path)[0])
    del content["identity"]["recipe"]["kernel_transform"]
    checkpoint.save(tmp_path, 1, {key: content[key] for key in list(checkpoint.CHECKPOINT_KEYS)[2:]})
    identity = identity_of(SPACE, data, recipe, 0)
    assert len(load_trained(Supernet(SPACE), tmp_path, identity)[0]) == 1
