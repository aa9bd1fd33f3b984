"""Channel sorting: the largest network stays what it is, the important channels come first, nothing moves unseen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, RunError
from hwnas.network import Network, lower
from hwnas.ops import Operator
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.space import AnySpace, FunctionSpace, parse_space
from hwnas.space.function import Choose
from hwnas.supernet import Epoch, Recipe, Sorting, Supernet, sort_channels, train
from hwnas.supernet.slicing.channel_groups import Group, elastic_groups
from hwnas.supernet.slicing.channel_sorting import importance
from hwnas.supernet.training.recipe import make_optimizer
from tests.helpers.spaces import SMALL, mb, space_of
from tests.helpers.supernets import ALIKE, SPACES, opened, seeded, some_images, some_networks

WITHOUT_WEIGHTS = {name for name in SPACES if name.startswith("operator logmel")}
"""Nothing to sort; and its tables, which are no parameters, stay in float32."""
each_space = pytest.mark.parametrize("name", [name for name in SPACES if name not in ALIKE | WITHOUT_WEIGHTS])


def outputs(supernet: Supernet, network: Network) -> Tensor:
    with torch.no_grad():
        return seeded(supernet, some_images(network).double(), network)


def twin_of(name: str) -> tuple[AnySpace, Supernet]:
    space, supernet = opened(name)
    return space, copy.deepcopy(supernet).double().train()


@cache
def groups_of(name: str) -> tuple[Group, ...]:
    return elastic_groups(opened(name)[0])


@each_space
def test_the_largest_network_computes_what_it_did(name: str) -> None:
    space, supernet = twin_of(name)
    network = lower(space, space.largest())
    before = outputs(supernet, network)
    sorting = sort_channels(supernet, groups_of(name))
    assert_close(outputs(supernet, network), before, rtol=1e-9, atol=1e-9)
    for group in sorting.sorted:
        found = importance(supernet, group)
        assert (found[:-1] >= found[1:]).all(), "the most important come first"
    sorted_once = {key: value.clone() for key, value in supernet.state_dict().items()}
    sort_channels(supernet, groups_of(name))
    assert all(torch.equal(value, sorted_once[key]) for key, value in supernet.state_dict().items())


SORTED = {  # spaces and how many groups they have; none of them stays
    "digits": 8,
    "cifar10_mobile": 20,
    "ofa_mobilenet_v3_w1.0": 32,
    "ofa_proxyless_w1.3": 21,
    "ofa_resnet50d": 42,
    "nas_bench_macro": 8,
    "autoformer_tiny": 5,
    "imu": 5,
    "keywords": 2,
    "shapes_segmentation": 10,
    "widths and strides": 4,
    "transformers": 5,
}


@pytest.mark.parametrize("name", SORTED)
def test_all_groups_of_known_operators_are_sorted(name: str) -> None:
    _, supernet = twin_of(name)
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    sorting = sort_channels(supernet, groups_of(name))
    assert (len(sorting.sorted), sorting.fixed) == (SORTED[name], ())
    moved = {place.parameter for group in sorting.sorted for place in group.places}
    for key, value in supernet.state_dict().items():
        assert key in moved or torch.equal(value, before[key])


@each_space
def test_every_elastic_axis_is_sorted_or_listed(name: str) -> None:
    """Of every parameter's axes that some network takes a leading part of."""
    space, supernet = opened(name)
    told = {(place.parameter, place.axis) for group in groups_of(name) for place in group.places}
    for network in some_networks(space, 6):
        module = supernet.extract(network)
        for slot, operator in zip(network.slots, network.operators, strict=True):
            for parameter, value in module.get_submodule(slot).named_parameters():
                key = f"{operator.scope(slot)}/{parameter.replace('.', '/')}"
                for axis, (part, whole) in enumerate(zip(value.shape, supernet.get_parameter(key).shape, strict=True)):
                    assert part == whole or axis >= 2 or (key, axis) in told, (key, axis)


def places(groups: Iterator[Group] | tuple[Group, ...], parameter: str, axis: int) -> set[tuple[str, int]]:
    """What moves together with an axis."""
    (group,) = (g for g in groups if any((p.parameter, p.axis) == (parameter, axis) for p in g.places))
    return {(place.parameter, place.axis) for place in group.places}


