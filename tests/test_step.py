"""One step of training: parts of a batch, averages, what is regularised, and networks that fail."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from hwnas.data import Dataset
from hwnas.errors import ConfigError, RunError, TrainingError
from hwnas.network import lower
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.space import AnySpace, FunctionSpace
from hwnas.space.function import Choose
from hwnas.supernet import Recipe, Supernet, load_trained, train
from hwnas.supernet.strategies import SampledSubnet
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.ema import EMA
from hwnas.supernet.training.recipe import make_optimizer
from hwnas.supernet.training.schedules import SCHEDULES, learning_rate
from hwnas.supernet.training.skipped import ALWAYS, SkippedSubnets, read_failures
from hwnas.supernet.training.standalone import train_standalone
from hwnas.supernet.training.step import take_step
from hwnas.supernet.training.task import ActiveSubnet, TrainTask
from hwnas.tasks import Batch
from tests.helpers.spaces import SMALL, space_of
from tests.helpers.training import RECIPE, SPACE, assert_equal, small_data, weights


@pytest.fixture(scope="module")
def data() -> Dataset:
    return small_data()


def course_of(space: AnySpace, supernet: Supernet, recipe: Recipe, **more: Any) -> TrainTask:
    given = {"split": None, "optimizer": make_optimizer(supernet, recipe), "subnets": None}
    return TrainTask(module=supernet, recipe=recipe, **{**given, **more})


def pupils_of(space: AnySpace, supernet: Supernet, lessons: Sequence[SampledSubnet]) -> list[ActiveSubnet]:
    return [
        ActiveSubnet(partial(supernet, network=lower(space, lesson.architecture)), lesson.architecture, lesson.teacher)
        for lesson in lessons
    ]


# --- parts of a batch ---


@pytest.mark.parametrize(("size", "parts", "distil"), [(8, 2, True), (10, 4, True), (9, 3, False)])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(size: int, parts: int, distil: bool) -> None:
    """Of networks whose normalisation looks at one image at a time."""
    space = SMALL["transformers"]
    lessons = [SampledSubnet(space.largest()), SampledSubnet(space.smallest(), 0 if distil else None)]
    images, labels = torch.randn(size, 3, 8, 8, generator=torch.Generator().manual_seed(size)), torch.arange(size) % 4
    found = []
    for count in (1, parts):
        supernet = Supernet(space).train()
        course = course_of(space, supernet, Recipe(grad_accumulation_steps=count, max_grad_norm=1e9))
        loss = take_step(course, pupils_of(space, supernet, lessons), Batch(images, labels), 0, 1)
        found.append((loss, {name: value.grad for name, value in supernet.named_parameters()}))
    (loss, gradients), (other, others) = found
    assert other == pytest.approx(loss, rel=1e-5)
    for name, value in gradients.items():
        assert_close(others[name], value, rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_cut_so_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a batch of 32 samples is cut into 17 parts"):
        train(Supernet(SPACE), SPACE, data, replace(RECIPE, grad_accumulation_steps=17), tmp_path)
    network = lower(SPACE, SPACE.smallest())
    with pytest.raises(ConfigError, match="`batch_size` is 201, and 200 samples are for training"):
        train_standalone(network, data, replace(RECIPE, batch_size=201))


# --- rates ---


def test_schedules_are_what_they_are_called() -> None:
    at = {kind: [rate(done, Recipe()) for done in (0, 0.25, 0.5, 0.75, 1)] for kind, rate in SCHEDULES.items()}
    assert at["constant"] == [1, 1, 1, 1, 1]
    assert at["linear"] == [1, 0.75, 0.5, 0.25, 0]
    assert at["step"] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert at["cosine"] == pytest.approx([1, 0.8536, 0.5, 0.1464, 0], abs=1e-4)
    steps = Recipe(epochs=11, warm_up_epochs=1, schedule="step", step_at=(0.2,), step_factor=0.5, learning_rate=2.0)
    assert [learning_rate(steps, epoch) for epoch in (1, 2.9, 3.0, 11)] == [2, 2, 1, 1]


# --- averages ---


def test_an_average_follows_the_weights() -> None:
    module = nn.Linear(2, 1, bias=False)
    average = EMA(module, 0.9)
    seen = [module.weight.detach().clone()]
    for step in range(1, 200):
        with torch.no_grad():
            module.weight.fill_(float(step))
        average.update(module, step)
        keep = min(0.9, (1 + step) / (10 + step))
        seen.append(keep * seen[-1] + (1 - keep) * step)
    assert_close(average.module.weight.detach(), seen[-1])
    assert average.module is not module


EMA_RECIPE = replace(RECIPE, ema_decay=0.9, learning_rate=0.05)


def test_an_averaged_training_is_resumed_bit_for_bit_and_the_average_is_what_is_used(
    data: Dataset, tmp_path: Path
) -> None:
    recipe = replace(EMA_RECIPE, warmup_largest_epochs=1, sort_channels_at=(2,))
    whole, parts = Supernet(SPACE), Supernet(SPACE, seed=4)
    history = train(whole, SPACE, data, recipe, tmp_path / "whole")

    def stop(epoch: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(Supernet(SPACE), SPACE, data, recipe, tmp_path / "parts", on_epoch=stop)
    again = train(parts, SPACE, data, recipe, tmp_path / "parts")
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert [replace(e, seconds=0) for e in again] == [replace(e, seconds=0) for e in history]
    kept = weights(tmp_path / "whole")
    loaded = Supernet(SPACE)
    load_trained(loaded, tmp_path / "whole")
    for supernet in (whole, parts, loaded):
        assert_equal(supernet.state_dict(), kept["average"])
    assert any(not torch.equal(value, kept["average"][name]) for name, value in kept["weights"].items())


def test_the_average_is_sorted_with_the_weights(data: Dataset, tmp_path: Path) -> None:
    """With a rate of nothing, weights, average and order are what they were."""
    recipe = replace(RECIPE, learning_rate=1e-30, weight_decay=0.0, ema_decay=0.5, sort_channels_at=(2,), epochs=2)
    train(Supernet(SPACE), SPACE, data, recipe, tmp_path)
    kept = weights(tmp_path)
    assert_close(kept["average"], kept["weights"], rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(value, kept["weights"][name]) for name, value in Supernet(SPACE).state_dict().items())


def test_a_network_alone_is_averaged_as_well(data: Dataset) -> None:
    network = lower(SPACE, SPACE.smallest())
    one, other = (
        train_standalone(network, data, replace(EMA_RECIPE, epochs=1, ema_decay=decay)) for decay in (0.0, 0.9)
    )
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


# --- regularisation ---


def test_dropout_can_be_left_to_those_that_learn_from_labels() -> None:
    supernet = Supernet(SPACE).train()
    network, images = lower(SPACE, SPACE.smallest()), torch.randn(16, 1, 8, 8)
    drawn = [supernet(images, network) for _ in range(2)]
    assert not torch.equal(*drawn)
    assert torch.equal(*(supernet(images, network, dropout=False) for _ in range(2)))
    assert not torch.equal(*(supernet(images, network) for _ in range(2))), "it is back afterwards"


def test_weights_outside_the_largest_network_need_not_decay(data: Dataset, tmp_path: Path) -> None:
    blocks = {"a": {"op": "conv"}, "b": {"op": "mbconv", "expand": 2}}
    space = space_of({"name": "s1", "op": ["a", "b"], "width": 8, "kernel": 3}, blocks=blocks, input={"channels": 1,
                     "resolution": 8}, classes=10)  # fmt: skip
    outside = {name for name in Supernet(space).state_dict() if name.startswith("s1_1/conv/conv")}
    assert outside
    for regularize, moved in (("largest", False), ("all", True)):
        supernet = Supernet(space)
        before = copy.deepcopy(supernet.state_dict())
        recipe = replace(RECIPE, epochs=1, num_random_subnets=0, weight_decay=0.1, regularize=regularize)
        decaying = None if moved else supernet.names_of(lower(space, space.largest()))
        decayed = {id(p) for p in make_optimizer(supernet, recipe, decaying=decaying).param_groups[0]["params"]}
        names = {name for name, value in supernet.named_parameters() if id(value) in decayed}
        assert bool(names & outside) == moved
        assert before.keys() >= names
    train(Supernet(space), space, data, replace(RECIPE, epochs=1, regularize="largest"), tmp_path)


# --- divergence ---


def test_a_diverged_epoch_is_gone_through_again_at_half_the_rate(data: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    recipe = replace(RECIPE, learning_rate=1e20, max_grad_norm=1e30, on_divergence="halve_lr", warm_up_epochs=0)
    with pytest.raises(TrainingError, match="after the rate was halved 8 times"):
        train(Supernet(SPACE), SPACE, data, recipe, tmp_path, on_trouble=told.append)
    assert len(told) == 8
    assert "begins again at 0.5 times" in told[0]
    assert not checkpoint.checkpoints(tmp_path)


class Hot:
    """Training images that are NaN in the reads `bad`; it counts over all epochs, as a passing fault does."""

    def __init__(self, images: Any, bad: set[int]) -> None:
        self.images, self.bad, self.reads, self.shape = images, bad, 0, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> Tensor:
        self.reads += 1
        images: Tensor = self.images.take(indices).float()
        return images * float("nan") if self.reads in self.bad else images


def test_halved_rates_are_remembered_and_resumed_bit_for_bit(data: Dataset, tmp_path: Path) -> None:
    recipe, steps = replace(RECIPE, on_divergence="halve_lr"), 200 // RECIPE.batch_size
    first = RECIPE.calibration_batches + steps + 3

    def faulty(read: int = first) -> Dataset:
        return replace(data, train=replace(data.train, inputs=Hot(data.train.inputs, {read})))

    whole = Supernet(SPACE)
    history = train(whole, SPACE, faulty(), recipe, tmp_path / "whole")
    plain = [learning_rate(recipe, epoch + (steps - 1) / steps) for epoch in range(3)]
    assert [epoch.learning_rate for epoch in history] == pytest.approx([plain[0], plain[1] / 2, plain[2] / 2])

    def stop(epoch: Any) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Supernet(SPACE), SPACE, faulty(), recipe, tmp_path / "parts", on_epoch=stop)
    train(Supernet(SPACE), SPACE, faulty(-1), recipe, tmp_path / "parts")
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert weights(tmp_path / "whole")["halvings"] == 1


def test_what_to_do_about_divergence_may_be_changed_on_the_way(data: Dataset, tmp_path: Path) -> None:
    bad = replace(data, train=replace(data.train, inputs=Hot(data.train.inputs, {RECIPE.calibration_batches + 8})))
    with pytest.raises(TrainingError, match="diverged in epoch 2") as caught:
        train(Supernet(SPACE), SPACE, bad, RECIPE, tmp_path)
    assert "on_divergence: halve_lr" in caught.value.do
    assert len(train(Supernet(SPACE), SPACE, data, replace(RECIPE, on_divergence="halve_lr"), tmp_path)) == 3
    with pytest.raises(RunError, match=r"train.ema_decay: 0.0 then, 0.5 now"):
        train(Supernet(SPACE), SPACE, data, replace(RECIPE, ema_decay=0.5), tmp_path)


# --- networks that fail ---


def space_that_fails(bad: set[int]) -> FunctionSpace:
    def build(choose: Choose) -> Any:
        width = choose("width", list(range(4, 24)))
        choose("spare", [1, 2])
        stem = Failing(1, width, kernel=1) if width in bad else Conv(1, width, kernel=1)
        return (1, 8, 8), {"stem": stem, "head": Classifier(width, 10)}

    return FunctionSpace("fails", build)


class Failing(Conv):
    """A convolution whose module does not run in training."""

    def module(self) -> nn.Module:
        module = super().module()
        module.register_forward_pre_hook(_refuse)
        return module


def _refuse(module: nn.Module, given: Any) -> None:
    if module.training:
        raise ValueError("three channels are\n too few")


def test_a_network_that_fails_is_written_down_and_left_out(data: Dataset, tmp_path: Path) -> None:
    space = space_that_fails({7})
    told: list[str] = []
    recipe = replace(RECIPE, strategy="single_path", epochs=8)
    history = train(Supernet(space), space, data, recipe, tmp_path, on_trouble=told.append)
    assert len(history) == 8
    lines = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_text().splitlines()]
    assert {line["picks"]["width"] for line in lines} == {7}
    assert {line["reason"] for line in lines} == {"ValueError: three channels are too few"}
    assert len({line["key"] for line in lines}) == len(lines) == len(told)
    assert read_failures(tmp_path / "failed.jsonl").keys() == {line["key"] for line in lines}
    assert all(line["key"] in text for line, text in zip(lines, told, strict=True))


def test_many_networks_that_fail_stop_training(data: Dataset, tmp_path: Path) -> None:
    space = space_that_fails(set(range(4, 20)))
    with pytest.raises(TrainingError, match=r"of \d+ networks of this epoch could not be trained") as caught:
        train(Supernet(space), space, data, replace(RECIPE, batch_size=4, strategy="single_path"), tmp_path)
    assert caught.value.where == str(tmp_path / "failed.jsonl")


def test_a_network_that_others_learn_from_may_not_fail(data: Dataset, tmp_path: Path) -> None:
    space = space_that_fails({23})
    with pytest.raises(TrainingError, match=r"from which the others of its step learn, .*three channels"):
        train(Supernet(space), space, data, RECIPE, tmp_path)
    with pytest.raises(TrainingError, match="the network cannot be trained"):
        train_standalone(lower(space, space.largest()), data, RECIPE)


def test_few_failures_are_borne_in_an_epoch_of_any_length() -> None:
    failures, one = SkippedSubnets(), SPACE.largest()
    for _ in range(ALWAYS):
        failures.record(one, ValueError("x"))
    with pytest.raises(TrainingError):
        failures.record(one, ValueError("x"))
    failures.begin()
    failures.tried = 1000
    for _ in range(100):
        failures.record(one, ValueError("x"))
    with pytest.raises(TrainingError):
        failures.record(one, ValueError("x"))


def test_memory_that_runs_out_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = Supernet(SPACE)

    def full(images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    course = course_of(SPACE, supernet, RECIPE)
    with pytest.raises(TrainingError, match="memory ran out in architecture") as caught:
        take_step(course, [ActiveSubnet(full, SPACE.largest())], Batch(torch.randn(4, 1, 8, 8), torch.arange(4)), 0, 1)
    assert "train.grad_accumulation_steps" in caught.value.do
