"""Examples of every operator."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

from hwnas.cell import KNOBS
from hwnas.ops import Operator, Shape


def cell(*operations: str) -> dict[str, str]:
    """Operations for the first edges; the others pool what they read."""
    return dict(zip_longest(KNOBS, operations, fillvalue="avg_pool_3x3"))


# For each kind, operators that differ in sizes alone share a line; the first of a line is the largest.
EXAMPLES: Mapping[str, tuple[tuple[dict[str, object], ...], ...]] = {
    "conv": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 5}, {"in_channels": 8, "out_channels": 8, "kernel": 1}),
        ({"in_channels": 3, "out_channels": 8, "stride": 2, "activation": "hswish"},),
    ),
    "mbconv": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 7, "expand": 6, "se": True},
            {"in_channels": 8, "out_channels": 16, "kernel": 3, "expand": 0.5, "se": True},
        ),
        ({"in_channels": 16, "out_channels": 16, "kernel": 5, "expand": 4, "activation": "silu"},),
        ({"in_channels": 16, "out_channels": 16, "kernel": 3, "expand": 1, "stride": 2},),
    ),
    "bottleneck": (
        (
            {"in_channels": 16, "out_channels": 64, "kernel": 5, "expand": 0.5, "stride": 2},
            {"in_channels": 8, "out_channels": 32, "kernel": 3, "stride": 2},
        ),
        ({"in_channels": 32, "out_channels": 32},),
        ({"in_channels": 32, "out_channels": 64},),
    ),
    "fbconv": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 5, "expand": 3},
            {"in_channels": 8, "out_channels": 16, "kernel": 3, "expand": 1},
        ),
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 5, "expand": 1, "groups": 2},
            {"in_channels": 8, "out_channels": 8, "kernel": 3, "expand": 1, "groups": 2},
        ),
        ({"in_channels": 16, "out_channels": 24, "kernel": 3, "expand": 1, "stride": 2},),
    ),
    "resmbconv": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 5, "expand": 6, "stride": 2, "se": True},
            {"in_channels": 8, "out_channels": 16, "kernel": 3, "expand": 4, "stride": 2, "se": True},
        ),
        ({"in_channels": 16, "out_channels": 16, "kernel": 3, "expand": 1, "activation": "silu"},),
        ({"in_channels": 16, "out_channels": 16, "kernel": 3, "expand": 4, "stride": 2},),
    ),
    "deepstem": (
        (
            {"in_channels": 3, "out_channels": 16, "hidden": 16},
            {"in_channels": 3, "out_channels": 8, "hidden": 8},
        ),
        ({"in_channels": 3, "out_channels": 16, "hidden": 8, "residual": False},),
    ),
    "expandhead": (
        (
            {"in_channels": 16, "out_channels": 10, "expand": 6, "hidden": 32},
            {"in_channels": 8, "out_channels": 10, "expand": 4, "hidden": 16},
        ),
        ({"in_channels": 16, "out_channels": 10, "expand": 2},),
    ),
    "classifier": (
        (
            {"in_channels": 32, "out_channels": 10, "features": 64, "hidden": 96},
            {"in_channels": 8, "out_channels": 10, "features": 16, "hidden": 24},
        ),
        ({"in_channels": 32, "out_channels": 10, "dropout": 0.2},),
    ),
    "patchembed": (
        (
            {"in_channels": 3, "out_channels": 24, "patch": 4, "grid": 3},
            {"in_channels": 3, "out_channels": 16, "patch": 4, "grid": 3},
        ),
    ),
    "transformer": (
        (
            {"in_channels": 24, "out_channels": 24, "heads": 3, "head_width": 8, "relative": 2},
            {"in_channels": 16, "out_channels": 16, "heads": 2, "head_width": 8, "relative": 2, "mlp_ratio": 2.5},
        ),
        ({"in_channels": 24, "out_channels": 24, "heads": 3, "head_width": 0, "mlp_ratio": 1, "activation": "relu"},),
    ),
    "tokenclassifier": (
        ({"in_channels": 24, "out_channels": 10}, {"in_channels": 16, "out_channels": 10}),
        ({"in_channels": 24, "out_channels": 10, "pool": "mean"},),
    ),
    "cell": (
        (
            {"in_channels": 16, "out_channels": 16, **cell("nor_conv_3x3", "nor_conv_1x1", "skip_connect")},
            {"in_channels": 8, "out_channels": 8, **cell("nor_conv_3x3", "nor_conv_1x1", "skip_connect")},
        ),
        ({"in_channels": 8, "out_channels": 8, **cell("none", "nor_conv_3x3", "nor_conv_3x3")},),
    ),
    "reduction": (
        ({"in_channels": 16, "out_channels": 24}, {"in_channels": 8, "out_channels": 16}),
        ({"in_channels": 8, "out_channels": 16, "stride": 1, "activation": "silu"},),
    ),
    "readout": (({"in_channels": 24, "out_channels": 10}, {"in_channels": 8, "out_channels": 10}),),
    "conv1d": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 7}, {"in_channels": 8, "out_channels": 8, "kernel": 1}),
        ({"in_channels": 6, "out_channels": 8, "stride": 2, "activation": "hswish"},),
    ),
    "dsconv1d": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 5}, {"in_channels": 8, "out_channels": 16, "kernel": 3}),
        ({"in_channels": 16, "out_channels": 16, "stride": 2, "activation": "relu6"},),
    ),
    "tcn": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 5, "dilation": 2},
            {"in_channels": 8, "out_channels": 16, "kernel": 3, "dilation": 2},
        ),
        ({"in_channels": 16, "out_channels": 16, "dilation": 4, "causal": True, "dropout": 0.1},),
    ),
    "mingru": (({"in_channels": 16, "out_channels": 24}, {"in_channels": 8, "out_channels": 16}),),
    "upconv1d": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 5}, {"in_channels": 8, "out_channels": 16, "kernel": 3}),
        ({"in_channels": 16, "out_channels": 16, "scale": 4, "mode": "linear"},),
    ),
    "conv2d": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel_height": 5, "kernel_width": 4, "bias": True},
            {"in_channels": 8, "out_channels": 16, "kernel_height": 3, "kernel_width": 2, "bias": True},
        ),
        ({"in_channels": 3, "out_channels": 8, "kernel_height": 1, "kernel_width": 5, "stride": 2},),
    ),
    "dsconv": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 5}, {"in_channels": 8, "out_channels": 16, "kernel": 3}),
        ({"in_channels": 16, "out_channels": 16, "stride": 2, "bias": True},),
    ),
    "basicblock": (
        (
            {"in_channels": 16, "out_channels": 24, "kernel": 5, "stride": 2, "bias": True},
            {"in_channels": 8, "out_channels": 16, "kernel": 3, "stride": 2, "bias": True},
        ),
        ({"in_channels": 16, "out_channels": 16},),
    ),
    "upconv": (
        ({"in_channels": 16, "out_channels": 24, "kernel": 5}, {"in_channels": 8, "out_channels": 16, "kernel": 3}),
        ({"in_channels": 16, "out_channels": 16, "scale": 4, "mode": "linear"},),
    ),
    "mlp": (
        ({"in_channels": 16, "out_channels": 24}, {"in_channels": 8, "out_channels": 16}),
        ({"in_channels": 16, "out_channels": 16, "norm": False, "dropout": 0.1},),
        (
            {"in_channels": 16, "out_channels": 24, "positions": 56, "bias": True},
            {"in_channels": 8, "out_channels": 16, "positions": 56, "bias": True},
        ),
    ),
    "densehead": (
        (
            {"in_channels": 32, "out_channels": 10, "features": 24, "scale": 2},
            {"in_channels": 8, "out_channels": 10, "features": 16, "scale": 2},
        ),
        ({"in_channels": 32, "out_channels": 10, "scale": 4, "mode": "nearest"},),
    ),
    "logmel": (
        ({"in_channels": 1, "out_channels": 1, "rate": 1000, "mels": 6},),
        ({"in_channels": 2, "out_channels": 12, "rate": 1000, "mels": 6, "window_ms": 25.0, "high_hz": 400.0},),
    ),
    "regressor": (
        (
            {"in_channels": 32, "out_channels": 2, "features": 64, "hidden": 96},
            {"in_channels": 8, "out_channels": 2, "features": 16, "hidden": 24},
        ),
        ({"in_channels": 32, "out_channels": 1, "dropout": 0.2},),
    ),
}


def input_of(operator: Operator) -> Shape:
    """A shape that it takes, with unequal axes where it does not mind."""
    if operator.kind in ("transformer", "tokenclassifier"):
        return operator.in_channels, 5
    if operator.kind == "patchembed":
        whole = operator.knobs["patch"] * operator.knobs["grid"]
        return operator.in_channels, whole + 1, whole + 2
    if operator.kind in ("conv1d", "dsconv1d", "tcn", "mingru", "upconv1d"):
        return operator.in_channels, 15
    if operator.kind == "logmel":
        return operator.in_channels, 105
    if operator.kind == "mlp" and operator.knobs["positions"] == 1:
        return (operator.in_channels,)
    return operator.in_channels, 8, 7
