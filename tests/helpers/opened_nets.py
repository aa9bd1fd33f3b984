"""A user's file with trained networks to be opened, and others that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas.user_code import load_source, read_source

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inner, outer, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        self.shortcut = nn.Identity() if inner == outer and stride == 1 else nn.Conv2d(inner, outer, 1, stride)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Stage(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.blocks = nn.ModuleList([Block(inner, outer, stride), Block(outer, outer)])

    def forward(self, x, scale=None):
        for block in self.blocks:
            x = block(x)
        return {"last": x}


class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.stages = nn.ModuleList([Stage(16, 16, 1), Stage(16, 32, 2)])
        self.fc = nn.Linear(32, classes)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        for stage in self.stages:
            x = stage(x, scale=None)["last"]
        n, c, h, w = x.shape
        return self.fc(x.view(n, c, h * w).mean(2))


class Attention(nn.Module):
    def __init__(self, width, head):
        super().__init__()
        self.head = head
        self.norm = nn.LayerNorm(width)
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = (f(self.norm(x)).view(*x.shape[:2], -1, self.head).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 32, 2, 2)
        self.place = nn.Parameter(torch.randn(1, 16, 32) * 0.1)
        self.layers = nn.Sequential(*[nn.Sequential(Attention(32, 8)) for _ in range(2)])
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        return self.fc(self.layers(self.patch(x).flatten(2).transpose(1, 2) + self.place).mean(1))


class Growing(nn.Module):
    def __init__(self, inner, growth=16):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inner), nn.Conv2d(inner, 32, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(32), nn.Conv2d(32, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class Dense(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 1, 1)
        self.layers = nn.Sequential(*[Growing(16 + 16 * i) for i in range(layers)])
        self.norm, self.fc = nn.BatchNorm2d(16 + 16 * layers), nn.Linear(16 + 16 * layers, 10)

    def forward(self, x):
        return self.fc(F.relu(self.norm(self.layers(self.stem(x)))).mean((2, 3)))


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 16, 3, 1, 1), nn.Conv2d(16, 24, 3, 2, 1)
        self.up, self.merge = nn.ConvTranspose2d(24, 16, 2, 2), nn.Conv2d(32, 16, 3, 1, 1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        one = F.relu(self.one(x))
        up = F.relu(self.up(F.relu(self.two(one))))
        return self.fc(F.relu(self.merge(torch.cat([up, one], 1))).mean((2, 3)))


class Branching(Net):
    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)


class Baked(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 16, 3, 1, 1), nn.Conv2d(16, 24, 3, 1, 1)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.two(F.relu(self.one(x)).view(-1, 16, 8, 8))
        return self.fc(F.relu(x).mean((2, 3)))


class Shared(Net):
    def __init__(self):
        super().__init__()
        self.stages[0].blocks[1] = self.stages[0].blocks[0]


class Two(Net):
    def forward(self, x, y):
        return super().forward(x + y)


class Auxiliary(Net):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def model():
    return Net(), (1, 8, 8)


def tokens():
    return (1, 8, 8), Tokens()


def shapeless():
    return Net()


def others():
    return Net(classes=7), (1, 8, 8)


def branching():
    return Branching(), (1, 8, 8)


def baked():
    return Baked(), (1, 8, 8)


def shared():
    return Shared(), (1, 8, 8)


def dense():
    return Dense(2), (1, 8, 8)


def denser():
    return Dense(4), (1, 8, 8)


def skipping():
    return Skipping(), (1, 8, 8)


def two():
    return Two(), (1, 8, 8)


def auxiliary():
    return Auxiliary(), (1, 8, 8)


def nothing():
    return 3
"""


def written(folder: Path) -> Path:
    """The file of networks, in a folder."""
    path = folder / "my_net.py"
    path.write_text(NETS)
    return path


def module_of(file: Path, function: str = "model") -> Any:
    """A new module that a function of the file returns, without its shape."""
    from torch import nn  # not at the top: test sessions without these networks start without PyTorch

    made = getattr(load_source(read_source(file)), function)()
    return made[0] if isinstance(made[0], nn.Module) else made[1]


def trained_on_digits(file: Path, epochs: int = 3) -> Path:
    """The state of `model` trained for a second on the digits of scikit-learn, beside the file."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = torch.tensor(digits.images / 16).float()[:1400, None], torch.tensor(digits.target[:1400])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = module_of(file)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
        batches = [part for _ in range(epochs) for part in torch.split(torch.randperm(1400), 64)]
        for batch in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    path = file.parent / "best.pth"
    torch.save({"state_dict": net.state_dict(), "epoch": epochs}, path)
    return path


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of networks."""
    return written(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="session")
def weights(net: Path) -> Path:
    """The trained state of its `model`."""
    return trained_on_digits(net)
