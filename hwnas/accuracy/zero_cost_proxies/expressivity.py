"""`expressivity`: in how many directions the features of a network vary. A part of `az_nas`.

Definition: the sum over blocks of the entropy of the principal components of the block's features, each place of each
image being an observation of all channels (Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture
Search, CVPR 2024). A block is an operator of the chain; the classifier is none.
Input: 16 images of noise. Normalisation: batch statistics (training mode). Initialisation: Kaiming normal.
"""

from __future__ import annotations

from hwnas.accuracy.zero_cost_proxies.blocks import entropies
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput


def expressivity(subject: ProxyInput) -> float:
    """Return the score, from one forward pass."""
    return float(entropies(subject.module, subject.inputs).sum())


EXPRESSIVITY = Definition(expressivity, batch=16, initialization="kaiming")
