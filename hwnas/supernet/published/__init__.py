"""Published supernets: weights of other projects as those of a supernet of hwnas. A project is one file, one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from hwnas.registry import Family, InstanceOf
from hwnas.supernet.published.sources import TensorSource

PUBLISHED_SUPERNETS = Family(
    "published_supernets",
    {  # name in an experiment -> where it lives; imported on use
        "ofa": "hwnas.supernet.published.ofa:OFA_SUPERNETS",
        "attentivenas": "hwnas.supernet.published.attentive_nas:ATTENTIVE_NAS_SUPERNET",
        "autoformer": "hwnas.supernet.published.autoformer:AUTOFORMER_SUPERNETS",
    },
    InstanceOf("hwnas.supernet.published:PublishedSupernet"),
)


@dataclass(frozen=True)
class PublishedSupernet:
    """How a project keeps the weights of its supernets, and how it shares them where that is not how hwnas does."""

    sources: Callable[[Mapping[str, Tensor]], Mapping[str, TensorSource]]
    """(shared weights of a supernet by name) -> where in the project's state dictionary each comes from.

    Raises:
        ConfigError: these are no networks of the project.
    """
    spaces: Mapping[str, Mapping[str, int]]
    """Spaces that the project's files are of: the length of the first axis of a few weights in the file, by name."""
    unused: str = ""
    """Pattern of names, beside statistics of normalisations, that no network of hwnas has."""
    kernel_transform: bool = False
    """True if a smaller kernel is a learned map of the larger one's centre."""
    joint_bias: bool = False
    """True if queries, keys and values of attention share one vector of biases."""
