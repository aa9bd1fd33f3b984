"""The small modules that operators are made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    act: str = "none",
    axes: int = 2,
) -> nn.Sequential:
    """Convolution without bias along one or two axes, padded to keep their length at stride 1, batch normalisation,
    activation."""
    if kernel < 1:
        raise SpaceError(
            f"`kernel` is {kernel}", where="operator", allowed="A kernel reads one pixel or more", do="Use 1, 3, 5 or 7"
        )
    kind = nn.Conv1d if axes == 1 else nn.Conv2d
    return normalized(kind(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False), act)


def normalized(conv: nn.Conv1d | nn.Conv2d, act: str = "none") -> nn.Sequential:
    """A convolution, batch normalisation of its channels, activation."""
    norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=norm(conv.out_channels))
    if act != "none":
        layers["act"] = activation(act)
    return nn.Sequential(layers)


class AnyRank(nn.Sequential):
    """Layers for images (N, C, H, W). A signal (N, C, L) is taken as an image one pixel wide, a vector (N, C) as an
    image of one pixel; what has nothing to pool is not pooled."""

    def forward(self, x: Tensor) -> Tensor:
        pools = x.ndim > 2 or hasattr(self, "features")
        x = as_image(x) if pools else x
        for layer in self:
            if pools or not isinstance(layer, nn.AdaptiveAvgPool2d | nn.Flatten):
                x = layer(x)
        return x


def as_image(x: Tensor) -> Tensor:
    """Return (N, C, H, W) of a tensor with two axes, one or none after its channels."""
    for _ in range(4 - x.ndim):
        x = x.unsqueeze(-1)
    return x


class Upsample(nn.Module):
    """A signal or an image made `scale` times as long along each axis; linearly means bilinearly of images."""

    def __init__(self, scale: int, mode: str) -> None:
        super().__init__()
        self.scale, self.mode = scale, mode

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        factor = float(self.scale)
        if self.mode == "nearest":
            return functional.interpolate(x, scale_factor=factor, mode="nearest")
        mode = "linear" if x.ndim == 3 else "bilinear"
        return functional.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)


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


def separable(in_channels: int, out_channels: int, kernel: int, *, stride: int, act: str, axes: int) -> nn.Sequential:
    """Depthwise kernel, then a 1x1 convolution, each with normalisation and activation."""
    depth = conv_norm(in_channels, in_channels, kernel, stride=stride, groups=in_channels, act=act, axes=axes)
    return nn.Sequential(OrderedDict(depth=depth, point=conv_norm(in_channels, out_channels, act=act, axes=axes)))


def with_bias(module: nn.Module) -> nn.Module:
    """Give every convolution of a module a bias of zeros, in place; the module is returned.

    A normalisation behind it makes it idle, and folding takes it in: it is for networks that were published with one.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
    return module


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


class Recurrence(nn.Module):
    """The gate and the candidate of `mingru`, and its states. Shape: (N, inputs, length) to (N, width, length)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Conv1d(inputs, width, 1)
        self.candidate = conv_norm(inputs, width, axes=1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return scan(gate * -1 + 1, gate * self.candidate(x))  # a difference would have no integer kernel


def scan(keep: Tensor, add: Tensor) -> Tensor:
    """Return h of h[t] = keep[t] h[t - 1] + add[t] along the last axis, where h[-1] is 0 (Hillis and Steele 1986).

    After each round a step holds the sum over twice as many steps up to it.
    """
    length, reach = add.shape[-1], 1
    while reach < length:
        add = add + keep * functional.pad(add[..., :-reach], (reach, 0))
        reach *= 2
        if reach < length:
            keep = keep * functional.pad(keep[..., : -(reach // 2)], (reach // 2, 0))
    return add


class FlatPositions(nn.Flatten):
    """Flattening of inputs that have so many positions."""

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        self.width, self.positions = channels * positions, positions

    def forward(self, x: Tensor) -> Tensor:
        out = x.flatten(1)
        if out.shape[1] != self.width:
            axes = " x ".join(map(str, x.shape[2:])) or "no further axis"
            raise ValueError(f"each channel has {axes} where `positions` is {self.positions}")
        return out


class DenseOutputs(nn.Module):
    """A linear layer at each place, behind `features` channels if there are any, then upsampling."""

    def __init__(self, in_channels: int, out_channels: int, features: int, act: str, upsample: Upsample) -> None:
        super().__init__()
        if features:
            self.features = conv_norm(in_channels, features, act=act)
        self.linear = nn.Conv2d(features or in_channels, out_channels, 1)
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        image = as_image(x)
        if hasattr(self, "features"):
            image = self.features(image)
        outputs = self.linear(image)
        for _ in range(4 - x.ndim):
            outputs = outputs.squeeze(-1)
        out: Tensor = self.upsample(outputs)
        return out


_EDGE_MODULES: Mapping[str, Callable[[int], nn.Module]] = {
    "skip_connect": lambda channels: nn.Identity(),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    "nor_conv_1x1": lambda channels: conv_norm(channels, channels, 1),
    "nor_conv_3x3": lambda channels: conv_norm(channels, channels, 3),
}
_BEHIND_RELU = ("nor_conv_1x1", "nor_conv_3x3")


class CellGraph(nn.Module):
    """Edges as children, `edge_<node>_<source>` holding its operation under the operation's name."""

    def __init__(self, channels: int, operations: Mapping[tuple[int, int], str]) -> None:
        super().__init__()
        self.operations = dict(operations)
        for (node, source), operation in operations.items():
            edge = nn.Sequential(OrderedDict({operation: _EDGE_MODULES[operation](channels)}))
            self.add_module(f"edge_{node}_{source}", edge)

    def forward(self, x: Tensor) -> Tensor:
        nodes, positive = {0: x}, dict[int, Tensor]()
        for (node, source), operation in self.operations.items():
            entering = nodes[source]
            if operation in _BEHIND_RELU:  # one ReLU for all convolutions of a node, not in place: others read the node
                if source not in positive:
                    positive[source] = functional.relu(entering)
                entering = positive[source]
            term = self.get_submodule(f"edge_{node}_{source}")(entering)
            nodes[node] = nodes[node] + term if node in nodes else term
        return nodes[3] if 3 in nodes else x * 0
