"""Numbers of samples: one or several each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import DataError
from hwnas.quantities import Quantity
from hwnas.tasks.metrics.estimate import Estimate, LazyEstimates, estimated
from hwnas.tasks.task import ANSWER_TOLERANCE, NO_OPTION, Agreement, Batch, Shape, Sums, Task, Terms, check_width

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@final
@dataclass(frozen=True)
class Regression(Task):
    """Inputs (N, ...) in float32; outputs and targets (N, outputs) in float32.

    Networks learn targets that are normalised by mean and standard deviation of the training targets. All that is
    reported and exported is in the user's unit.
    """

    unit: str = field(default="", repr=False)
    """Unit of the targets, such as `mm`."""
    scale: tuple[tuple[float, ...], ...] = field(default=(), repr=False, metadata=NO_OPTION)
    """Means and standard deviations of the training targets; empty before `fit`."""

    @property
    def metrics(self) -> tuple[Quantity, ...]:  # type: ignore[override]  # of an instance, which knows the unit
        return (
            Quantity("mae", "Mean absolute error", "min", self.unit),
            Quantity("rmse", "Root mean square error", "min", self.unit),
            Quantity("r2", "R²", "max", ""),
        )

    @property
    def terms(self) -> Terms:
        same = f"is within {ANSWER_TOLERANCE:g} deviations of PyTorch's answer"
        return Terms(*super().terms[:2], "outputs", same, agreement="Within tolerance")

    # --- learning ---

    def fit(self, targets: Tensor) -> Self:
        """Return the task with the scale of the training targets.

        Raises:
            DataError: a number is the same for all samples.
        """
        columns = targets.double()
        mean, deviation = columns.mean(0), columns.std(0, correction=0)
        for index, value in enumerate(deviation.tolist()):
            if not value > 1e-12 * max(1e-300, abs(float(mean[index]))):
                raise DataError(
                    f"target {index + 1} of {len(mean)} is {float(mean[index]):g} for all samples for training",
                    where="task: regression",
                    allowed="Targets differ from sample to sample",
                    do="Leave that target out, or check how it was written",
                )
        return replace(self, scale=(tuple(mean.tolist()), tuple(deviation.tolist())))

    def loss(self, outputs: Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean squared error, in variances of the training targets."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, self.from_unit(batch.targets))

    def to_unit(self, outputs: Tensor) -> Tensor:
        if not self.scale:
            return outputs
        mean, deviation = (outputs.new_tensor(values) for values in self.scale)
        return outputs * deviation + mean

    def from_unit(self, outputs: Tensor) -> Tensor:
        if not self.scale:
            return outputs
        mean, deviation = (outputs.new_tensor(values) for values in self.scale)
        return (outputs - mean) / deviation

    def finished(self, module: nn.Module) -> nn.Module:
        """Return a module with outputs in the user's unit; the last linear layer takes the scale up where it can."""
        import torch

        from hwnas.tasks.output_scale import scaled

        if not self.scale:
            return module
        (mean, deviation), inputs = self.scale, self.random_inputs(np.random.default_rng(0), 2)
        return scaled(module, mean, deviation, [torch.from_numpy(values) for values in inputs])

    @property
    def target_facts(self) -> Mapping[str, Any]:
        if not self.scale:
            return {}
        mean, deviation = ([float(f"{value:.9g}") for value in values] for values in self.scale)
        return {"mean": mean, "std": deviation}

    # --- judging ---

    def statistics(self, outputs: Tensor, batch: Batch) -> Sums:
        """Return outputs and targets in double precision, sample by sample."""
        pairs = {"outputs": outputs, "targets": batch.targets}
        rows = {name: values.detach().double().cpu().flatten(1).numpy() for name, values in pairs.items()}
        return Sums(len(outputs), {}, rows)

    def values(self, sums: Sums) -> Mapping[str, Estimate]:
        targets = sums.samples["targets"]
        errors = sums.samples["outputs"] - targets
        return LazyEstimates(
            {
                "mae": lambda: _mean_absolute(errors),
                "rmse": lambda: _root_mean_square(errors),
                "r2": lambda: _determination(errors, targets),
            }
        )

    def agreement(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
        """Return the largest difference, and the share of samples whose outputs are all close to the reference."""
        spread = np.asarray(self.scale[1]) if self.scale else reference.reshape(len(reference), -1).std(0)
        apart = np.abs(outputs - reference).reshape(len(reference), -1)
        relative = apart / np.maximum(spread, np.finfo(np.float32).tiny)
        most, worst = float(apart.max()), float(relative.max())
        share = float((relative <= ANSWER_TOLERANCE).all(1).mean())
        return Agreement(most, share, most / worst if worst > 0 else 1.0)

    # --- data ---

    def check_targets(self, training: Tensor, validation: Tensor, *, where: str) -> None:
        check_width(training, self.outputs[0].shape, where=where)

    def as_targets(self, targets: Tensor, shape: Shape, *, where: str) -> Tensor:
        import torch

        if targets.ndim not in (1, 2) or targets.dtype == torch.bool or targets.is_complex():
            raise DataError(
                f"targets are {targets.dtype} {tuple(targets.shape)}",
                where=where,
                allowed="Targets are numbers: one a sample, (samples,), or several, (samples, outputs)",
                do="Check how the targets were written, or name another task",
            )
        return targets.float().reshape(len(targets), -1)


def _mean_absolute(errors: NDArray[Any]) -> Estimate:
    absolute = np.abs(errors).mean(1)
    return estimated(absolute.mean(), absolute - absolute.mean())


def _root_mean_square(errors: NDArray[Any]) -> Estimate:
    squares = np.square(errors)
    means = squares.mean(0)
    roots = np.sqrt(means)
    return estimated(roots.mean(), ((squares - means) / np.maximum(2 * roots, 1e-300)).mean(1))


def _determination(errors: NDArray[Any], targets: NDArray[Any]) -> Estimate | None:
    squares, spread = np.square(errors), np.square(targets - targets.mean(0))
    means, variances = squares.mean(0), spread.mean(0)
    if not variances.all():
        return None
    influence = means * (spread - variances) / variances**2 - (squares - means) / variances
    return estimated((1 - means / variances).mean(), influence.mean(1))
