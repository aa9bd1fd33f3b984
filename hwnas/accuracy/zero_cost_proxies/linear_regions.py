"""`linear_regions`: how many borders between linear pieces of a network lie on the way from image to image.

Definition: along straight lines between images, the number of times that a unit's activation changes sides between
neighbours among 8 points, summed over units and lines (Hanin and Rolnick, Complexity of Linear Regions in Deep
Networks, ICML 2019, count pieces on lines). TE-NAS (Chen et al., ICLR 2021) counts the distinct codes of 3,000 points
in networks of width 1; at a network's own width all points have codes of their own, so that count says nothing.
Input: 8 images, which end 4 lines. Normalisation: none (evaluation mode with statistics as built). Initialisation:
Kaiming normal.
"""

from __future__ import annotations

import math

import torch

from hwnas.accuracy.zero_cost_proxies.activations import codes
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput

POINTS = 8


def linear_regions(subject: ProxyInput) -> float:
    """Return the score, from one forward pass of the points on the lines."""
    lines = len(subject.inputs) // 2
    starts, ends = subject.inputs[:lines, None], subject.inputs[lines : 2 * lines, None]
    along = torch.linspace(0, 1, POINTS, dtype=starts.dtype, device=starts.device)
    along = along.view(1, -1, *(1 for _ in starts.shape[2:]))
    activations = codes(subject.module, torch.lerp(starts, ends, along).flatten(0, 1))
    if not activations or not lines:
        return math.nan
    sides = (torch.unflatten(code.positive, 0, (lines, POINTS)) for code in activations)
    return float(sum(int((side[:, 1:] != side[:, :-1]).sum()) for side in sides))


LINEAR_REGIONS = Definition(linear_regions, batch=8, data=True, mode="eval", initialization="kaiming")
