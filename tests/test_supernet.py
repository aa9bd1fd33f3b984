"""A sub-network of the supernet is the extracted network, whatever the operator and the space."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.errors import SpaceError
from hwnas.export.onnx import export_onnx
from hwnas.network import Network, lower, make_operator
from hwnas.runtimes import open_runtime
from hwnas.space import AnySpace, Choice, FunctionSpace, Value
from hwnas.space.function import Choose
from hwnas.supernet import Supernet, calibration_inputs, extract_recalibrated, quality, recalibrate
from hwnas.supernet.slicing.kernel_transform import center_crop
from tests.helpers.spaces import SMALL, mb, space_of
from tests.helpers.supernets import (
    ALIKE,
    SPACES,
    opened,
    seeded,
    some_images,
    some_networks,
)

each_space = pytest.mark.parametrize("name", [name for name in SPACES if name not in ALIKE])


@each_space
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_slice_is_a_network(name: str, training: bool) -> None:
    space, supernet = opened(name)
    for network in some_networks(space):
        images = some_images(network)
        module = supernet.extract(network).train(training)
        with torch.no_grad():
            assert_close(seeded(supernet.train(training), images, network), seeded(module, images))


@each_space
def test_gradients_of_a_slice_are_those_of_the_network_among_zeros(name: str) -> None:
    space, supernet = opened(name)
    network = some_networks(space)[-1]
    images, module = some_images(network), supernet.extract(network).train()
    supernet.train().zero_grad(set_to_none=True)
    for run in (lambda x: supernet(x, network), module) if list(module.parameters()) else ():
        seeded(lambda run=run: run(images).square().sum().backward())
    expected = {name: torch.zeros_like(value) for name, value in supernet.named_parameters()}
    for slot, operator in zip(network.slots, network.operators, strict=True):
        for parameter, value in module.get_submodule(slot).named_parameters():
            assert value.grad is not None
            key = f"{slot}/{operator.kind}/{parameter.replace('.', '/')}"
            center_crop(expected[key], tuple(value.shape)).copy_(value.grad)
    used = 0
    for parameter, value in supernet.named_parameters():
        found = torch.zeros_like(value) if value.grad is None else value.grad
        used += value.grad is not None
        assert_close(found, expected[parameter], rtol=1e-4, atol=1e-4)
    assert used == len(list(module.parameters()))
    supernet.zero_grad(set_to_none=True)


@each_space
def test_each_weight_of_each_network_is_initialised(name: str) -> None:
    """Also where no operator of the space holds the whole of a shared tensor."""
    space, _ = opened(name)
    supernet = Supernet(space)
    for network in some_networks(space):
        for parameter, value in supernet.extract(network).named_parameters():
            if value.ndim > 1:
                assert (value != 0).float().mean() > 0.99, parameter


def test_a_tensor_that_no_operator_holds_whole_is_initialised_wherever_it_is_used() -> None:
    space = space_of(mb(width=[8, 24], expand=2), mb("s2", width=[8, 16], kernel=[3, 5]))
    supernet = Supernet(space)
    for network in some_networks(space, 8):
        assert all((value != 0).all() for value in supernet.extract(network).parameters() if value.ndim > 1)


# --- slices ---


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=4), st.booleans())
def test_a_slice_is_leading_channels_and_the_centre_of_a_kernel(sizes: list[tuple[int, int]], square: bool) -> None:
    whole = tuple(max(pair) for pair in sizes)
    part = tuple(min(pair) for pair in sizes)
    largest = torch.arange(np.prod(whole)).reshape(whole)
    found = center_crop(largest, part)
    begins = [0 if axis < 2 else (w - p) // 2 for axis, (w, p) in enumerate(zip(whole, part, strict=True))]
    places = tuple(slice(begin, begin + p) for begin, p in zip(begins, part, strict=True))
    assert torch.equal(found, largest[places])
    assert found.untyped_storage().data_ptr() == largest.untyped_storage().data_ptr(), "no copy is made"
    assert center_crop(largest, whole) is largest


@given(st.integers(0, 2), st.integers(0, 3))
def test_kernels_are_nested_about_one_middle(inner: int, more: int) -> None:
    small, large = 2 * inner + 1, 2 * (inner + more) + 1
    kernel = torch.zeros(1, 1, large, large)
    kernel[0, 0, large // 2, large // 2] = 1
    found = center_crop(kernel, (1, 1, small, small))
    assert found[0, 0, small // 2, small // 2] == 1
    assert found.sum() == 1


# --- what is shared ---


def picked(space: AnySpace, ending: str, value: Value) -> Network:
    """The largest network but for the choices whose names end so: they get the value, or their first option."""

    def pick(choice: Choice) -> Value:
        if not choice.name.endswith(ending):
            return choice.options[-1]
        return value if value in choice.options else choice.options[0]

    return lower(space, space.sample(pick))


def weights_of(supernet: Supernet, network: Network) -> dict[str, Tensor]:
    """By the names of the supernet, what a network of its own holds."""
    module = supernet.extract(network)
    return {
        f"{operator.scope(slot)}/{name.replace('.', '/')}": value.detach()
        for slot, operator in zip(network.slots, network.operators, strict=True)
        for name, value in module.get_submodule(slot).named_parameters()
    }


def test_fewer_heads_are_the_leading_heads() -> None:
    space, supernet = opened("transformers")
    most, fewest = lower(space, space.largest()), picked(space, "heads", "fewest")
    slot = "s1_1"
    many, few = (network.operators[network.slots.index(slot)].knobs["heads"] for network in (most, fewest))
    assert many > few
    large, small = weights_of(supernet, most), weights_of(supernet, fewest)
    for part, axis in (("query", 0), ("key", 0), ("value", 0), ("project", 1)):
        name = f"{slot}/transformer/attention/{part}/weight"
        heads = torch.unflatten(large[name], axis, (many, -1)).narrow(axis, 0, few).flatten(axis, axis + 1)
        assert torch.equal(small[name], heads), name


def test_operators_share_by_their_names() -> None:
    """Blocks of one operator share a layer's weights, another operator has its own, and so has another layer."""
    space, supernet = opened("blocks")
    thin, wide, conv = (weights_of(supernet, picked(space, ".op", op)) for op in ("thin", "wide", "conv"))
    depth = "s1_1/mbconv/body/depth/conv/weight"
    assert torch.equal(thin[depth], center_crop(wide[depth], tuple(thin[depth].shape)))
    assert not {name for name in conv if "/mbconv/" in name}
    assert not torch.equal(wide[depth], wide[depth.replace("s1_1", "s1_2")])


