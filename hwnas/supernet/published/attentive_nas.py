"""AttentiveNAS's supernet (Wang et al., CVPR 2021, facebookresearch/AttentiveNAS).

Every block of a file has a shortcut with weights; networks have them where the width can change. Statistics that were
kept of the smallest and the largest network are not used.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hwnas.supernet.published import PublishedSupernet
from hwnas.supernet.published.sources import TensorSource, sources_by_rules

_RULES = {
    "conv/": "first_conv.",
    "resmbconv/body/expand/": "blocks.{block}.conv.inverted_bottleneck.",
    "resmbconv/body/depth/": "blocks.{block}.conv.depth_conv.",
    "resmbconv/body/se/": "blocks.{block}.conv.depth_conv.se.fc.",
    "resmbconv/body/project/": "blocks.{block}.conv.point_linear.",
    "resmbconv/shortcut/project/": "blocks.{block}.shortcut.conv.",
    "expandhead/features/": "last_conv.final_expand_layer.",
    "expandhead/hidden/": "last_conv.feature_mix_layer.conv.",
    "expandhead/linear/": "classifier.linear.",
}


def sources(weights: Mapping[str, Tensor]) -> dict[str, TensorSource]:
    """Return the sources of the supernet's weights."""
    return sources_by_rules(weights, _RULES, blocks=1)


ATTENTIVE_NAS_SUPERNET = PublishedSupernet(
    sources,
    {"attentive_nas": {"first_conv.conv.weight": 24, "last_conv.feature_mix_layer.conv.weight": 1984}},
    unused=r"blocks\.\d+\.shortcut\.conv\.weight|.*\.bn_tracking\..*",
)
