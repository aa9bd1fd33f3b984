"""Biases of queries, keys and values in one vector, as AutoFormer shares them (Chen et al., ICCV 2021).

Of n outputs each, queries add the first n entries, keys the next n, values the n after these. So with fewer heads keys
and values add entries that are other ones in the largest network, while their weights are its leading rows.
"""

from __future__ import annotations

from torch import Tensor

THIRDS = {"attention/query/bias": 0, "attention/key/bias": 1, "attention/value/bias": 2}
"""Third of the vector that a bias is, by the end of its name."""


def third_of(key: str) -> int:
    """Return which third of such a vector a shared parameter is; of any other parameter 0."""
    return next((third for end, third in THIRDS.items() if key.endswith(f"/{end}")), 0)


def joint(key: str, largest: Tensor) -> Tensor:
    """Return the whole vector, of zeros, for a bias behind another one; any other parameter as it is."""
    return largest.new_zeros(len(THIRDS) * len(largest)) if third_of(key) else largest
