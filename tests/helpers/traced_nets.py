"""Networks as people write them, each a space of its own: what tracing must cope with."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.space.function import Choose


class Block(nn.Module):
    """A convolution with a shortcut where it fits."""

    def __init__(self, inner: int, outer: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.skip = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.conv(x)))
        return x + y if self.skip else y


class Net(nn.Module):
    """Stem, blocks in a Sequential, glue between the children, dropout that is off in evaluation."""

    def __init__(self, width: int, kernels: list[int], hidden: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.body = nn.Sequential(*[Block(width, width, kernel) for kernel in kernels])
        self.down = Block(width, 2 * width, stride=2)
        self.fc = nn.Linear(2 * width, hidden)
        self.head = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(self.body(functional.relu(self.bn(self.stem(x)))))
        x = functional.dropout(functional.relu(self.fc(x.mean((2, 3)))), 0.2, self.training)
        return self.head(x)


def plain(choose: Choose) -> Any:
    width = choose("width", [8, 16])
    kernels = [choose(f"kernel_{layer}", [3, 5]) for layer in range(choose("depth", [1, 2]))]
    return (1, 8, 8), Net(width, kernels, choose("hidden", [16, 24]))


def sequential(choose: Choose) -> Any:
    width = choose("width", [4, 8])
    return (1, 8, 8), nn.Sequential(
        nn.Conv2d(1, width, choose("kernel", [1, 3]), padding="same"), nn.BatchNorm2d(width), nn.ReLU(),
        Block(width, width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


class Skips(nn.Module):
    """A shortcut over two children, whose ends are joined by `cat`, and a scale of the network's own."""

    def __init__(self, width: int, skip: bool) -> None:
        super().__init__()
        self.stem, self.one, self.two = Block(1, width), Block(width, width), Block(width, width)
        self.scale = nn.Parameter(torch.ones(width, 1, 1))
        self.skip = skip
        self.head = nn.Linear(width * (2 if skip else 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.two(self.one(x)) * self.scale
        if self.skip:
            y = torch.cat([x, y], 1)
        return self.head(y.mean((2, 3)))


def skips(choose: Choose) -> Any:
    return (1, 8, 8), Skips(choose("width", [4, 8]), choose("skip", [False, True]))


class Shared(nn.Module):
    """One block called twice, an activation called everywhere, and a tied weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = Block(1, width)
        self.again = Block(width, width)
        self.act = nn.ReLU()
        self.last = Block(width, width)
        self.up, self.down = nn.Linear(width, 10), nn.Linear(width, 10)
        self.down.weight = self.up.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.again(self.act(self.stem(x))))
        x = self.act(self.last(self.again(x))).mean((2, 3))
        return self.up(x) + self.down(x)


def shared(choose: Choose) -> Any:
    return (1, 8, 8), Shared(choose("width", [4, 8]))


class Attention(nn.Module):
    """Tokens with fixed positions, and a layer that returns a pair."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, patch, patch)
        self.register_buffer("places", torch.linspace(0, 1, (8 // patch) ** 2)[:, None], persistent=False)
        self.attend = nn.MultiheadAttention(width, 2, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.places
        y, _ = self.attend(x, x, x, need_weights=False)
        return self.head(self.norm(x + y).mean(1))


def attention(choose: Choose) -> Any:
    return (1, 8, 8), Attention(choose("width", [8, 16]), choose("patch", [2, 4]))


class Hooked(nn.Module):
    """A child with a hook that changes what it gives."""

    def __init__(self, width: int, factor: float) -> None:
        super().__init__()
        self.stem = Block(1, width)
        self.stem.register_forward_hook(partial(_times, factor))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).mean((2, 3)))


def _times(factor: float, module: nn.Module, given: Any, x: Tensor) -> Tensor:
    return factor * x


def hooked(choose: Choose) -> Any:
    return (1, 8, 8), Hooked(choose("width", [4, 8]), choose("factor", [2.0, 3.0]))


def lazy(choose: Choose) -> Any:
    width = choose("width", [4, 8])
    return (1, 8, 8), nn.Sequential(
        nn.LazyConv2d(width, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )


class Branches(nn.Module):
    """In training it runs a child that evaluation has no use for."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.extra, self.head = Block(1, width), Block(width, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.training:
            x = self.extra(x)
        return self.head(x.mean((2, 3)))


def branches(choose: Choose) -> Any:
    return (1, 8, 8), Branches(choose("width", [4, 8]))


class Unfollowable(nn.Module):
    """Its forward asks what the numbers are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = Block(1, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if x.shape[2] > 4:
            x = functional.max_pool2d(x, 2)
        return self.head(x.mean((2, 3)))


def unfollowable(choose: Choose) -> Any:
    return (1, 8, 8), Unfollowable(choose("width", [4, 8]))


class Reads(nn.Module):
    """It reads numbers off tensors while it is built, as stochastic depth does."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.2, depth)]
        self.stem = Block(1, width)
        self.blocks = nn.ModuleList([nn.Sequential(Block(width, width), nn.Dropout(rate)) for rate in rates])
        self.head = nn.Linear(width, 10)
        self.bound = float(self.head.weight.abs().max()) * 0 + 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)) * self.bound)


def reads(choose: Choose) -> Any:
    return Reads(choose("width", [4, 8]), choose("depth", [1, 2]))


reads.input_shape = (1, 8, 8)  # type: ignore[attr-defined]

NETS = {
    net.__name__: net
    for net in (
        plain, sequential, skips, shared, attention, hooked, lazy, branches, unfollowable, reads,
    )
}  # fmt: skip
UNCUT = {"branches": "in training its forward calls other children", "unfollowable": "TraceError"}
