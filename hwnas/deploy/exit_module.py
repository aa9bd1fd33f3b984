"""An exit at a cut as a module, for a model file: the same means and the same weights as `exit_logits`."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.collaborate.learned.exits import POOLED
from hwnas.latency.posterior import Floats


class ExitModule(nn.Module):
    """A linear layer on means of a boundary's cells.

    Args:
        weights: as `fit_exit` returns them.
        shape: of one boundary, without the batch.
    """

    def __init__(self, weights: Floats, shape: tuple[int, ...]) -> None:
        super().__init__()
        ends = [np.cumsum([0, *map(len, np.array_split(range(size), min(POOLED, size)))]) for size in shape[1:]]
        spans = [[slice(int(low), int(high)) for low, high in pairwise(of)] for of in ends]
        self._cells: list[tuple[slice, ...]] = list(product(*spans))
        self.classifier = nn.Linear(*weights[:-1].shape)
        columns = np.arange(len(weights) - 1).reshape(shape[0], -1).T.reshape(-1)  # cell by cell, not by channel
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(weights[:-1][columns].T))
            self.classifier.bias.copy_(torch.from_numpy(weights[-1]))

    def forward(self, boundary: Tensor) -> Tensor:
        """Return logits (N, classes) of boundaries (N, ...)."""
        axes = tuple(range(2, boundary.ndim))
        means = [boundary[(slice(None), slice(None), *cell)].mean(axes) if axes else boundary for cell in self._cells]
        logits: Tensor = self.classifier(torch.cat(means, dim=1) if len(means) > 1 else means[0])
        return logits
