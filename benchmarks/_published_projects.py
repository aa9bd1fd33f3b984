"""Supernets of other projects by those projects' own code, with random weights, for published_supernets.py.

Nothing of that code is in this tree. Imports of theirs that have nothing to do with networks (torchvision, gdown, and a
module that PyTorch no longer has) get empty stand-ins where they are missing.
"""

from __future__ import annotations

import collections.abc
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.io.yaml import read_yaml

ABSENT = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.datasets",
    "gdown",
    "tqdm",
    "torch._six",
)
MOBILE = {"dropout_rate": 0, "ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
RESNET = {
    "dropout_rate": 0,
    "depth_list": [0, 1, 2],
    "expand_ratio_list": [0.2, 0.25, 0.35],
    "width_mult_list": [0.65, 0.8, 1.0],
}
CONVOLVED = 128
"""Pixels of images for networks of convolutions, which take any."""
AUTOFORMER = {"tiny": (256, 14, 4), "small": (448, 14, 7), "base": (640, 16, 10)}


@dataclass(frozen=True)
class Project:
    """A supernet by its project's own code."""

    space: str
    """Name of the space of hwnas that it fills."""
    format: str
    net: nn.Module
    active: Callable[[Mapping[str, Any]], nn.Module]
    """(architecture in the project's notation) -> the sub-network as a module, by that project's own slicing."""
    key: str = "state_dict"
    """Key of the state in the project's files."""
    prefix: str = ""
    own_statistics: Callable[[nn.Module, Tensor], None] | None = None
    """The project's own recomputing of normalisation statistics; None: PyTorch's, with momentum None."""
    resolution: int | None = None
    """Pixels of the images that are compared, where they need not be those of the network."""

    def file_content(self) -> dict[str, Any]:
        """Return what a file of the project holds."""
        return {self.key: {f"{self.prefix}{name}": value for name, value in self.net.state_dict().items()}}


def once_for_all(folder: Path | None, space: str, classes: int) -> Project:
    """Return one of once-for-all's supernets, by the package `ofa`."""
    _importable(folder)
    networks = importlib.import_module("ofa.imagenet_classification.elastic_nn.networks")
    utils = importlib.import_module("ofa.imagenet_classification.elastic_nn.utils")
    makers: Mapping[str, Callable[[], nn.Module]] = {
        "ofa_mobilenet_v3_w1.0": lambda: networks.OFAMobileNetV3(classes, width_mult=1.0, **MOBILE),
        "ofa_mobilenet_v3_w1.2": lambda: networks.OFAMobileNetV3(classes, width_mult=1.2, **MOBILE),
        "ofa_proxyless_w1.3": lambda: networks.OFAProxylessNASNets(classes, width_mult=1.3, **MOBILE),
        "ofa_resnet50d": lambda: networks.OFAResNets(classes, **RESNET),
    }
    net: Any = makers[space]()

    def active(architecture: Mapping[str, Any]) -> nn.Module:
        net.set_active_subnet(**{name: value for name, value in architecture.items() if name != "r"})
        module: nn.Module = net.get_active_subnet()
        return module

    def statistics(module: nn.Module, images: Tensor) -> None:
        utils.set_running_statistics(module, [(images, None)])

    return Project(space, "ofa", net, active, own_statistics=statistics, resolution=CONVOLVED)


def attentive_nas(folder: Path, classes: int) -> Project:
    """Return AttentiveNAS's supernet, by the code in a checkout of facebookresearch/AttentiveNAS."""
    _importable(folder)
    models = importlib.import_module("models.attentive_nas_dynamic_model")
    config = read_yaml(folder / "configs/eval_attentive_nas_models.yml")["supernet_config"]
    net: Any = models.AttentiveNasDynamicModel(_names(config), n_classes=classes)

    def active(architecture: Mapping[str, Any]) -> nn.Module:
        net.set_active_subnet(**{**architecture, "resolution": CONVOLVED})  # to which its networks resize
        module: nn.Module = net.get_active_subnet()
        return module

    return Project("attentive_nas", "attentivenas", net, active, prefix="module.", resolution=CONVOLVED)


def autoformer(folder: Path, size: str, classes: int, resolution: int = 224) -> Project:
    """Return one of AutoFormer's supernets, by the code in the folder AutoFormer of a checkout of microsoft/Cream."""
    _importable(folder)
    module: Any = importlib.import_module("model.supernet_transformer")
    module.gelu = nn.functional.gelu  # theirs is computed in single precision, whatever it is given
    width, depth, heads = AUTOFORMER[size]
    net: Any = module.Vision_TransformerSuper(
        img_size=resolution, patch_size=16, embed_dim=width, depth=depth, num_heads=heads, mlp_ratio=4.0, qkv_bias=True,
        num_classes=classes, gp=True, relative_position=True, change_qkv=True, max_relative_position=14,
    ).eval()  # fmt: skip

    def active(architecture: Mapping[str, Any]) -> nn.Module:
        net.set_sample_config(dict(architecture))
        return _Active(net, architecture)

    return Project(f"autoformer_{size}", "autoformer", net, active, key="model")


class _Active(nn.Module):
    """AutoFormer's supernet, set to a sub-network whenever it is run: slices are taken when it is set."""

    def __init__(self, net: Any, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.net, self.architecture = net, dict(architecture)

    def forward(self, images: Tensor) -> Tensor:
        self.net.set_sample_config(self.architecture)
        logits: Tensor = self.net(images)
        return logits


def _importable(folder: Path | None) -> None:
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    for name in ABSENT:
        try:
            importlib.import_module(name)
        except ImportError:
            _stand_in(name)


def _stand_in(name: str) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    module.container_abcs = collections.abc  # type: ignore[attr-defined]  # of torch._six

    def attribute(wanted: str) -> type:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return type(wanted, (object,), {})

    module.__getattr__ = attribute  # type: ignore[method-assign]
    sys.modules[name] = module
    package, _, own = name.rpartition(".")
    if package:
        setattr(sys.modules[package], own, module)


def _names(values: Mapping[str, Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        **{name: _names(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    )


def with_batch_statistics(module: nn.Module, images: Tensor) -> nn.Module:
    """Give a module the normalisation statistics of a batch, by PyTorch's own rule; it is then in eval mode."""
    module.eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
    with torch.no_grad():
        module(images)
    return module.eval()
