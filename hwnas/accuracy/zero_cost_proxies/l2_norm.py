"""`l2_norm`: how long the weights are.

Definition: the sum over convolutions and linear layers of the Euclidean norm of the weights as they are drawn (as a
score of networks: Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022). It counts layers, weighed by the root of
their width.
Input: none. Normalisation: of no importance. Initialisation: PyTorch's.
"""

from __future__ import annotations

import torch

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers


def l2_norm(subject: ProxyInput) -> float:
    """Return the score; the network is not run."""
    with torch.no_grad():
        norms = [torch.linalg.vector_norm(layer.weight) for layer in weighted_layers(subject.module)]
        return float(torch.stack(norms).double().sum()) if norms else 0.0


L2_NORM = Definition(l2_norm, batch=0)
