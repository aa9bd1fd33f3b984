"""`naswot`: how well the activations of a network tell images apart.

Definition: log |det K|, where K of two images is the number of units whose activations are on the same side of their
kink for both (Mellor et al., Neural Architecture Search without Training, ICML 2021). Units are those behind ReLU and
its kin. One that several convolutions read counts for each: as published, the edges of NAS-Bench-201 have a ReLU each,
and hwnas computes one for all edges that leave a node.
Input: 32 images (128 in the source). Normalisation: batch statistics (training mode). Initialisation: Kaiming normal.
Images that no unit tells apart have no score: K is singular.
"""

from __future__ import annotations

import math

import torch

from hwnas.accuracy.zero_cost_proxies.activations import codes
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput


def naswot(subject: ProxyInput) -> float:
    """Return the score, from one forward pass."""
    alike = torch.zeros(len(subject.inputs), len(subject.inputs), dtype=torch.float64)
    for code in codes(subject.module, subject.inputs):
        on = code.positive.float()  # sums of products of 0 and 1: exact up to 2^24 units
        off = 1 - on
        alike += max(1, code.readers) * (on @ on.T + off @ off.T).cpu().double()
    sign, log_determinant = torch.linalg.slogdet(alike)
    return float(log_determinant) if sign > 0 else math.nan


NASWOT = Definition(naswot, batch=32, data=True)
