"""Training-free proxies: a contract that each of them keeps, and what holds for some."""

from __future__ import annotations

import copy
import math
import random
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.definition import Definition, ProxyInput
from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
from hwnas.accuracy.zero_cost_proxies.initialization import INITIALIZATIONS
from hwnas.accuracy.zero_cost_proxies.probe import made, probe
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, training_free_scorer
from hwnas.accuracy.zero_cost_proxies.weights import weighted_layers
from hwnas.data import Dataset, load_data
from hwnas.errors import ConfigError, NoScore
from hwnas.network import Network, costs, lower
from hwnas.registry import member
from hwnas.space import AnySpace, FunctionSpace
from tests.helpers.spaces import SMALL
from tests.helpers.tiny import tiny
from tests.helpers.traced_nets import plain

SPACES: dict[str, AnySpace] = {
    "mobile": SMALL["widths and strides"],
    "bottleneck": SMALL["two operators"],
    "transformer": SMALL["transformers"],
    "cells": tiny("nas_bench_201"),
    "somebody's module": FunctionSpace("plain", plain),
}
GRADIENTS = ("grad_norm", "snip", "grasp", "fisher")

MANY = 12
"""Images from which on what counts patterns of units does not find all there can be."""


def network_of(space: AnySpace, seed: int = 3) -> Network:
    return lower(space, space.random(random.Random(seed)))


def scorer(name: str, space: AnySpace, data: Dataset | None = None, seed: int = 0, **more: int) -> TrainingFree:
    return training_free_scorer(name, partial(lower, space), data, seed=seed, **{"batch": 4, **more})


def measured(definition: Definition, network: Network | None = None, seed: int = 0) -> float:
    return probe("tried", definition, network or network_of(SPACES["mobile"]), seed=seed)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data({"name": "digits", "limit": 40}, seed=0).without_test()


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", TRAINING_FREE)
def test_a_proxy_gives_a_finite_number_or_refuses_with_the_reason(name: str, kind: str) -> None:
    space = SPACES[kind]
    tried, network = scorer(name, space), lower(space, space.largest())
    refuses = tried.definition.refuses
    reason = refuses(made(tried.definition, network, 0)) if refuses is not None else None
    if reason is None:
        assert math.isfinite(tried(space.largest()))
    else:
        with pytest.raises(NoScore, match=re.escape(reason)):
            tried(space.largest())


@pytest.mark.parametrize("name", TRAINING_FREE)
def test_the_same_network_and_seed_give_the_same_bits_whatever_was_drawn_before(name: str) -> None:
    space = SPACES["mobile"]
    first = scorer(name, space)(space.largest())
    torch.manual_seed(99)
    state = torch.get_rng_state()
    scorer(name, space)(space.smallest())
    assert scorer(name, space)(space.largest()) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", TRAINING_FREE)
def test_a_proxy_that_draws_depends_on_the_seed_and_no_other_does(name: str) -> None:
    space = SPACES["mobile"]
    one, other = (scorer(name, space, seed=seed, batch=MANY) for seed in (0, 1))
    draws = one.definition.draws
    assert (one(space.largest()) != other(space.largest())) == draws
    assert (one.producer != other.producer) == draws


def test_data_are_looked_at_by_those_that_say_so_and_no_others(digits: Dataset) -> None:
    space = tiny("digits")
    for name in TRAINING_FREE:
        without, given = scorer(name, space, batch=MANY), scorer(name, space, digits, batch=MANY)
        looks = without.definition.data
        assert (without(space.largest()) != given(space.largest())) == looks, name
        assert (without.producer != given.producer) == looks, name


def test_the_producer_says_whether_labels_and_images_were_drawn(digits: Dataset) -> None:
    space = tiny("digits")
    assert "images=noise labels=random" in scorer("grad_norm", space).producer
    told = {scorer("grad_norm", space, digits, batch=batch).producer for batch in (4, 5)}
    assert len(told) == 2
    assert not any("noise" in producer or "random" in producer for producer in told)


def test_batch_and_resolution_can_be_set() -> None:
    space = SPACES["mobile"]
    usual = scorer("grad_norm", space)
    for more in ({"batch": 5}, {"resolution": 16}):
        other = scorer("grad_norm", space, **more)
        assert other(space.largest()) != usual(space.largest())
        assert other.producer != usual.producer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_score(value: float) -> None:
    with pytest.raises(NoScore, match=str(value)):
        measured(Definition(lambda subject: value, batch=1))


@pytest.mark.parametrize(
    "error", [torch.linalg.LinAlgError("did not\nconverge"), FloatingPointError(), RuntimeError("out of memory")]
)
def test_errors_of_arithmetic_are_no_score_and_named(error: Exception) -> None:
    def fails(subject: ProxyInput) -> float:
        raise error

    with pytest.raises(NoScore, match=type(error).__name__):
        measured(Definition(fails, batch=1))


