"""The field's spaces: what they count equals what their projects counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.network import Network, build, costs, lower
from hwnas.notation import read_architecture
from hwnas.space import Space, read_space

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"
GOLDEN = ("ofa_mobilenet_v3_w1.0", "ofa_mobilenet_v3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50d")


def space_named(name: str) -> Space:
    return read_space(SPACES / f"{name}.yaml")


def network_of(space: Space, written: Any) -> Network:
    return lower(space, read_architecture(space, written, where="test"))


def layer_macs(network: Network) -> list[int]:
    """Multiply-adds of each convolution and linear layer, in the order in which they stand in the module."""
    with torch.device("meta"):
        module = build(network).eval()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    macs: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        macs[layer] = output.numel() * layer.weight[0].numel()  # type: ignore[operator,union-attr,index]

    for layer in layers:
        layer.register_forward_hook(note)
    module(torch.empty(1, *network.input_shape, device="meta"))
    return [macs[layer] for layer in layers]


@pytest.mark.parametrize("name", GOLDEN)
def test_costs_equal_those_that_once_for_all_counts(name: str, shared_data: Path) -> None:
    """Parameters are equal. That project sums MACs layer by layer in float32, which holds whole numbers up to 2^24:
    summed in the same order and precision, MACs are equal as well; exact sums lie within the rounding of that."""
    space = space_named(name)
    for golden in json.loads((shared_data / "golden" / f"{name}.json").read_text()):
        network = network_of(space, golden)
        found, layers = costs(network), layer_macs(network)
        assert found.params == golden["params"]
        assert found.macs == sum(layers)
        assert int(np.cumsum(layers, dtype=np.float32)[-1]) == golden["macs"]
        assert abs(found.macs - golden["macs"]) <= len(layers) * np.spacing(np.float32(golden["macs"])) / 2
