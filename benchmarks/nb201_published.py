"""What others report: rank correlations of training-free scores with accuracies on NAS-Bench-201, CIFAR-10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A published correlation with where it is from."""

    spearman: float
    source: str
    looked_up: bool
    """Whether the figure was read in, or computed from, a copy of its source; else it is quoted from memory."""
    kendall: float | None = None


def _naslib(spearman: float, kendall: float) -> Figure:
    source = "scores by NASLib (NAS-Bench-Suite-Zero, Krishnakumar et al. 2022) of 725 cells against test_cifar10"
    return Figure(spearman, source, True, kendall)


PUBLISHED: Mapping[str, Figure] = {
    "params": _naslib(0.772, 0.598),
    "macs": _naslib(0.750, 0.558),
    "grad_norm": _naslib(0.647, 0.476),
    "snip": _naslib(0.651, 0.481),
    "grasp": _naslib(0.571, 0.405),
    "fisher": _naslib(0.551, 0.404),
    "l2_norm": _naslib(0.739, 0.542),
    "jacob_cov": _naslib(0.733, 0.558),
    "naswot": _naslib(0.799, 0.610),
    "synflow": Figure(0.74, "Abdelfattah et al., ICLR 2021, all cells", True),
    "meco": Figure(0.89, "Jiang et al., NeurIPS 2023, abstract", True),
    "zico": Figure(0.80, "Li et al., ICLR 2023", False, 0.61),
    "zen": Figure(0.38, "Zen-score as compared by Li et al. (ZiCo), ICLR 2023", False, 0.29),
    "swap": Figure(0.83, "Peng et al., ICLR 2024, without regularisation", False),
    "az_nas": Figure(
        0.913, "Lee and Ham, CVPR 2024: cvlab-yonsei/AZ-NAS, NB201/tss_general.ipynb, all cells", True, 0.741
    ),
    "te_nas": Figure(0.722, "TE-NAS as compared by Lee and Ham (AZ-NAS), CVPR 2024", False, 0.536),
}
