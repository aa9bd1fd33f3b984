"""Inherited accuracy: the same architecture gets the same score, and its producer tells what it was made by."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from hwnas.accuracy.inherited import InheritedAccuracy
from hwnas.data import Dataset, load_data
from hwnas.network import lower
from hwnas.space import parse_space
from hwnas.supernet import Supernet, calibration_inputs, quality, recalibrate
from tests.helpers.training import RAW

SPACE = parse_space(RAW, where="tiny.yaml")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data({"name": "digits", "limit": 200}, seed=0).without_test()


@pytest.fixture(scope="module")
def proxy(data: Dataset) -> InheritedAccuracy:
    calibration = calibration_inputs(data, count=2, batch_size=64, seed=0)
    split = data.validation.first(100)
    return InheritedAccuracy(Supernet(SPACE), lambda a: lower(SPACE, a), tuple(calibration), split, "ab12")


def test_it_is_the_accuracy_of_the_extracted_and_recalibrated_network(proxy: InheritedAccuracy) -> None:
    for architecture in (SPACE.smallest(), SPACE.largest()):
        network = lower(SPACE, architecture)
        module = recalibrate(proxy.supernet.extract(network), network, proxy.calibration)
        assert proxy(architecture) == quality(module, network, proxy.split)


def test_equal_architectures_get_equal_scores_in_any_order(proxy: InheritedAccuracy) -> None:
    rng = random.Random(0)
    architectures = [SPACE.random(rng) for _ in range(4)]
    first = [proxy(architecture) for architecture in architectures]
    torch.manual_seed(99)
    proxy.supernet.train()
    assert [proxy(architecture) for architecture in reversed(architectures)] == first[::-1]
    assert all(0 <= score <= 1 for score in first)


def test_scoring_changes_neither_the_supernet_nor_the_global_generator(proxy: InheritedAccuracy) -> None:
    before = {name: value.clone() for name, value in proxy.supernet.state_dict().items()}
    state = torch.get_rng_state()
    proxy(SPACE.largest())
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in proxy.supernet.state_dict().items())


def test_the_producer_tells_unlike_scores_apart(proxy: InheritedAccuracy, data: Dataset) -> None:
    other = tuple(calibration_inputs(data, count=2, batch_size=64, seed=1))
    unlike = [
        proxy,
        replace(proxy, weights="cd34"),
        replace(proxy, split=data.validation.first(50)),
        replace(proxy, calibration=proxy.calibration[:1]),
        replace(proxy, calibration=other),
    ]
    assert len({one.producer for one in unlike}) == len(unlike)
    assert replace(proxy, supernet=Supernet(SPACE)).producer == proxy.producer
    assert "weights=ab12" in proxy.producer
    assert "images=100" in proxy.producer


def test_it_never_sees_the_test_split(data: Dataset) -> None:
    assert data.held_back is None
