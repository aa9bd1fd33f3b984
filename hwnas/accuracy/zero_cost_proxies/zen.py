"""`zen`: how much the last feature map moves when the image does, as if nothing were normalised.

Definition: log E|f(x) - f(x + a e)|, summed over the last map, plus the logarithm of the deviation of what enters each
batch normalisation, the root of the mean of its channels' variances: what normalising divided out comes back (Lin et
al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021, with a = 0.01). The last map is the
last one of more than one place that a layer gives. The source's code reads running variances instead, which its two
passes bring a fifth of the way from 1 to the batch's: each normalisation then counts less, and networks rank worse
(docs/results/accuracy.md).
Input: 16 images of noise, and as many again that are added. Normalisation: batch statistics (training mode).
Initialisation: standard normal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.maps import MAP_NORMS, no_scales, see_maps

MOVED = 0.01


def zen(subject: ProxyInput) -> float:
    """Return the score, from two forward passes."""
    images, scales = subject.inputs, list[Tensor]()

    def see(layer: nn.Module, entering: tuple[Tensor, ...]) -> None:
        over = (0, *range(2, entering[0].ndim))
        scales.append(entering[0].var(over, correction=0).mean().sqrt().log())

    norms = [part for part in subject.module.modules() if isinstance(part, MAP_NORMS)]
    handles = [norm.register_forward_pre_hook(see) for norm in norms]
    still = _last_map(subject.module, images)
    for handle in handles:
        handle.remove()
    added = torch.randn(images.shape, generator=subject.generator).to(images)
    moved = _last_map(subject.module, images + MOVED * added)
    distance = (still - moved).abs().flatten(1).sum(1).mean().log()
    return float(distance + torch.stack(scales).sum())


def _last_map(module: nn.Module, images: Tensor) -> Tensor:
    last = [images]

    def see(leaving: Tensor) -> None:
        if math.prod(leaving.shape[2:]) > 1:
            last[0] = leaving

    see_maps(module, images, see)
    return last[0]


ZEN = Definition(zen, batch=16, initialization="normal", refuses=no_scales)
