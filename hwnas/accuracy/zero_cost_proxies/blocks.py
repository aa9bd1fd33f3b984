"""Outputs of each operator of a network: the features of AZ-NAS's blocks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def block_features(module: nn.Module, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield input and output of each operator but the classifier, joined by the graph for gradients between them."""
    entering = images
    for block in list(module.children())[:-1]:
        entering = entering.detach().requires_grad_()
        leaving = block(entering)
        yield entering, leaving
        entering = leaving


def rows(features: Tensor) -> Tensor:
    """Return features of shape (N, C, places...) as (N * places, C)."""
    return features.movedim(1, -1).reshape(-1, features.shape[1])


def entropies(module: nn.Module, images: Tensor) -> Tensor:
    """Return for each operator the entropy of its features' principal components, whose variances add up to 1."""
    results = []
    with torch.no_grad():
        for _, leaving in block_features(module, images):
            features = rows(leaving)
            features = features - features.mean(0)
            variances = torch.linalg.eigvalsh((features.T @ features / len(features)).double()).clamp_min(0)
            results.append(torch.special.entr(variances / variances.sum()).sum())
    return torch.stack(results)
