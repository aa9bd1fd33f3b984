"""ResNet-20 for CIFAR-10, as its paper has it but for projections in its two shortcuts that change the width; how it
and narrower ones of it are trained."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.data import Dataset, Split
from hwnas.data.batches import batches
from hwnas.tasks import DEFAULT_TASK

WIDTHS = (16, 32, 64)
DEPTH = 3
BATCH = 128
SMOOTHING = 0.05


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(out + self.shortcut(x))


class ResNet20(nn.Module):
    """Three stages of three blocks, 16, 32 and 64 channels wide."""

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        stages: list[nn.Module] = []
        inner = WIDTHS[0]
        for index, width in enumerate(WIDTHS):
            blocks: list[nn.Module] = []
            for number in range(DEPTH):
                blocks.append(Block(inner, width, 2 if index and number == 0 else 1))
                inner = width
            stages.append(nn.Sequential(*blocks))
        self.layers = nn.Sequential(*stages)
        self.linear = nn.Linear(inner, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


def model() -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the network and the shape of its inputs."""
    return ResNet20(), (3, 32, 32)


def for_digits() -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the network for the digits of scikit-learn and the shape of its inputs."""
    return ResNet20(channels=1), (1, 8, 8)


def trained(
    module: nn.Module,
    dataset: Dataset,
    epochs: int,
    *,
    rate: float,
    seed: int,
    file: Path,
    teacher: nn.Module | None = None,
) -> nn.Module:
    """Return a network trained on labels, and a teacher's logits if there is one, rates in one cycle; `file` keeps it.

    After each epoch the training is kept as well, and goes on there when it is begun again.
    """
    if file.exists():
        module.load_state_dict(torch.load(file, weights_only=True))
        return module.eval()
    module = module.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(module.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(dataset.train) // BATCH
    cycle = torch.optim.lr_scheduler.OneCycleLR(sgd, rate, total_steps=epochs * steps, pct_start=0.25)
    midway, begun = file.with_suffix(".midway.pt"), 0
    if midway.exists():
        kept = torch.load(midway, weights_only=True)
        module.load_state_dict(kept["module"])
        sgd.load_state_dict(kept["sgd"])
        cycle.load_state_dict(kept["cycle"])
        begun = kept["epochs"]
    for epoch in range(begun, epochs):
        start, loss = time.process_time(), _epoch(module, dataset, sgd, cycle, seed * 1_000 + epoch, teacher)
        state = {"module": module.state_dict(), "sgd": sgd.state_dict(), "cycle": cycle.state_dict()}
        torch.save({**state, "epochs": epoch + 1}, midway)
        spent = time.process_time() - start
        print(f"{file.stem}: epoch {epoch + 1}/{epochs}, loss {loss:.3f}, {spent:.0f} s of CPU", flush=True)
    torch.save(module.state_dict(), file)
    midway.unlink(missing_ok=True)
    return module.eval()


def _epoch(
    module: nn.Module,
    dataset: Dataset,
    sgd: torch.optim.Optimizer,
    cycle: torch.optim.lr_scheduler.LRScheduler,
    seed: int,
    teacher: nn.Module | None,
) -> float:
    """Train one epoch in bfloat16; return the mean loss."""
    total, count = 0.0, 0
    module.train()
    generator = torch.Generator().manual_seed(seed)
    loaded = batches(dataset.train, BATCH, generator=generator, augment="crop_flip", task=DEFAULT_TASK, drop_last=True)
    for batch in loaded:
        images = batch.inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = module(images)
            with torch.no_grad():
                soft = None if teacher is None else teacher(images).float().softmax(1)
        loss = functional.cross_entropy(logits.float(), batch.targets, label_smoothing=0.0 if teacher else SMOOTHING)
        if soft is not None:
            loss = (loss + functional.cross_entropy(logits.float(), soft)) / 2
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        cycle.step()
        total, count = total + loss.item(), count + 1
    return total / count


def accuracy(module: nn.Module, split: Split) -> float:
    """Return the share of a split's samples that a network classifies as their targets say."""
    hits = 0
    with torch.inference_mode():
        for begin in range(0, len(split), 500):
            indices = torch.arange(begin, min(begin + 500, len(split)))
            hits += int((module(split.batch(indices)).argmax(1) == split.targets[indices]).sum())
    return hits / len(split)
