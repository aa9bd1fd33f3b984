"""What the scores of activations, feature maps, Jacobians and kernels are, on modules whose scores are known."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.activations import codes
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.maps import no_maps, no_scales
from hwnas.network import Network
from hwnas.ops.classifier import Classifier
from hwnas.registry import member

NETWORK = Network((Classifier(3, 4),), ("head",), (3, 4, 4))


def score(name: str, module: nn.Module, images: Tensor, labels: Tensor | None = None) -> float:
    definition: Definition = member(TRAINING_FREE, name, what="proxy", where="here")
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    subject = ProxyInput(NETWORK, lambda: module.train(definition.mode == "train"), images, labels, draw(1))
    return float(definition.measure(subject))


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=draw(seed))


def small(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(*layers)


def convolutional() -> nn.Sequential:
    layers = (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    return small(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


class Shared(nn.Module):
    """Two convolutions that read one activation, or each an activation of its own."""

    def __init__(self, *, once: bool) -> None:
        super().__init__()
        self.one, self.other, self.once = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), once

    def forward(self, x: Tensor) -> Tensor:
        positive = functional.relu(x)
        out: Tensor = self.one(positive) + self.other(positive if self.once else functional.relu(x))
        return out


def test_an_activation_is_seen_as_a_module_and_as_a_function_in_place_or_not() -> None:
    images = noise(2, 3, 2, 2)
    for form in (nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.GELU(), nn.LeakyReLU()):
        (code,) = codes(form, images.clone())
        assert torch.equal(code.positive, (images > 0).flatten(1)), form


def test_naswot_is_the_log_determinant_of_how_often_units_agree() -> None:
    images = torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1], [-1, 1, -1, 1]]).view(3, 4, 1, 1)
    agree = torch.tensor([[4.0, 2, 2], [2, 4, 2], [2, 2, 4]])
    assert score("naswot", nn.ReLU(), images) == pytest.approx(float(torch.logdet(agree)))


def test_naswot_counts_an_activation_for_each_convolution_that_reads_it() -> None:
    images = noise(3, 3, 4, 4)
    assert score("naswot", Shared(once=True), images) == score("naswot", Shared(once=False), images)


@pytest.mark.parametrize("name", ["naswot", "jacob_cov"])
def test_equal_images_are_not_told_apart(name: str) -> None:
    images = noise(1, 3, 4, 4).repeat(3, 1, 1, 1)
    told = score(name, convolutional(), images)
    assert math.isnan(told) if name == "naswot" else told < score(name, convolutional(), noise(3, 3, 4, 4))


def test_swap_counts_distinct_patterns_of_units_over_the_batch() -> None:
    images = torch.tensor([[1.0, 1, -1, -1], [1, 1, 1, -1]]).view(2, 4, 1, 1)  # patterns ++ ++ -+ --
    assert score("swap", nn.ReLU(), images) == 3


@pytest.mark.parametrize("name", ["swap", "naswot", "jacob_cov", "expressivity"])
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    images = noise(6, 3, 6, 6)
    assert score(name, convolutional(), images.flip(0)) == pytest.approx(score(name, convolutional(), images), rel=1e-4)


@pytest.mark.parametrize("name", ["swap", "naswot", "linear_regions"])
def test_a_network_without_activations_has_no_score(name: str) -> None:
    assert math.isnan(score(name, small(nn.Conv2d(3, 4, 1)), noise(4, 3, 2, 2)))


def test_a_line_that_crosses_the_kink_of_one_unit_has_one_border() -> None:
    ends = torch.tensor([-1.0, -2.0, 1.0, -1.0]).view(4, 1, 1, 1)  # from -1 to 1 and from -2 to -1
    assert score("linear_regions", nn.ReLU(), ends) == 1


def test_jacob_cov_of_a_linear_network_is_that_of_images_all_alike() -> None:
    module = small(nn.Flatten(), nn.Linear(12, 3))
    shifted = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64) + 1e-5
    expected = -float((shifted.log() + 1 / shifted).sum())
    assert score("jacob_cov", module, noise(3, 3, 2, 2)) == pytest.approx(expected, rel=1e-6)


def test_meco_is_the_smallest_eigenvalue_of_the_correlation_of_channels() -> None:
    images = noise(1, 3, 6, 6)
    least = torch.linalg.eigvalsh(torch.corrcoef(images[0].flatten(1)))[0]
    assert score("meco", nn.Identity(), images) == pytest.approx(float(least), rel=1e-5)


def test_meco_looks_at_layers_and_not_at_what_holds_them() -> None:
    images = noise(1, 3, 6, 6)
    held = nn.Sequential(nn.Sequential(nn.Identity()))
    assert score("meco", held, images) == score("meco", nn.Identity(), images)


def test_channels_that_are_alike_or_too_many_add_nothing_to_meco() -> None:
    images = noise(1, 3, 6, 6)
    assert score("meco", nn.Identity(), images[:, :1].repeat(1, 3, 1, 1)) == pytest.approx(0, abs=1e-5)
    wide = small(nn.Identity(), nn.Conv2d(3, 36, 1))  # 36 channels in 36 places
    assert score("meco", wide, images) == score("meco", nn.Identity(), images)


def test_zico_has_no_score_where_both_batches_are_one() -> None:
    images, labels = noise(3, 3, 6, 6).repeat(2, 1, 1, 1), torch.tensor([0, 1, 2, 0, 1, 2])
    assert math.isnan(score("zico", convolutional(), images, labels))
    assert math.isfinite(score("zico", convolutional(), noise(6, 3, 6, 6), labels))


def test_zico_of_one_layer_is_the_logarithm_of_the_sum_of_ratios() -> None:
    module = small(nn.Flatten(), nn.Linear(3, 2, bias=False))
    images, labels = noise(4, 3, 1, 1), torch.tensor([0, 1, 1, 0])
    loss = functional.cross_entropy
    weight = module[1].weight
    halves = [torch.autograd.grad(loss(module(images[i]), labels[i]), weight)[0] for i in (slice(2), slice(2, 4))]
    mean, deviation = (halves[0].abs() + halves[1].abs()) / 2, (halves[0] - halves[1]).abs() / 2
    assert score("zico", module, images, labels) == pytest.approx(math.log(float((mean / deviation).sum())), rel=1e-4)


def test_zen_gives_back_what_normalisation_divided_out() -> None:
    module, images = convolutional(), noise(4, 3, 6, 6)
    before = score("zen", module, images)
    with torch.no_grad():
        module[0].weight.mul_(7)
        module[0].bias.mul_(7)
    assert score("zen", module, images) == pytest.approx(before + math.log(7), abs=1e-3)


def test_the_kernel_of_a_linear_layer_is_as_even_as_the_images() -> None:
    module = small(nn.Flatten(), nn.Linear(4, 3, bias=False))
    images = torch.tensor([[2.0, 0, 0, 0], [0, 1, 0, 0]]).view(2, 4, 1, 1)
    assert score("ntk", module, images) == pytest.approx(1 / 4)  # K is 3 x (4 and 1) on its diagonal


def test_a_singular_kernel_has_no_score() -> None:
    module = small(nn.Flatten(), nn.Linear(4, 3, bias=False))
    assert math.isnan(score("ntk", module, torch.ones(2, 4, 1, 1)))


def blocks(*parts: nn.Module) -> nn.Sequential:
    """Operators, with a classifier last."""
    return nn.Sequential(OrderedDict({**{f"b{i}": part for i, part in enumerate(parts)}, "head": nn.Flatten()}))


def test_features_that_vary_alike_in_all_directions_are_the_most_expressive() -> None:
    images = torch.stack([sign * torch.eye(4)[i] for i in range(4) for sign in (1, -1)]).view(8, 4, 1, 1)
    assert score("expressivity", blocks(nn.Identity()), images) == pytest.approx(math.log(4), rel=1e-5)
    flat = images * torch.tensor([1.0, 1, 1, 0]).view(4, 1, 1)
    assert score("expressivity", blocks(nn.Identity()), flat) == pytest.approx(math.log(3), rel=1e-5)


def test_a_block_that_changes_nothing_makes_no_progress_and_cannot_be_judged_by_its_gradient() -> None:
    images = noise(4, 3, 6, 6)
    assert score("progressivity", blocks(nn.Identity(), nn.Identity()), images) == 0
    assert math.isnan(score("trainability", blocks(nn.Identity(), nn.Identity()), images))
    assert math.isnan(score("progressivity", blocks(nn.Identity()), images))


def test_gradients_are_best_passed_as_they_are() -> None:
    images = noise(64, 3, 8, 8)

    def scaled(gain: float) -> float:
        turn = nn.Conv2d(3, 3, 1, bias=False)
        turn.weight.data = gain * torch.eye(3).flip(0).view(3, 3, 1, 1)  # channels in another order: no identity
        return score("trainability", blocks(nn.Identity(), turn), images)

    assert scaled(1) == pytest.approx(0, abs=0.01)
    assert scaled(1) > scaled(2) == pytest.approx(-0.5, abs=0.1)
    assert scaled(2) == pytest.approx(scaled(0.5), abs=0.1)


def test_a_block_that_halves_the_resolution_is_judged_with_its_places_as_channels() -> None:
    for side in (8, 7):
        assert math.isfinite(
            score("trainability", blocks(nn.Identity(), nn.AvgPool2d(2, ceil_mode=True)), noise(4, 3, side, side))
        )


def test_definitions_of_feature_maps_refuse_networks_of_linear_layers() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert no_maps(layers) == "it has 2 linear layers and 0 convolutions, and the definition speaks of feature maps"
    assert no_maps(convolutional()) is None
    assert "batch normalisation" in str(no_scales(nn.Conv2d(3, 3, 1)))
