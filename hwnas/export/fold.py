"""Batch normalisation folded into the convolution before it, as every converter and runtime does at inference."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDED = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))


def folded(module: nn.Module) -> nn.Module:
    """Return a copy in eval mode that computes the same with fewer operations, so that no converter has to fold them.

    Folded are a convolution in one or two dimensions and the batch normalisation behind it in an `nn.Sequential`,
    unless one of them has another place in the module too; any other normalisation stays.
    """
    twin = copy.deepcopy(module).eval()
    places = Counter(id(child) for _, child in twin.named_modules(remove_duplicate=False))
    for chain in list(twin.modules()):
        if type(chain) is not nn.Sequential:
            continue
        for (name, conv), (norm_name, norm) in pairwise(list(chain.named_children())):
            if (
                (type(conv), type(norm)) in FOLDED
                and norm.running_mean is not None
                and places[id(conv)] == places[id(norm)] == 1
            ):
                setattr(chain, name, fuse_conv_bn_eval(conv, norm))
                setattr(chain, norm_name, nn.Identity())
    return twin
