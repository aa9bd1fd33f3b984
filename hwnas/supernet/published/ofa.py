"""Once-for-all's supernets: MobileNetV3, ProxylessNAS and ResNet50D (Cai et al., ICLR 2020, mit-han-lab/once-for-all).

Files name their layers differently by version; all of those that the project reads are read. Kernels have matrices, 7
to 5 to 3. Normalisations of the ProxylessNAS networks add 0.001 to variances.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hwnas.supernet.published import PublishedSupernet
from hwnas.supernet.published.sources import TensorSource, sources_by_rules

PROXYLESS_EPSILON = 1e-3
_MOBILE = {
    "conv/": "first_conv.",
    "mbconv/body/expand/": "blocks.{block}.conv.inverted_bottleneck.",
    "mbconv/body/depth/": "blocks.{block}.conv.depth_conv.",
    "mbconv/body/se/": "blocks.{block}.conv.depth_conv.se.fc.",
    "mbconv/body/project/": "blocks.{block}.conv.point_linear.",
    "classifier/linear/": "classifier.linear.",
}
_V3 = {
    **_MOBILE,
    "classifier/features/": "final_expand_layer.",
    "classifier/hidden/": "feature_mix_layer.conv.",
}
_PROXYLESS = {**_MOBILE, "classifier/features/": "feature_mix_layer."}
_RESNET = {
    "deepstem/first/": "input_stem.0.",
    "deepstem/middle/body/": "input_stem.1.conv.",
    "deepstem/last/": "input_stem.2.",
    "bottleneck/body/reduce/": "blocks.{block}.conv1.",
    "bottleneck/body/conv/": "blocks.{block}.conv2.",
    "bottleneck/body/expand/": "blocks.{block}.conv3.",
    "bottleneck/shortcut/project/": "blocks.{block}.downsample.",
    "classifier/linear/": "classifier.linear.",
}


def sources(weights: Mapping[str, Tensor]) -> dict[str, TensorSource]:
    """Return the sources of the weights of one of the project's supernets, by its head and its stem."""
    kinds = {name.partition("/")[2] for name in weights}
    if any(kind.startswith("deepstem/") for kind in kinds):
        return sources_by_rules(weights, _RESNET, blocks=1)
    if "classifier/hidden/weight" in kinds:
        return sources_by_rules(weights, _V3, blocks=1)
    return sources_by_rules(weights, _PROXYLESS, blocks=1, epsilon=PROXYLESS_EPSILON)


OFA_SUPERNETS = PublishedSupernet(
    sources,
    {
        "ofa_mobilenet_v3_w1.0": {"first_conv.conv.weight": 16, "final_expand_layer.conv.weight": 960},
        "ofa_mobilenet_v3_w1.2": {"first_conv.conv.weight": 24, "final_expand_layer.conv.weight": 1152},
        "ofa_proxyless_w1.3": {"first_conv.conv.weight": 40, "feature_mix_layer.conv.weight": 1664},
        "ofa_resnet50d": {"input_stem.0.conv.weight": 32, "input_stem.2.conv.weight": 64},
    },
    kernel_transform=True,
)
