"""Every task is learned by the same training: with shared weights and alone, resumed, from a teacher, exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.scorer import training_free_scorer
from hwnas.errors import NoScore
from hwnas.export.bundle import Criterion, compare, outputs_of
from hwnas.export.onnx import export_onnx
from hwnas.network import build, lower
from hwnas.runtimes import open_runtime
from hwnas.supernet import Recipe, Step, Supernet, calibration_inputs, extract_recalibrated, quality, train
from hwnas.supernet.strategies import STRATEGIES
from hwnas.supernet.training.standalone import train_standalone
from hwnas.tasks import TASKS, Batch
from tests.helpers.task_cases import CASES, TaskCase
from tests.helpers.training import assert_equal, weights

RECIPE = Recipe(epochs=2, batch_size=28, learning_rate=0.05, calibration_batches=2, warm_up_epochs=0.2)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> TaskCase:
    chosen: TaskCase = CASES[request.param]
    return chosen


class Stopped(Exception):
    pass


def stop(at: Step) -> None:
    if (at.epoch, at.step) == (2, 2):
        raise Stopped


def test_every_task_is_tried_here() -> None:
    assert set(CASES) == set(TASKS.own)


def test_gradients_of_the_loss_reach_every_parameter(case: TaskCase) -> None:
    supernet, network = Supernet(case.space), lower(case.space, case.space.largest())
    task, module = case.data.train.fit(network.task), supernet.extract(network).train()
    loss = task.loss(module(case.data.train.every()), Batch(case.data.train.every(), case.data.train.targets))
    loss.backward()
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().max() > 0, name


def test_losses_of_parts_add_up_to_that_of_the_batch(case: TaskCase) -> None:
    network = lower(case.space, case.space.largest())
    task, module = case.data.train.fit(network.task).smoothed(0.1), build(network).eval()
    inputs, targets = case.data.train.every(), case.data.train.targets
    with torch.no_grad():
        whole, outputs = task.loss(module(inputs), Batch(inputs, targets)), module(inputs)
        cut = [slice(0, 10), slice(10, len(inputs))]
        parts = [task.loss(outputs[part], Batch(inputs[part], targets[part])) * len(inputs[part]) for part in cut]
    assert_close(sum(parts) / len(inputs), whole)


def test_resumed_is_uninterrupted(case: TaskCase, tmp_path: Path) -> None:
    recipe = replace(RECIPE, ema_decay=0.9, grad_accumulation_steps=2, checkpoint_every=1, teacher="x")
    torch.manual_seed(3)
    teacher = build(lower(case.space, case.space.largest())).eval()
    for folder in ("whole", "parts"):
        supernet = Supernet(case.space)
        if folder == "parts":
            with pytest.raises(Stopped):
                train(supernet, case.space, case.data, recipe, tmp_path / folder, teacher=teacher, on_step=stop)
            supernet = Supernet(case.space, seed=9)
        train(supernet, case.space, case.data, recipe, tmp_path / folder, teacher=teacher)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES.own) - {"sandwich"}))
def test_every_strategy_learns_every_task(case: TaskCase, strategy: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=4 if strategy == "progressive" else 1, strategy=strategy)
    history = train(Supernet(case.space), case.space, case.data, recipe, tmp_path)
    assert np.isfinite([history[0].loss, history[0].smallest, history[0].largest]).all()


def test_training_helps_and_the_file_is_in_the_users_unit(case: TaskCase, tmp_path: Path) -> None:
    network, recipe = lower(case.space, case.space.largest()), replace(RECIPE, epochs=12)
    sign = 1 if network.task.quality.goal == "max" else -1
    module = train_standalone(network, case.data, recipe)
    learned = quality(module, network, case.data.validation)
    calibration = calibration_inputs(case.data, count=2, batch_size=28, seed=0)
    untrained = quality(extract_recalibrated(Supernet(case.space), network, calibration), network, case.data.validation)
    assert sign * learned > sign * untrained

    task = case.data.train.fit(network.task)
    finished = task.finished(module)
    path = export_onnx(finished, network.input_shape, tmp_path / "best.onnx")
    batch = Batch(case.data.test.every().numpy(), case.data.test.targets.numpy())
    loaded, criterion = open_runtime("onnxruntime").load(path), Criterion(1e-4, agreement=1.0)
    parity = compare(outputs_of(finished, batch.inputs), loaded, batch, path=path, criterion=criterion, task=task)
    assert parity.quality == pytest.approx(quality(module, network, case.data.test), rel=1e-4)


def test_proxies_score_every_task_or_tell_why_not(case: TaskCase) -> None:
    """The reason is one of the definition, or that the score is not finite, and no error of the computation."""
    largest, failed = case.space.largest(), {}
    for name in TRAINING_FREE.own:
        scorer = training_free_scorer(name, lambda one: lower(case.space, one), case.data, seed=0, batch=16)
        try:
            assert np.isfinite(scorer(largest)), name
        except NoScore as error:
            failed[name] = error.met
    told = ("the definition does not hold", "the score is nan")
    assert {name: met for name, met in failed.items() if not met.startswith(told)} == {}