def test_hidden_channels_of_an_inverted_residual_move_in_all_its_weights() -> None:
    groups = elastic_groups(space_of(mb(expand=[2, 4], se=True)))
    body = "s1_1/mbconv/body"
    norms = {(f"{body}/{layer}/norm/{kind}", 0) for layer in ("expand", "depth") for kind in ("weight", "bias")}
    assert places(groups, f"{body}/depth/conv/weight", 0) == norms | {
        (f"{body}/expand/conv/weight", 0),
        (f"{body}/depth/conv/weight", 0),
        (f"{body}/se/reduce/weight", 1),
        (f"{body}/se/expand/weight", 0),
        (f"{body}/se/expand/bias", 0),
        (f"{body}/project/conv/weight", 1),
    }


def test_widths_move_through_residuals_and_neighbouring_slots() -> None:
    groups = elastic_groups(space_of(mb(width=[8, 16], depth=[1, 2])))
    moving = {parameter for parameter, _ in places(groups, "s1_1/mbconv/body/project/conv/weight", 0)}
    assert {"s1_2/mbconv/body/expand/conv/weight", "s1_2/mbconv/body/project/norm/bias"} < moving
    assert "head_1/classifier/linear/weight" in moving


def test_whole_heads_move() -> None:
    groups = elastic_groups(SMALL["transformers"])
    name = "s1_1/transformer/attention"
    (heads,) = (g for g in groups if any(p.parameter == f"{name}/project/weight" and p.axis == 1 for p in g.places))
    moved = {f"{name}/{kind}" for kind in ("query/weight", "query/bias", "key/weight", "key/bias", "value/weight",
                                            "value/bias", "project/weight")}  # fmt: skip
    assert {place.parameter for place in heads.places} == moved
    assert {place.before for place in heads.places} == {1}
    assert heads.size > 1
    assert all(place.after > 1 for place in heads.places)


# --- what is not understood ---


@dataclass(frozen=True)
class Around(Operator):
    """An operator of a test: a 1x1 convolution, then any function."""

    then: str

    def module(self) -> nn.Module:
        return _Around(nn.Conv2d(self.in_channels, self.out_channels, 1), FUNCTIONS[self.then])


class _Around(nn.Module):
    def __init__(self, conv: nn.Module, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.then = conv, then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.conv(x))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "cumsum": lambda x: x.cumsum(1),
    "flip": lambda x: x.flip(1),
    "half": lambda x: torch.cat([x[:, : x.shape[1] // 2]] * 2, 1),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "ramp": lambda x: x * torch.arange(x.shape[1], device=x.device)[:, None, None],
    "groups": lambda x: functional.group_norm(x, 2),
    "roll": lambda x: x.roll(1, 1),
    "transposed": lambda x: x.transpose(1, 2).cumsum(2).transpose(1, 2),
    "window": lambda x: functional.avg_pool2d(x.transpose(1, 2), (3, 1), 1, (1, 0)).transpose(1, 2),
    "first": lambda x: x - x[:, :1],
    "numbered": lambda x: x[:, torch.arange(x.shape[1], device=x.device).flip(0)],
}
FREE: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(1),
    "mean": lambda x: x - x.mean(1, keepdim=True),
    "largest": lambda x: x * x.amax(1, keepdim=True),
    "pooled": lambda x: functional.interpolate(functional.max_pool2d(x, 2), scale_factor=2.0),
    "normalised": lambda x: functional.group_norm(x, 1),
    "layer norm": lambda x: functional.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1),
    "tokens": lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, x.shape[2:]),
    "attention": lambda x: functional.scaled_dot_product_attention(*(x.flatten(2).mT[:, None],) * 3)[:, 0].mT.view_as(
        x
    ),
    "gram": lambda x: torch.einsum("nchw,ndhw,ndij->ncij", x, x, x),
    "padded": lambda x: functional.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1],
}
FUNCTIONS |= FREE


