"""Networks that `open_networks` opens: torchvision's MobileNetV2 in its layout of names, a U-Net, a network of signals,
and architectures of pytorchcv and transformers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[int, ...]]


class InvertedResidual(nn.Module):
    """MobileNetV2's block, parameters named as in torchvision."""

    def __init__(self, inner: int, outer: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inner * expand
        layers: list[nn.Module] = [] if expand == 1 else [conv(inner, hidden, 1)]
        layers += [conv(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outer, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outer))
        self.adds = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


def conv(inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with normalisation and ReLU6."""
    layer = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outer), nn.ReLU6(inplace=True))


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1, parameters named as in torchvision."""

    SETTINGS = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        features: list[nn.Module] = [conv(3, 32, 3, 2)]
        inner = 32
        for expand, outer, depth, stride in self.SETTINGS:
            for index in range(depth):
                features.append(InvertedResidual(inner, outer, stride if index == 0 else 1, expand))
                inner = outer
        self.features = nn.Sequential(*features, conv(inner, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def mobilenet_v2_for_cifar10() -> Made:
    """Return the network with ten classes, for images of 96 pixels."""
    return MobileNetV2(10), (3, 96, 96)


class Twice(nn.Module):
    """Two convolutions with normalisation."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first, self.second = conv(inner, outer, 3), conv(outer, outer, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class UNet(nn.Module):
    """U-Net of three levels whose shortcuts are joined along the channels."""

    def __init__(self, width: int = 32, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList([Twice(3, width), Twice(width, 2 * width), Twice(2 * width, 4 * width)])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)]
        )
        self.merge = nn.ModuleList([Twice(4 * width, 2 * width), Twice(2 * width, width)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down[0](x)
        two = self.down[1](nn.functional.max_pool2d(one, 2))
        x = self.down[2](nn.functional.max_pool2d(two, 2))
        x = self.merge[0](torch.cat([self.ups[0](x), two], 1))
        x = self.merge[1](torch.cat([self.ups[1](x), one], 1))
        return self.head(x)


class Signals(nn.Module):
    """Residual network of one-dimensional convolutions."""

    def __init__(self, width: int = 64, classes: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(6, width, 7, 2, 3), nn.BatchNorm1d(width), nn.ReLU())
        self.blocks = nn.ModuleList([SignalBlock(width) for _ in range(4)])
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(-1))


class SignalBlock(nn.Module):
    """x + f(x) of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(width, width, 5, 1, 2), nn.Conv1d(width, width, 5, 1, 2)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(torch.relu(self.norm(self.one(x))))


class Logits(nn.Module):
    """A model of transformers that returns its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x).logits
        return logits


def zoo(module: str, name: str, side: int = 224) -> Callable[[], Made]:
    """A model of pytorchcv, with initial weights."""

    def make() -> Made:
        return getattr(importlib.import_module(f"pytorchcv.models.{module}"), name)(), (3, side, side)

    return make


def hub(name: str, side: int, **settings: Any) -> Callable[[], Made]:
    """A model for image classification of transformers, made from a configuration."""

    def make() -> Made:
        transformers = importlib.import_module("transformers")
        config = getattr(transformers, f"{name}Config")(num_labels=10, **settings)
        return Logits(getattr(transformers, f"{name}ForImageClassification")(config)), (3, side, side)

    return make


NETWORKS: dict[str, Callable[[], Made]] = {
    "own: MobileNetV2 as in torchvision": lambda: (MobileNetV2(), (3, 224, 224)),
    "own: U-Net": lambda: (UNet(), (3, 64, 64)),
    "own: residual network of signals": lambda: (Signals(), (6, 128)),
    "pytorchcv: resnet18": zoo("resnet", "resnet18"),
    "pytorchcv: preresnet18": zoo("preresnet", "preresnet18"),
    "pytorchcv: seresnet50": zoo("seresnet", "seresnet50"),
    "pytorchcv: resnext26_32x4d": zoo("resnext", "resnext26_32x4d"),
    "pytorchcv: densenet121": zoo("densenet", "densenet121"),
    "pytorchcv: vgg11": zoo("vgg", "vgg11"),
    "pytorchcv: mobilenet_w1": zoo("mobilenet", "mobilenet_w1"),
    "pytorchcv: mobilenetv3_large_w1": zoo("mobilenetv3", "mobilenetv3_large_w1"),
    "pytorchcv: efficientnet_b0": zoo("efficientnet", "efficientnet_b0"),
    "pytorchcv: shufflenetv2_w1": zoo("shufflenetv2", "shufflenetv2_w1"),
    "pytorchcv: regnetx002": zoo("regnet", "regnetx002"),
    "transformers: ResNet": hub("ResNet", 64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], embedding_size=32),
    "transformers: RegNet": hub("RegNet", 64, hidden_sizes=[32, 64, 128, 256], depths=[1, 2, 2, 1], groups_width=16),
    "transformers: MobileNetV2": hub("MobileNetV2", 96),
    "transformers: ConvNextV2": hub("ConvNextV2", 64, hidden_sizes=[32, 64, 128, 256], depths=[2, 2, 4, 2]),
    "transformers: ViT": hub(
        "ViT",
        32,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        image_size=32,
        patch_size=4,
    ),
    "transformers: Swin": hub(
        "Swin", 32, image_size=32, patch_size=2, embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=4
    ),
}
