"""Operators of signals, vectors and maps compute what their papers say, and heads follow inputs of any rank."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.probe import probe
from hwnas.errors import SpaceError
from hwnas.network import lower
from hwnas.ops import Operator
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.conv1d import Conv1d
from hwnas.ops.conv2d import Conv2d
from hwnas.ops.costs import operator_costs
from hwnas.ops.densehead import DenseHead
from hwnas.ops.dsconv import DSConv
from hwnas.ops.dsconv1d import DSConv1d
from hwnas.ops.layermacs import layer_macs
from hwnas.ops.layers import AnyRank, scan
from hwnas.ops.mingru import MinGRU
from hwnas.ops.mlp import MLP
from hwnas.ops.regressor import Regressor
from hwnas.ops.tcn import TCN
from hwnas.ops.upconv import UpConv
from hwnas.registry import member
from hwnas.space import parse_space
from hwnas.space_checks import check_space
from hwnas.supernet.slicing.channel_groups import elastic_groups


def ready(operator: Operator) -> nn.Module:
    """A module whose normalisation has statistics that matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = operator.module()
        for child in module.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.running_mean is not None:
                nn.init.normal_(child.running_mean)
    return module.eval()


def inputs(*shape: int) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


# --- heads of any rank ---


@pytest.mark.parametrize("knobs", [{}, {"features": 12}, {"features": 12, "hidden": 8}])
def test_a_signal_is_classified_as_an_image_one_pixel_wide(knobs: dict[str, int]) -> None:
    head = ready(Classifier(6, 4, **knobs))
    signals, vectors = inputs(6, 9), inputs(6)
    with torch.no_grad():
        assert_close(head(signals), head(signals[..., None]))
        assert_close(head(vectors), head(vectors[..., None, None]))


def test_a_head_of_images_is_the_chain_of_layers_that_it_was() -> None:
    head, images = ready(Classifier(6, 4, features=12, hidden=8)), inputs(6, 5, 4)
    assert isinstance(head, AnyRank)
    assert list(dict(head.named_children())) == ["features", "pool", "flatten", "hidden", "act", "linear"]
    with torch.no_grad():
        assert torch.equal(head(images), nn.Sequential(*head)(images))


def test_a_regressor_has_the_layers_of_a_classifier() -> None:
    one, other = (ready(kind(6, 2, hidden=8)) for kind in (Classifier, Regressor))
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one(inputs(6, 9)), other(inputs(6, 9)))


@pytest.mark.parametrize(("mode", "torchs"), [("nearest", "nearest"), ("linear", "bilinear")])
def test_a_dense_head_brings_back_the_resolution(mode: str, torchs: str) -> None:
    head, images = ready(DenseHead(6, 3, scale=4, mode=mode)), inputs(6, 5, 4)
    with torch.no_grad():
        small = functional.conv2d(images, head.linear.weight, head.linear.bias)
        smooth = {} if mode == "nearest" else {"align_corners": False}
        assert_close(head(images), functional.interpolate(small, scale_factor=4, mode=torchs, **smooth))
        assert head(inputs(6, 5)).shape == (3, 3, 20)


# --- what operators compute ---


def test_a_gated_state_is_the_recurrence_step_by_step() -> None:
    keep, add = inputs(4, 11).sigmoid(), inputs(4, 11)
    state, states = torch.zeros(3, 4), []
    for step in range(11):
        state = keep[..., step] * state + add[..., step]
        states.append(state)
    assert_close(scan(keep, add), torch.stack(states, 2))


def test_a_recurrent_layer_knows_nothing_of_what_comes_later() -> None:
    layer, signals = ready(MinGRU(4, 6)), inputs(4, 13)
    with torch.no_grad():
        assert_close(layer(signals)[..., :7], layer(signals[..., :7]))


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_causal_block_knows_nothing_of_what_comes_later(kernel: int) -> None:
    signals = inputs(4, 13)
    with torch.no_grad():
        causal, centred = (ready(TCN(4, 6, kernel=kernel, dilation=2, causal=causal)) for causal in (True, False))
        assert causal(signals).shape == centred(signals).shape == (3, 6, 13)
        assert_close(causal(signals)[..., :7], causal(signals[..., :7]))
        assert not torch.allclose(centred(signals)[..., :7], centred(signals[..., :7]))


