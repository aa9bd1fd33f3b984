"""`meco`: how far from one another the channels of each feature map are.

Definition: for each map that a layer gives, the smallest eigenvalue of the correlation matrix of its channels, the
places of the map being the observations; the score is the sum over all layers without children (Jiang et al., MeCo:
Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation, NeurIPS 2023). The source's
code takes the modules that hold layers as well, which counts maps several times. A channel that is constant correlates
with none; a map with as many channels as places or more has a singular matrix, so it adds nothing. A matrix whose
eigenvalues cannot be found ends in no score.
Input: one image of noise, at 64x64 as in the source: at 32x32 the last maps of NAS-Bench-201 have 64 channels in 64
places. Normalisation: batch statistics (training mode). Initialisation: PyTorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.maps import no_maps, see_maps


def meco(subject: ProxyInput) -> float:
    """Return the score, from one forward pass; the mean over several images."""
    least: list[Tensor] = []

    def see(leaving: Tensor) -> None:
        features = leaving.flatten(2)
        channels, places = features.shape[1:]
        if 1 < channels < places:
            correlations = torch.stack([torch.corrcoef(image) for image in features]).nan_to_num(0.0, 0.0, 0.0)
            least.append(torch.linalg.eigvalsh(correlations)[:, 0].mean())

    see_maps(subject.module, subject.inputs, see)
    return float(torch.stack(least).double().sum()) if least else float("nan")


MECO = Definition(meco, batch=1, resolution=64, refuses=no_maps)
