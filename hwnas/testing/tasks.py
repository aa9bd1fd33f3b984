"""The contract of tasks, as tests for pytest: laws that every task obeys, whatever it learns."""

from __future__ import annotations

import pickle
from functools import reduce
from operator import add
from typing import ClassVar

import numpy as np
import pytest
import torch

from hwnas.tasks import Batch, Task, paired_difference

SAMPLES = 12


class TaskContract:
    """Subclass it in a test file and name the task and the shapes of a network's ends; each law is a separate test.

    >>> class TestRegression(TaskContract):
    ...     task = Regression()
    ...     shape, width = (7,), 2
    """

    task: ClassVar[Task]
    """The task without shapes."""
    shape: ClassVar[tuple[int, ...]]
    """Shape of the input of a network."""
    width: ClassVar[int]
    """Width of its last operator."""

    @pytest.fixture
    def bound(self) -> Task:
        """Return the task with shapes."""
        return self.task.at(self.shape, self.width)

    @pytest.fixture
    def batch(self, bound: Task) -> Batch:
        """Return random inputs and targets."""
        inputs = bound.random_inputs(np.random.default_rng(0), SAMPLES)
        targets = bound.random_targets(SAMPLES, torch.Generator().manual_seed(0))
        return Batch(torch.from_numpy(inputs[0]), targets)

    @pytest.fixture
    def outputs(self, bound: Task) -> torch.Tensor:
        """Return random outputs of a network."""
        return torch.randn(SAMPLES, *bound.outputs[0].shape, generator=torch.Generator().manual_seed(1))

    def test_shapes_are_the_networks(self, bound: Task) -> None:
        """A task without shapes knows no ends; one with shapes has the network's, and is otherwise the same."""
        assert not self.task.inputs
        assert not self.task.outputs
        assert bound.inputs[0].shape == self.shape
        assert type(bound) is type(self.task)
        assert bound == self.task.at(self.shape, self.width)
        assert hash(bound) == hash(pickle.loads(pickle.dumps(bound)))  # noqa: S301 - made here

    def test_random_inputs_fit_the_specs(self, bound: Task) -> None:
        """They are finite, of the shapes and dtypes that the task states, and repeatable."""
        once, again = (bound.random_inputs(np.random.default_rng(3), SAMPLES) for _ in range(2))
        assert len(once) == len(bound.inputs)
        for values, same, spec in zip(once, again, bound.inputs, strict=True):
            assert (values.shape, values.dtype.name) == ((SAMPLES, *spec.shape), spec.dtype)
            assert np.isfinite(values).all()
            assert np.array_equal(values, same)
            assert spec.below is None or (values.min() >= 0 and values.max() < spec.below)

    def test_the_loss_is_finite_and_reaches_every_output(
        self, bound: Task, batch: Batch, outputs: torch.Tensor
    ) -> None:
        """A scalar; each sample has a gradient, and no gradient flows into the targets."""
        outputs.requires_grad_()
        for task in (bound, bound.smoothed(0.1), bound.fit(batch.targets)):
            loss = task.loss(outputs, batch)
            (gradient,) = torch.autograd.grad(loss, outputs)
            assert loss.ndim == 0
            assert loss.isfinite()
            assert gradient.isfinite().all()
            assert (gradient.flatten(1) != 0).any(1).all()

    def test_a_network_learns_from_a_teacher(self, bound: Task, outputs: torch.Tensor) -> None:
        """A teacher that gives the same leaves no gradient, and steps towards another one help."""
        for temperature in (1.0, 3.0):
            same = outputs.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(bound.distill(same, outputs, temperature), same)
            assert gradient.abs().max() < 1e-5
            other = outputs.flip(0).clone().requires_grad_()
            before = bound.distill(other, outputs, temperature)
            (gradient,) = torch.autograd.grad(before, other)
            assert bound.distill(other - 0.01 * gradient, outputs, temperature) < before

    def test_statistics_of_parts_add_up_to_those_of_the_whole(
        self, bound: Task, batch: Batch, outputs: torch.Tensor
    ) -> None:
        """However the samples are cut, metrics and their errors are the same."""
        whole = bound.statistics(outputs, batch)
        assert whole.count == SAMPLES
        assert all(len(rows) == SAMPLES for rows in whole.samples.values())
        for size in (1, 5):
            cut = zip(*(torch.split(all_, size) for all_ in (outputs, batch.inputs, batch.targets)), strict=True)
            parts = reduce(add, [bound.statistics(out, Batch(inputs, targets)) for out, inputs, targets in cut])
            assert parts.count == whole.count
            for name, value in bound.values(whole).items():
                other = bound.values(parts)[name]
                assert other.value == pytest.approx(value.value, rel=1e-6)
                assert other.error == (None if value.error is None else pytest.approx(value.error, rel=1e-6))

    def test_outputs_go_to_the_users_unit_and_back(self, bound: Task, batch: Batch, outputs: torch.Tensor) -> None:
        """The one is the inverse of the other, and a finished module gives its outputs in that unit."""
        task = bound.fit(batch.targets)
        torch.testing.assert_close(task.from_unit(task.to_unit(outputs)), outputs, rtol=1e-4, atol=1e-5)
        module = _Given(outputs[:2])
        inputs = [torch.from_numpy(values) for values in task.random_inputs(np.random.default_rng(0), 2)]
        torch.testing.assert_close(task.finished(module)(*inputs), task.to_unit(module(*inputs)))

    def test_two_networks_are_compared_on_the_same_samples(
        self, bound: Task, batch: Batch, outputs: torch.Tensor
    ) -> None:
        """A network differs from itself by 0, and standard errors are those of the samples' influence."""
        values = bound.values(bound.statistics(outputs, batch))
        for estimate in values.values():
            if estimate.influence is not None:
                assert estimate.influence.shape == (SAMPLES,)
                assert estimate.influence.mean() == pytest.approx(0, abs=1e-6)
                assert estimate.error == pytest.approx(np.sqrt(np.square(estimate.influence).mean() / SAMPLES))
                assert paired_difference(estimate, estimate)[:2] == (0.0, 0.0)

    def test_every_metric_has_a_value(self, bound: Task, batch: Batch, outputs: torch.Tensor) -> None:
        """All metrics that are declared are computed, and no others; names are unique."""
        values = bound.values(bound.statistics(outputs, batch))
        assert list(values) == [metric.name for metric in bound.metrics]
        assert all(np.isfinite(one.value) for one in values.values())
        assert all(one.error is None or one.error >= 0 for one in values.values())

    def test_a_network_agrees_with_itself(self, bound: Task, outputs: torch.Tensor) -> None:
        """Perfectly, and not with one that gives something else, or what is not finite."""
        own = outputs.numpy()
        assert tuple(bound.agreement(own, own.copy())[:2]) == (0.0, 1.0)
        apart = bound.agreement(own, own[::-1].copy())
        assert apart.max_difference == pytest.approx(float(np.abs(own - own[::-1]).max()))
        assert 0 <= apart.share < 1
        broken = own.copy()
        broken.flat[0] = np.nan
        assert not np.isfinite(bound.agreement(own, broken).max_difference)

    def test_augmentations_keep_shapes(self, bound: Task, batch: Batch) -> None:
        """`none` is among them and changes nothing; equal generators change inputs equally."""
        assert "none" in bound.augmentations
        for kind in bound.augmentations:
            once, again = (bound.augment(batch.inputs, torch.Generator().manual_seed(5), kind) for _ in range(2))
            assert once.shape == batch.inputs.shape
            assert torch.equal(once, again)
        assert torch.equal(bound.augment(batch.inputs, torch.Generator(), "none"), batch.inputs)

    def test_inputs_of_a_networks_own_shape_are_left_as_they_are(self, bound: Task, batch: Batch) -> None:
        """Only inputs of another shape are resized."""
        assert torch.equal(bound.fitted(batch.inputs, self.shape), batch.inputs)

    def test_data_of_the_networks_shapes_fit(self, bound: Task) -> None:
        """A data set whose inputs and targets are as the networks' ends is not refused."""
        bound.check_data(self.shape, self.width, where="contract")


class _Given(torch.nn.Module):
    """Module that gives the same outputs for all inputs."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = torch.nn.Parameter(outputs, requires_grad=False)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.outputs
