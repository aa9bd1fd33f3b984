"""`progressivity`: whether features vary in more directions from block to block. A part of `az_nas`.

Definition: the smallest growth of `expressivity`'s entropy from one block to the next (Lee and Ham, AZ-NAS, CVPR
2024). Of a single block there is no score.
Input: 16 images of noise. Normalisation: batch statistics (training mode). Initialisation: Kaiming normal.
"""

from __future__ import annotations

import math

from hwnas.accuracy.zero_cost_proxies.blocks import entropies
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput


def progressivity(subject: ProxyInput) -> float:
    """Return the score, from one forward pass."""
    growth = entropies(subject.module, subject.inputs).diff()
    return float(growth.min()) if len(growth) else math.nan


PROGRESSIVITY = Definition(progressivity, batch=16, initialization="kaiming")
