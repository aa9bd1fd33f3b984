"""`trainability`: whether gradients pass a block neither grown nor shrunk. A part of `az_nas`.

Definition: signs drawn at random go back through a block; s is the largest singular value of the mean product of what
comes out of it with these signs, over places and images; the score is the mean over blocks of 2 - s - 1/s, which is 0
at s = 1 (Lee and Ham, AZ-NAS, CVPR 2024). Where a block reduces the resolution, the places that come together are
taken as channels. The first block, the stem, and the classifier are left out; a block that hands on what enters has no
score, and so has its network.
Input: 16 images of noise. Normalisation: batch statistics (training mode). Initialisation: Kaiming normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.accuracy.zero_cost_proxies.blocks import block_features, rows
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput

_SMALL = 1e-6


def trainability(subject: ProxyInput) -> float:
    """Return the score, from one forward pass, and one backward pass through each block."""
    gains = list(_gains(subject.module, subject.inputs, subject.generator))
    return math.fsum(2 - gain - 1 / (gain + _SMALL) for gain in gains) / len(gains) if gains else math.nan


def _gains(module: nn.Module, images: Tensor, generator: torch.Generator) -> Iterator[float]:
    for index, (entering, leaving) in enumerate(block_features(module, images)):
        if index == 0 or entering.dim() != leaving.dim():
            continue
        signs = torch.randint(2, leaving.shape, generator=generator).to(leaving) * 2 - 1
        (gradient,) = torch.autograd.grad(leaving, entering, signs)
        if gradient.shape == signs.shape and torch.equal(gradient, signs):
            yield math.nan
            continue
        back, there = rows(_folded(gradient, leaving)), rows(signs)
        yield float(torch.linalg.matrix_norm(back.T @ there / len(there), 2))


def _folded(gradient: Tensor, like: Tensor) -> Tensor:
    """Return a gradient at the places of `like`, an image or a signal, with the other places as further channels.

    The last rows are filled up with zeros.
    """
    if gradient.shape[2:] == like.shape[2:]:
        return gradient
    if like.dim() == 3:
        length = like.shape[2]
        factor = -(-gradient.shape[2] // length)
        filled = functional.pad(gradient, (0, length * factor - gradient.shape[2]))
        return torch.unflatten(filled, 2, (length, factor)).movedim(3, 2).flatten(1, 2)
    height, width = like.shape[2:]
    factor = -(-gradient.shape[2] // height)
    filled = functional.pad(gradient, (0, width * factor - gradient.shape[3], 0, height * factor - gradient.shape[2]))
    return functional.pixel_unshuffle(filled, factor)


TRAINABILITY = Definition(trainability, batch=16, initialization="kaiming")