def test_a_tied_choice_ties_the_decision_and_no_weights() -> None:
    space, supernet = opened("shared knob")
    kernels = "s1_1/mbconv/body/depth/conv/weight", "s2_1/mbconv/body/depth/conv/weight"
    for size in (3, 5, 7):
        held = weights_of(supernet, picked(space, "k", size))
        assert {held[name].shape[-1] for name in kernels} == {size}
        assert not torch.equal(*(held[name] for name in kernels))


# --- an ordinary module ---


def test_the_same_seed_gives_the_same_weights() -> None:
    space = SMALL["widths and strides"]
    one, same, other = Supernet(space, seed=5), Supernet(space, seed=5), Supernet(space, seed=6)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_state_goes_from_one_supernet_to_another(tmp_path: Path) -> None:
    space = SMALL["blocks"]
    one, other = Supernet(space, seed=1).eval(), Supernet(space, seed=2).eval()
    torch.save(one.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    for network in some_networks(space):
        assert torch.equal(one(some_images(network), network), other(some_images(network), network))


def test_a_copy_is_independent() -> None:
    space = SMALL["per layer"]
    supernet = Supernet(space).eval()
    network = some_networks(space)[1]
    before = supernet(some_images(network), network)
    twin = copy.deepcopy(supernet)
    with torch.no_grad():
        for value in twin.parameters():
            value.zero_()
    assert torch.equal(supernet(some_images(network), network), before)
    assert not torch.equal(twin(some_images(network), network), before)


def test_nothing_draws_from_the_global_generators(digits: Dataset) -> None:
    space, _ = opened("digits")
    network = lower(space, space.largest())
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    supernet = Supernet(space)
    supernet.train()(some_images(network), network)
    supernet.eval()(some_images(network), network)
    calibration = calibration_inputs(digits, count=2, batch_size=16, seed=0)
    quality(extract_recalibrated(supernet, network, calibration), network, digits.validation.first(16))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_networks_take_turns_without_a_trace() -> None:
    """Nothing is left behind by a run: no statistics, no weights, no mode."""
    space = SMALL["widths and strides"]
    networks = some_networks(space, 5)
    alone = [Supernet(space).train()(some_images(network), network) for network in networks]
    supernet = Supernet(space)
    fresh = {key: {name: value.clone() for name, value in template.module.named_buffers()}
             for key, template in _templates(supernet, networks)}  # fmt: skip
    for _ in range(2):
        supernet.eval()
        for network in networks:
            supernet(some_images(network), network)
        supernet.train()
        for network, expected in zip(networks, alone, strict=True):
            assert torch.equal(supernet(some_images(network), network), expected)
    for key, template in _templates(supernet, networks):
        assert not list(template.module.parameters())
        for name, value in template.module.named_buffers():
            assert torch.equal(value, fresh[key][name]), name


def _templates(supernet: Supernet, networks: list[Network]) -> Any:
    for network in networks:
        supernet(some_images(network), network)
    return list(supernet._templates.items())


def test_a_run_that_fails_leaves_no_trace() -> None:
    space = SMALL["per layer"]
    supernet = Supernet(space).eval()
    network = some_networks(space)[0]
    expected = supernet(some_images(network), network)
    with pytest.raises(RuntimeError):
        supernet(torch.randn(2, 5, 8, 8), network)
    assert torch.equal(supernet(some_images(network), network), expected)


def test_extracted_weights_are_copies() -> None:
    space = SMALL["per layer"]
    supernet = Supernet(space)
    network = some_networks(space)[1]
    module = supernet.extract(network)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        for value in module.parameters():
            value.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
    assert all(value.requires_grad for value in module.parameters())


FOREIGN = {
    "another slot": space_of(mb("s9")),
    "a larger width": space_of(mb(width=64)),
    "a larger kernel": space_of(mb(kernel=9)),
    "another operator": space_of({"name": "s1", "op": "conv", "width": 8}),
    "another form": space_of(mb(se=True)),
}


@pytest.mark.parametrize("space", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_network_is_refused(space: AnySpace) -> None:
    supernet = Supernet(SMALL["per layer"])
    network = lower(space, space.largest())
    for use in (lambda: supernet(some_images(network), network), lambda: supernet.extract(network)):
        with pytest.raises(SpaceError, match=r"the supernet holds no weights `s\d_1/"):
            use()


def test_parameters_of_one_name_have_one_number_of_axes() -> None:
    class Odd(nn.Module):
        def __init__(self, axes: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones((3,) * axes))

        def forward(self, x: Tensor) -> Tensor:
            return x

    sizes = {"in_channels": 3, "kernel": 101}  # costs are cached by operator: no other test has these, with this module
    conv = make_operator("conv", {**sizes, "out_channels": 8}, where="test")
    wide = make_operator("conv", {**sizes, "out_channels": 16}, where="test")

    def build(choose: Choose) -> Any:
        return (3, 8, 8), {"only": (conv, wide)[choose("which", [0, 1])]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(conv), "module", lambda self: Odd(self.out_channels // 8))
        with pytest.raises(SpaceError, match="`only/conv/weight` has different numbers of axes"):
            Supernet(FunctionSpace("odd", build))


# --- resolution, statistics, files ---


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data({"name": "digits", "limit": 128}, seed=0).without_test()


def test_images_come_at_the_resolution_of_the_network() -> None:
    space, supernet = opened("resolutions")
    for network in some_networks(space, 6):
        images = torch.randn(3, 1, 11, 11)
        smaller = functional.interpolate(
            images, size=network.input_shape[1:], mode="bilinear", antialias=True, align_corners=False
        )
        assert network.task.fitted(images, network.input_shape).shape[1:] == network.input_shape
        assert_close(supernet.eval()(images, network), supernet.extract(network).eval()(smaller))
        same = some_images(network)
        assert network.task.fitted(same, network.input_shape) is same


def test_calibration_images_are_the_same_every_time_and_unlike_each_other(digits: Dataset) -> None:
    one, same = (calibration_inputs(digits, count=3, batch_size=32, seed=1) for _ in range(2))
    assert [batch.shape[0] for batch in one] == [32, 32, 32]
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], calibration_inputs(digits, count=1, batch_size=32, seed=2)[0])
    assert len(calibration_inputs(digits, count=99, batch_size=1000, seed=1)) == 1, "no more than there are"


def test_statistics_are_the_means_over_the_batches(digits: Dataset) -> None:
    space, supernet = opened("digits")
    network = lower(space, space.largest())
    calibration = calibration_inputs(digits, count=3, batch_size=40, seed=0)
    module = extract_recalibrated(supernet, network, calibration)
    conv, norm = module.get_submodule("stem_1.conv"), module.get_submodule("stem_1.norm")
    seen = [conv(batch) for batch in calibration]
    assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    assert_close(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert norm.momentum == nn.BatchNorm2d(1).momentum
    assert not any(child.training for child in module.modules())
    again = recalibrate(module.train(), network, calibration).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in module.state_dict().items())


def test_a_settled_network_is_the_same_every_time_and_leaves_the_supernet_alone(digits: Dataset) -> None:
    space, supernet = opened("operator classifier 1")  # has dropout
    network = lower(space, space.largest())
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    batch = [some_images(network, 16)]
    one, same = (
        extract_recalibrated(supernet.train(), network, batch),
        extract_recalibrated(supernet.eval(), network, batch),
    )
    assert torch.equal(one(batch[0]), same(batch[0]))
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_accuracy_is_the_share_of_hits(digits: Dataset) -> None:
    space, _ = opened("digits")
    network, split = lower(space, space.smallest()), digits.validation.first(50)

    class Oracle(nn.Module):
        """Knows the first 20 answers."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.seen = 0

        def forward(self, images: Tensor) -> Tensor:
            labels = split.targets[self.seen : self.seen + len(images)].clone()
            labels[max(0, 20 - self.seen) :] += 1
            self.seen += len(images)
            return functional.one_hot(labels % 10, 10).float()

    for batch_size in (7, 50, 1000):
        assert quality(Oracle(), network, split, batch_size=batch_size) == 20 / 50


def test_the_file_of_a_settled_network_is_that_network(digits: Dataset, tmp_path: Path) -> None:
    space, supernet = opened("digits")
    runtime = open_runtime("onnxruntime", batch=8)
    for number, network in enumerate(some_networks(space, 3)):
        module = extract_recalibrated(supernet, network, calibration_inputs(digits, count=2, batch_size=64, seed=0))
        images = digits.validation.first(20).every()
        path = export_onnx(module, network.input_shape, tmp_path / f"{number}.onnx", batch=8)
        with torch.no_grad():
            expected = module(images).numpy()
        np.testing.assert_allclose(runtime.load(path).run(images.numpy()), expected, atol=1e-4)
