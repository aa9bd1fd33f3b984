"""`swap`: how many units of a network act unlike one another.

Definition: a unit's pattern is its binary code over all images of the batch; the score is the number of distinct
patterns (Peng et al., SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS, ICLR 2024; without its
regularisation, which asks for a size of network to be given). Units are those behind ReLU and its kin, whose spatial
places count each.
Input: 16 images. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import numpy as np
import torch

from hwnas.accuracy.zero_cost_proxies.activations import codes
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput


def swap(subject: ProxyInput) -> float:
    """Return the score, from one forward pass."""
    activations = codes(subject.module, subject.inputs)
    if not activations:
        return float("nan")
    units = torch.cat([code.positive for code in activations], 1).T.contiguous().cpu().numpy()
    packed = np.ascontiguousarray(np.packbits(units, axis=1))
    return float(len(np.unique(packed.view(f"V{packed.shape[1]}"))))


SWAP = Definition(swap, batch=16, data=True)
