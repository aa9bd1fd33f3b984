"""The small modules that operators are made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from hwnas.errors import SpaceError, did_you_mean
from hwnas.ops.operator import make_divisible

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "none": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """A new activation module by its name in YAML."""
    if name not in ACTIVATIONS:
        raise SpaceError(
            f"unknown activation `{name}`",
            where="operator",
            allowed=did_you_mean(name, ACTIVATIONS),
            do="Use a known activation",
        )
    return ACTIVATIONS[name]()


def conv_norm(
    in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, act: str = "none"
) -> nn.Sequential:
    """Convolution without bias, padded to keep the resolution at stride 1, batch normalisation, activation."""
    if kernel < 1:
        raise SpaceError(
            f"`kernel` is {kernel}", where="operator", allowed="A kernel reads one pixel or more", do="Use 1, 3, 5 or 7"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        norm=nn.BatchNorm2d(out_channels),
    )
    if act != "none":
        layers["act"] = activation(act)
    return nn.Sequential(layers)


class SqueezeExcite(nn.Module):
    """Channel attention: pool, reduce to a quarter, expand, gate (Hu et al. 2018, hard gate as in MobileNetV3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = make_divisible(channels // 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gate


class Residual(nn.Module):
    """`body(x) + shortcut(x)`, then an activation."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, act: str = "none") -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.body(x) + self.shortcut(x))
        return out


class Shuffle(nn.Module):
    """Interleave the channels of `groups` groups, so that the next grouped convolution sees all of them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


def inverted(
    in_channels: int, out_channels: int, kernel: int, expand: float, *, stride: int, se: bool, act: str
) -> nn.Sequential:
    """1x1 expansion, depthwise kernel, optional squeeze-excite, 1x1 projection: what inverted residuals have in common.

    The hidden width is `in_channels * expand` rounded to a multiple of 8; expansion 1 has no expanding convolution and
    keeps `in_channels`.
    """
    hidden = in_channels if expand == 1 else make_divisible(round(in_channels * expand))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if expand != 1:
        layers["expand"] = conv_norm(in_channels, hidden, act=act)
    layers["depth"] = conv_norm(hidden, hidden, kernel, stride=stride, groups=hidden, act=act)
    if se:
        layers["se"] = SqueezeExcite(hidden)
    layers["project"] = conv_norm(hidden, out_channels)
    return nn.Sequential(layers)
