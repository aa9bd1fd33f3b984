"""Folding normalisation away changes no output."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from hwnas.export.fold import folded
from hwnas.ops import Operator, Shape
from hwnas.ops.bottleneck import Bottleneck
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.conv1d import Conv1d
from hwnas.ops.conv2d import Conv2d
from hwnas.ops.dsconv1d import DSConv1d
from hwnas.ops.mbconv import MBConv
from hwnas.ops.mingru import MinGRU
from hwnas.ops.mlp import MLP
from hwnas.ops.tcn import TCN


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


NORM = nn.BatchNorm1d, nn.BatchNorm2d


def norms(module: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [child for child in module.modules() if isinstance(child, NORM)]


def trained_looking(module: nn.Module) -> nn.Module:
    for norm in norms(module):
        if norm.running_mean is not None:
            norm.running_mean = torch.randn(norm.num_features)
            norm.running_var = torch.rand(norm.num_features) + 0.5
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias)
    return module


def assert_computes_the_same(module: nn.Module, shape: Shape = (8, 6, 6)) -> nn.Module:
    module = trained_looking(module).eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    images = torch.randn(3, *shape)
    with torch.no_grad():
        twin = folded(module)
        torch.testing.assert_close(twin(images), module(images), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    return twin


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (Conv1d(8, 4, kernel=5), (8, 6)),
        (DSConv1d(8, 4, stride=2), (8, 6)),
        (TCN(8, 4, causal=True), (8, 6)),
        (MinGRU(8, 4), (8, 6)),
        (Conv2d(8, 4, 2, 3, bias=True), (8, 6, 5)),
        (MLP(8, 4), (8,)),
        (MLP(8, 4, positions=6, bias=True), (8, 6)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_of_operators_of_signals_and_vectors_no_normalisation_is_left(operator: Operator, shape: Shape) -> None:
    assert norms(operator.module())
    assert not norms(assert_computes_the_same(operator.module(), shape))


def test_a_linear_layer_is_folded_where_its_inputs_are_known_to_be_vectors() -> None:
    """Of (N, 8, 8) the normalisation takes the axis before the last, which the linear layer keeps."""
    layers = nn.Linear(8, 8), nn.BatchNorm1d(8)
    assert norms(assert_computes_the_same(nn.Sequential(*layers), (8, 8)))
    assert not norms(assert_computes_the_same(nn.Sequential(nn.Flatten(), *layers), (8,)))


@pytest.mark.parametrize(
    "operator",
    [Conv(8, 4, kernel=3), MBConv(8, 8, 5, 2, se=True, activation="hswish"), Bottleneck(8, 16, stride=2),
     Classifier(8, 4, features=16, hidden=8)],
    ids=lambda operator: operator.kind,
)  # fmt: skip
def test_of_the_operators_no_normalisation_is_left(operator: Operator) -> None:
    assert norms(operator.module())
    assert not norms(assert_computes_the_same(operator.module()))


class Backwards(nn.Sequential):
    """Runs its children in an order of its own."""

    def forward(self, x: Tensor) -> Tensor:
        for child in reversed(list(self.children())):
            x = child(x)
        return x


def twice(module: nn.Module) -> nn.Module:
    return nn.Sequential(module, module)


SHARED = nn.Conv2d(8, 8, 1)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)),
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.BatchNorm2d(8)),
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, track_running_stats=False)),
        nn.Sequential(SHARED, nn.BatchNorm2d(8), SHARED),
        nn.Sequential(nn.Sequential(SHARED, nn.BatchNorm2d(8)), nn.Sequential(SHARED, nn.BatchNorm2d(8))),
        twice(nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))),
        Backwards(OrderedDict(conv=nn.Conv2d(8, 8, 1), norm=nn.BatchNorm2d(8))),
    ],
    ids=["norm first", "activation between", "no statistics", "conv used again", "conv of two norms", "pair used again",
         "own order"],
)  # fmt: skip
def test_what_cannot_be_folded_stays(module: nn.Module) -> None:
    assert len(norms(assert_computes_the_same(module))) == len(norms(module))