def test_a_mistake_in_a_definition_is_no_lack_of_a_score() -> None:
    with pytest.raises(AttributeError):
        measured(Definition(lambda subject: subject.nothing, batch=1))  # type: ignore[attr-defined]


def test_a_network_that_a_definition_does_not_speak_of_is_refused_with_the_reason() -> None:
    refusing = Definition(lambda subject: 1.0, batch=1, refuses=lambda module: "it has no ReLU")
    with pytest.raises(NoScore, match=r"the definition does not hold for this network: it has no ReLU"):
        measured(refusing)


def test_the_score_is_the_mean_over_the_repeats() -> None:
    drawn: list[float] = []

    def draw(subject: ProxyInput) -> float:
        drawn.append(float(torch.rand(1, generator=subject.generator)))
        return drawn[-1]

    assert measured(Definition(draw, batch=1, repeats=3)) == pytest.approx(sum(drawn) / 3)
    assert len(set(drawn)) == 3


def test_a_subject_is_what_the_definition_says() -> None:
    network = network_of(SPACES["mobile"])

    def look(subject: ProxyInput) -> float:
        assert subject.inputs.shape == (3, 3, 12, 12)
        assert subject.inputs.dtype is next(subject.module.parameters()).dtype is torch.float64
        assert subject.targets.shape == (3,)
        assert int(subject.targets.max()) < network.operators[-1].out_channels
        assert not any(part.training for part in subject.module.modules())
        assert torch.get_num_threads() == 1
        again = subject.make().state_dict()
        assert all(torch.equal(value, again[name]) for name, value in subject.module.state_dict().items())
        return 1.0

    assert measured(Definition(look, batch=3, mode="eval", dtype="float64", resolution=12), network) == 1.0


