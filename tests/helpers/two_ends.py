"""Operators and a task of networks with several inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from hwnas import Operator
from hwnas.quantities import Quantity
from hwnas.tasks import Agreement, Batch, Estimate, Sums, Task, TensorSpec


class _Join(nn.Module):
    def __init__(self, channels: tuple[int, ...], out_channels: int, kernel: int) -> None:
        super().__init__()
        self.signal = nn.Conv1d(channels[0], out_channels, kernel, padding=kernel // 2)
        self.facts = nn.Linear(channels[1], out_channels)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, signal: Tensor, facts: Tensor) -> Tensor:
        out: Tensor = self.norm(self.signal(signal) + self.facts(facts).unsqueeze(-1)).relu()
        return out


@final
@dataclass(frozen=True)
class Join(Operator):
    """A convolution of a signal (C, L), shifted by a linear map of facts (F,)."""

    in_channels: tuple[int, ...]  # type: ignore[assignment]
    kernel: int = 3

    def module(self) -> nn.Module:
        return _Join(self.in_channels, self.out_channels, self.kernel)


class _Embed(nn.Module):
    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(20, out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.table(tokens).transpose(1, 2)
        return out


@final
@dataclass(frozen=True)
class Embed(Operator):
    """Token ids below 20 (L,) to (C, L)."""

    def module(self) -> nn.Module:
        return _Embed(self.out_channels)


class _TwoHeads(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.label = nn.Linear(in_channels, out_channels)
        self.size = nn.Linear(in_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = x.mean(-1)
        return self.label(pooled), self.size(pooled)


@final
@dataclass(frozen=True)
class TwoHeads(Operator):
    """Logits (N, width) and a size (N, 1) of a signal."""

    def module(self) -> nn.Module:
        return _TwoHeads(self.in_channels, self.out_channels)


@final
@dataclass(frozen=True)
class LabelAndSize(Task):
    """Logits and a size; targets (N, 2): a label and a size."""

    metrics: ClassVar[tuple[Quantity, ...]] = (
        Quantity("label_top1", "Accuracy of the label", "max", "fraction"),
        Quantity("size_error", "Error of the size", "min", "mm"),
    )
    weight: float = 0.5

    def specs(self, shape: Any, width: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        inputs, _ = super().specs(shape, width)
        return inputs, (TensorSpec("label", (width,)), TensorSpec("size", (1,)))

    def loss(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        label, size = outputs
        return cross_entropy(label, batch.targets[:, 0].long()) + self.weight * mse_loss(
            size[:, 0], batch.targets[:, 1]
        )

    def distill(self, outputs: Any, teacher_outputs: Any, temperature: float) -> Tensor:
        return torch.stack([mse_loss(*pair) for pair in zip(outputs, teacher_outputs, strict=True)]).sum()

    def statistics(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> Sums:
        label, size = (part.cpu() for part in outputs)
        hits = label.argmax(1) == batch.targets[:, 0]
        return Sums(len(hits), {"hits": int(hits.sum()), "off": float((size[:, 0] - batch.targets[:, 1]).abs().sum())})

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        return {
            "label_top1": Estimate(sums.totals["hits"] / sums.count),
            "size_error": Estimate(sums.totals["off"] / sums.count),
        }

    def agreement(self, reference: Any, outputs: Any) -> Agreement:
        apart = max(float(np.abs(one - other).max()) for one, other in zip(reference, outputs, strict=True))
        return Agreement(apart, float((reference[0].argmax(1) == outputs[0].argmax(1)).mean()))

    def random_targets(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.stack(
            [torch.randint(3, (count,), generator=generator).float(), torch.randn(count, generator=generator)], 1
        )


def load_two() -> dict[str, Any]:
    """300 signals of two channels with three facts, and a label and a size that follow from them."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 300)
    signal = rng.normal(size=(300, 2, 24)).astype(np.float32) + label[:, None, None]
    facts = rng.normal(size=(300, 3)).astype(np.float32)
    return {"train": ({"facts": facts, "signal": signal}, np.stack([label, facts.sum(1)], 1).astype(np.float32))}


def load_tokens() -> dict[str, Any]:
    """300 lists of twelve tokens below 20 in three classes."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 300)
    return {"train": (rng.integers(0, 6, (300, 12)) + 6 * label[:, None], label)}


def load_misnamed() -> dict[str, Any]:
    """The same, with an input of another name."""
    (inputs, targets) = load_two()["train"]
    return {"train": ({"signal": inputs["signal"], "fact": inputs["facts"]}, targets)}


def load_short() -> dict[str, Any]:
    """The same, with an input of fewer samples."""
    (inputs, targets) = load_two()["train"]
    return {"train": ({**inputs, "facts": inputs["facts"][:200]}, targets)}