def space_around(function: str) -> FunctionSpace:
    def build(choose: Choose) -> Any:
        width = choose("width", [4, 8])
        return (3, 4, 4), {
            "stem": Conv(3, width, kernel=1),
            "around": Around(width, width, function),
            "head": Classifier(width, 5),
        }

    return FunctionSpace("around", build)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_depends_on_the_order_keeps_it(function: str) -> None:
    space = space_around(function)
    supernet = Supernet(space, seed=1).double().train()
    with torch.no_grad():
        for value in supernet.parameters():
            if value.ndim == 1:
                value.add_(torch.linspace(-1, 1, len(value)))
    network = lower(space, space.largest())
    before = outputs(supernet, network)
    sorting = sort_channels(supernet, elastic_groups(space))
    assert_close(outputs(supernet, network), before, rtol=1e-9, atol=1e-9)
    assert len(sorting.sorted) == (2 if function in FREE else 1), "what enters the convolution is free in any case"
    assert all(group.fixed for group in sorting.fixed)


# --- training ---


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_sorting_and_a_step_of_the_largest_network_commute(kind: Any) -> None:
    """What the optimizer keeps for a weight goes where the weight goes."""
    space, supernet = twin_of("digits")
    network = lower(space, space.largest())
    images = some_images(network, 8).double()

    def stepped(sort: bool) -> Tensor:
        twin = copy.deepcopy(supernet)
        optimizer = make_optimizer(twin, Recipe(optimizer=kind, learning_rate=0.05))
        for number in range(4):
            optimizer.zero_grad()
            functional.cross_entropy(twin(images, network), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if sort and number == 1:
                assert sort_channels(twin, groups_of("digits"), optimizer).sorted
        return outputs(twin, network)

    assert_close(stepped(True), stepped(False), rtol=1e-7, atol=1e-7)


TINY = parse_space(
    {
        "name": "tiny",
        "input": {"channels": 1, "resolution": 8},
        "classes": 10,
        "stages": [
            {"name": "stem", "op": "conv", "stride": 2, "width": [8, 16]},
            {"name": "s1", "op": "mbconv", "width": 16, "kernel": [3, 5], "expand": [2, 4]},
            {"name": "head", "op": "classifier"},
        ],
    },
    where="tiny.yaml",
)
RECIPE = Recipe(epochs=3, batch_size=32, calibration_batches=1, warmup_largest_epochs=1, sort_channels_at=(2, 3))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data({"name": "digits", "limit": 160}, seed=0).without_test()


def test_a_sorted_training_is_resumed_as_if_uninterrupted(data: Dataset, tmp_path: Path) -> None:
    told: list[tuple[int, Sorting]] = []
    whole, parts = Supernet(TINY), Supernet(TINY)
    train(whole, TINY, data, RECIPE, tmp_path / "whole", on_sort=lambda *sorting: told.append(sorting))
    assert [epoch for epoch, _ in told] == [2, 3]
    assert all(len(sorting.sorted) == 2 for _, sorting in told)

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(Supernet(TINY), TINY, data, RECIPE, tmp_path / "parts", on_epoch=stop)
    train(parts, TINY, data, RECIPE, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    with pytest.raises(RunError, match=r"\(train.sort_channels_at: \(2, 3\) then, \(2,\) now\)"):
        train(parts, TINY, data, replace(RECIPE, sort_channels_at=(2,)), tmp_path / "whole")


def test_the_largest_network_is_trained_alone_at_first(data: Dataset, tmp_path: Path) -> None:
    """Without narrower networks a sorting changes nothing but the order."""
    recipe = replace(RECIPE, warmup_largest_epochs=3)
    network = lower(TINY, TINY.largest())
    found = []
    for sort in ((), (2, 3)):
        supernet = Supernet(TINY)
        train(supernet, TINY, data, replace(recipe, sort_channels_at=sort), tmp_path / str(len(sort)))
        found.append(supernet.eval()(some_images(network), network))
    assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("epoch", [1, 4])
def test_an_epoch_that_cannot_be_sorted_at_is_refused(epoch: int, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"channels are to be sorted at epoch {epoch} of 3"):
        train(Supernet(TINY), TINY, data, replace(RECIPE, sort_channels_at=(epoch,)), tmp_path)