@pytest.mark.parametrize(("kernel", "stride"), [((10, 4), 2), ((1, 5), 1), ((2, 3), 3)])
def test_a_rectangular_kernel_leaves_what_the_stride_leaves(kernel: tuple[int, int], stride: int) -> None:
    height, width = kernel
    operator = Conv2d(1, 8, height, width, stride)
    assert operator_costs(operator, (1, 49, 10)).output_shape == (8, -(-49 // stride), -(-10 // stride))


def test_a_square_kernel_is_that_of_the_plain_convolution() -> None:
    one, other = ready(Conv(3, 8, 3, 2)), ready(Conv2d(3, 8, 3, 3, 2))
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one(inputs(3, 9, 8)), other(inputs(3, 9, 8)))


def test_a_separable_convolution_of_signals_is_that_of_images_along_one_axis() -> None:
    one, other = ready(DSConv1d(6, 8, 1, 2)), ready(DSConv(6, 8, 1, 2))
    state = {name: value[..., None] if value.ndim == 3 else value for name, value in one.state_dict().items()}
    other.load_state_dict(state)
    with torch.no_grad():
        assert_close(one(inputs(6, 9)), other(inputs(6, 9)[..., None])[..., 0])


def test_a_dense_layer_flattens_as_many_positions_as_it_is_told() -> None:
    operator = MLP(6, 4, positions=12)
    assert operator_costs(operator, (6, 3, 4)).params == 6 * 12 * 4 + 8
    with pytest.raises(SpaceError, match=r"each channel has 9 where `positions` is 12"):
        operator_costs(operator, (6, 9))
    with pytest.raises(SpaceError, match=r"each channel has no further axis where `positions` is 12"):
        operator_costs(operator, (6,))


def test_macs_of_layers_add_up_for_signals_as_well() -> None:
    operator = TCN(6, 8, dilation=2)
    assert sum(layer_macs(operator, (6, 20))) == operator_costs(operator, (6, 20)).macs


# --- a space of them ---

MIXED = {
    "name": "mixed",
    "input": {"shape": [3, 24]},
    "classes": 4,
    "stages": [
        {"name": "stem", "op": "conv1d", "width": [8, 16], "kernel": [3, 5]},
        {"name": "s1", "op": "mingru", "width": [8, 16]},
        {"name": "s2", "op": "dsconv1d", "stride": 2, "width": [8, 16], "kernel": [3, 5]},
        {"name": "flat", "op": "mlp", "width": [8, 16], "positions": 12},
        {"name": "head", "op": "classifier"},
    ],
}


def test_every_width_of_signals_is_sorted_through_recurrence_and_flattening() -> None:
    groups = elastic_groups(parse_space(MIXED, where="mixed"))
    assert [group.fixed for group in groups] == [None] * 4
    (flattened,) = (g for g in groups if g.name == "axis 0 of s2_1/dsconv1d/point/conv/weight")
    assert ("flat_1/mlp/linear/weight", 1, 12) in {(p.parameter, p.axis, p.after) for p in flattened.places}


@pytest.mark.parametrize("proxy", TRAINING_FREE)
def test_every_proxy_scores_networks_of_signals(proxy: str) -> None:
    stages = [stage for stage in MIXED["stages"] if stage["name"] != "flat"]
    space = parse_space({**MIXED, "stages": stages}, where="mixed")
    network = lower(space, space.largest())
    definition = member(TRAINING_FREE, proxy, what="proxy", where="test")
    assert math.isfinite(probe(proxy, definition, network, seed=0))


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ({"op": "conv1d", "kernel": 4}, r"the even kernel 4 changes the resolution: 5 rows of 4"),
        ({"op": "conv1d", "kernel": 3, "stride": 4}, r"stride 4 is beyond the reach of kernel 3"),
        ({"op": "dsconv1d", "kernel": 3, "stride": 32}, r"strides 32 at resolution 24"),
        ({"op": "upconv1d", "mode": "bilinear"}, r"unknown mode `bilinear`"),
        ({"op": "tcn", "dilation": 0}, r"`dilation` is 0"),
        ({"op": "conv"}, r"the module fails at input 3x24"),
    ],
)
def test_signal_operators_refuse_what_images_refuse(stage: dict[str, object], problem: str) -> None:
    raw = {**MIXED, "stages": [{"name": "s1", "width": 8, **stage}, {"name": "head", "op": "classifier"}]}
    with pytest.raises(SpaceError, match=problem):
        check_space(parse_space(raw, where="mixed"))


def test_upsampling_needs_no_weights() -> None:
    assert operator_costs(UpConv(4, 4, scale=4), (4, 3, 2)).output_shape == (4, 12, 8)
    assert operator_costs(UpConv(4, 4, scale=4), (4, 3, 2)).params == operator_costs(Conv(4, 4), (4, 3, 2)).params
    assert operator_costs(Conv1d(4, 4), (4, 3)).params == 4 * 4 * 3 + 8