@pytest.mark.parametrize("name", INITIALIZATIONS)
def test_an_initialisation_draws_the_weights_it_names(name: str) -> None:
    definition = Definition(lambda subject: 0.0, batch=1, initialization=name)
    module = made(definition, network_of(SPACES["cells"]), seed=0)
    layer = max(weighted_layers(module), key=lambda layer: layer.weight.numel())
    into, out = (math.prod(layer.weight.shape) // layer.weight.shape[axis] for axis in (0, 1))
    expected = {
        "pytorch": math.sqrt(1 / (3 * into)),
        "kaiming": math.sqrt(2 / into),
        "xavier": math.sqrt(2 / (into + out)),
        "normal": 1.0,
    }
    assert float(layer.weight.detach().std()) == pytest.approx(expected[name], rel=0.05)


def test_images_of_other_channels_are_the_callers_mistake(digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="the inputs have 1 channels, the network takes 3"):
        scorer("grad_norm", SPACES["mobile"], digits)(SPACES["mobile"].largest())


@pytest.mark.parametrize(
    ("more", "met"), [({"batch": 0}, "`batch` is 0"), ({"resolution": -1}, "`resolution` is -1"), ({"batch": 41}, "40")]
)
def test_a_batch_or_a_resolution_that_cannot_be_is_refused(digits: Dataset, more: dict[str, int], met: str) -> None:
    with pytest.raises(ConfigError, match=met):
        scorer("grad_norm", tiny("digits"), digits, **more)


def test_an_unknown_proxy_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean `synflow`"):
        scorer("synflo", SPACES["mobile"])


def test_params_and_macs_are_those_of_the_network() -> None:
    space = SPACES["cells"]
    architecture = space.random(random.Random(0))
    total = costs(lower(space, architecture))
    assert scorer("params", space)(architecture) == total.params
    assert scorer("macs", space)(architecture) == total.macs


def test_synflow_of_a_chain_of_linear_layers_is_the_flow_times_the_layers() -> None:
    """R is linear in the weights of each layer, so that |w * dR/dw| sums to R for each of them (Tanaka et al. 2020)."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False))
    module = module.double().eval()
    flow = (module[3].weight.abs() @ module[1].weight.abs()).sum().item()
    subject = _subject_of(module, torch.randn(1, 3, 2, 2, dtype=torch.float64))
    assert _definition("synflow").measure(subject) == pytest.approx(2 * flow)


def test_synflow_keeps_to_its_range_where_single_precision_leaves_it() -> None:
    space = SPACES["cells"]
    definition = _definition("synflow")
    network = lower(space, space.largest())
    assert probe("synflow", definition, network, seed=0) > torch.finfo(torch.float32).max
    with pytest.raises(NoScore):
        probe("synflow", replace(definition, dtype="float32"), network, seed=0)


def test_grad_norm_sums_the_norms_of_the_layers_gradients() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    images, labels = torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    loss = nn.functional.cross_entropy(module(images), labels)
    gradients = torch.autograd.grad(loss, [module[1].weight, module[3].weight])
    score = _definition("grad_norm").measure(_subject_of(module, images, labels))
    assert score == pytest.approx(sum(float(gradient.norm()) for gradient in gradients))


def _small() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A convolution and a linear layer in double precision, with four images and their labels."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(5, 3)).double()
    return module, torch.randn(4, 3, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0])


def test_snip_is_the_derivative_with_respect_to_masks_on_the_weights() -> None:
    module, images, labels = _small()
    weights = {name: value.detach() for name, value in module.named_parameters() if name.endswith("weight")}

    def loss(*masks: torch.Tensor) -> torch.Tensor:
        masked = {name: weights[name] * mask for name, mask in zip(weights, masks, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(module, masked, images), labels)

    masks = tuple(torch.ones_like(weight) for weight in weights.values())
    expected = sum(found.abs().sum().item() for found in torch.autograd.functional.jacobian(loss, masks))
    assert _definition("snip").measure(_subject_of(module, images, labels)) == pytest.approx(expected)


def test_grasp_is_minus_the_weights_times_the_hessian_times_the_gradient() -> None:
    module, images, labels = _small()
    named = {name: value.detach() for name, value in module.named_parameters() if name.endswith("weight")}

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        given = dict(zip(named, weights, strict=True))
        return nn.functional.cross_entropy(torch.func.functional_call(module, given, images), labels)

    weights = tuple(named.values())
    gradient = torch.autograd.functional.jacobian(loss, weights)
    _, product = torch.autograd.functional.hvp(loss, weights, gradient)
    expected = -sum((weight * part).sum().item() for weight, part in zip(weights, product, strict=True))
    assert _definition("grasp").measure(_subject_of(module, images, labels)) == pytest.approx(expected)


def test_fisher_is_half_the_square_of_what_a_channels_absence_would_cost_each_image() -> None:
    module, images, labels = _small()
    images, expected = torch.cat([images] * 2, 3), 0.0  # a channel of the convolution has more than one place
    module[3] = nn.Linear(15, 3).double()
    for layer, channels in ((0, 5), (3, 3)):
        for image, label in zip(images, labels, strict=True):

            def loss(
                gates: torch.Tensor, at: int = layer, image: torch.Tensor = image, label: torch.Tensor = label
            ) -> torch.Tensor:
                left = module[: at + 1](image[None])
                left = left * gates.reshape(1, -1, *[1] * (left.ndim - 2))
                return nn.functional.cross_entropy(module[at + 1 :](left)[0], label) / len(images)

            gates = torch.ones(channels, dtype=torch.float64)
            expected += torch.autograd.functional.jacobian(loss, gates).square().sum().item() / 2 / len(images)
    assert _definition("fisher").measure(_subject_of(module, images, labels)) == pytest.approx(expected)


def test_tokens_are_places_of_a_channel_for_fisher() -> None:
    """A linear layer along tokens is a 1x1 convolution over their places."""
    linear, convolution = nn.Linear(3, 5).double(), nn.Conv2d(3, 5, 1).double()
    convolution.weight.data.copy_(linear.weight[:, :, None, None])
    convolution.bias.data.copy_(linear.bias)
    images, labels = torch.randn(4, 3, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    along = nn.Sequential(_Tokens(), linear, _Mean(1))
    scores = [
        _definition("fisher").measure(_subject_of(module, images, labels))
        for module in (along, nn.Sequential(convolution, nn.Flatten(2), _Mean(2)))
    ]
    assert scores[0] == pytest.approx(scores[1])


class _Tokens(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(2).transpose(1, 2)


class _Mean(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(self.axis)


def test_l2_norm_sums_the_lengths_of_the_weights() -> None:
    module, images, _ = _small()
    expected = module[0].weight.norm().item() + module[3].weight.norm().item()
    assert _definition("l2_norm").measure(_subject_of(module, images)) == pytest.approx(expected)


def test_what_works_in_place_after_a_layer_changes_no_score() -> None:
    scores = []
    for inplace in (False, True):
        module, images, labels = _small()
        module[1] = nn.Hardsigmoid(inplace)
        scores.append(
            {n: _definition(n).measure(_subject_of(copy.deepcopy(module), images, labels)) for n in GRADIENTS}
        )
    assert scores[0] == pytest.approx(scores[1])


def _definition(name: str) -> Definition:
    definition: Definition = member(TRAINING_FREE, name, what="proxy", where="here")
    return definition


def _subject_of(module: nn.Module, images: torch.Tensor, labels: torch.Tensor | None = None) -> ProxyInput:
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    return ProxyInput(network_of(SPACES["mobile"]), lambda: module, images, labels, torch.Generator().manual_seed(0))


def test_the_documentation_lists_each_proxy_as_it_is_defined(repository: Path) -> None:
    lines = (repository / "docs" / "how-to" / "proxies.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:]] for line in lines if re.match(r"\| `\w+` \|", line)]
    assert [row[0].strip("`") for row in rows] == [*TRAINING_FREE, *ENSEMBLES]
    for name, (_, _, looked_at, mode, *_) in zip(TRAINING_FREE, rows, strict=False):
        definition = _definition(name)
        assert mode == (definition.mode if definition.batch else ""), name
        assert ("labels" in looked_at) == definition.labels, name
        assert (f"{definition.batch} images" in looked_at) == definition.data, name
