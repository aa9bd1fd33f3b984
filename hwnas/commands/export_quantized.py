"""Training a pick on with the rounding of its int8 file, and the choice between it and the pick as it was."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hwnas.commands.export_setups import file_exporter, setup_for, tier_setup
from hwnas.errors import ExportError, TrainingError
from hwnas.export import format_name_of
from hwnas.network import Network
from hwnas.problem.fine_tune import FineTuneResult, measured
from hwnas.problem.precision.files import file_statistics
from hwnas.space import Architecture
from hwnas.tasks import Task, paired_difference
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.tasks.metrics.sums import Sums
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.config import SetupConfig
    from hwnas.data import Split
    from hwnas.supernet import Recipe

RATE = 0.1
"""Share of the recipe's peak rate: rounding is to be made up for, not the network learned anew."""
FP32_TEACHER = "the network in fp32"
TRAINED_FOLDER = "quantization_aware"


def int8_setups(run: Workspace, tier: str) -> dict[str, SetupConfig]:
    """Return the set-ups of a tier's int8 files that a runtime here runs, by format."""
    setups = {name: setup_for(run, tier, name) for name in run.experiment.export.formats}
    return {name: setup for name, setup in setups.items() if setup.runtime and setup.precision == "int8"}


def quantization_aware(
    run: Workspace,
    tier: str,
    architecture: Architecture,
    before: nn.Module,
    calibration: Tensor,
    on_epoch: Callable[[int, int], None],
) -> FineTuneResult | None:
    """Return a pick trained with the rounding of its int8 file, where its files are better for it; None without any.

    The file of each format is written and run on the validation samples, before and after: the pick is as it was unless
    one of them got better and none worse. Each epoch is kept in the run folder, as those of fine-tuning are.

    Args:
        run: the run, with the tier on the set-up in which the pick's files are written.
        tier: name of the tier.
        architecture: of the pick.
        before: its module.
        calibration: training inputs from which the ranges of activations are taken, fitted to the network.
        on_epoch: is called with the number of epochs done and that of all epochs.
    """
    if not (setups := int8_setups(run, tier)):
        return None
    network = run.network(architecture)
    judge = partial(_file_statistics, run, network, setups, calibration)
    task = run.dataset.train.fit(network.task)
    recipe = _recipe(run)
    entry: dict[str, Any] = {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate, "teacher": FP32_TEACHER}
    first = judge(before)
    scores = _Scores(task, run.dataset.validation)
    written = format_name_of(tier_setup(run, tier).runtime)
    own = written if written in setups else min(setups)
    try:
        after = _trained(
            run, architecture, before, calibration, own, recipe, lambda epoch, _: on_epoch(epoch, recipe.epochs)
        )
    except (TrainingError, ExportError) as error:
        return FineTuneResult(before, {**entry, **scores.alone(first), "shipped": "before", "failed": error.met}, False)
    last = judge(after)
    better = scores.better(first, last)
    entry |= {**scores.both(first, last), "shipped": "after" if better else "before"}
    return FineTuneResult(after if better else before, entry, better)


def _recipe(run: Workspace) -> Recipe:
    """Return the recipe of the run, at a gentle rate and in fp32."""
    from hwnas.workspace.training.supernets import recipe_of

    recipe = recipe_of(run)
    return replace(
        recipe,
        epochs=run.experiment.export.quantized_epochs,
        learning_rate=RATE * recipe.learning_rate,
        warm_up_epochs=0.0,
        precision="fp32",
        layer_decay=1.0,
        teacher=FP32_TEACHER,
        teacher_space=None,
    )


def _trained(
    run: Workspace,
    architecture: Architecture,
    before: nn.Module,
    calibration: Tensor,
    file_format: str,
    recipe: Recipe,
    on_epoch: Callable[[int, float], None],
) -> nn.Module:
    """Return the module with weights that were trained with rounded weights and activations."""
    from hwnas.export.simulation import simulated_int8
    from hwnas.export.simulation.unfold import unfolded
    from hwnas.supernet.batchnorm import calibration_inputs
    from hwnas.supernet.training.standalone import train_standalone, weights_digest
    from hwnas.supernet.training.teacher import AtItsResolution
    from hwnas.tasks.ends import call
    from hwnas.workspace.training.supernets import torch_device

    network, dataset, seed = run.network(architecture), run.dataset.without_test(), run.experiment.seed
    before = copy.deepcopy(before).cpu().eval()
    simulated = simulated_int8(before, calibration, file_format=file_format)
    simulated.evens_steps = True
    grids = hashlib.sha256(repr(sorted(simulated.grids.items())).encode()).hexdigest()[:8]
    name = f"{architecture.key}-{weights_digest(before)}-{grids}-{recipe.epochs}"
    trained = train_standalone(
        network,
        dataset,
        recipe,
        seed=seed,
        start=simulated,
        folder=run.folder / TRAINED_FOLDER / name,
        device=torch_device(run.experiment.device),
        teacher=AtItsResolution(copy.deepcopy(before), network),
        on_epoch=on_epoch,
    )
    inputs = calibration_inputs(dataset, count=recipe.calibration_batches, batch_size=recipe.batch_size, seed=seed)

    def run_all(module: nn.Module) -> None:
        for batch in inputs:
            call(module, network.task.fitted(batch, network.input_shape))

    return unfolded(before, trained.cpu().get_submodule("module"), run_all)


def _file_statistics(
    run: Workspace, network: Network, setups: Mapping[str, SetupConfig], calibration: Tensor, module: nn.Module
) -> dict[str, Sums]:
    """Write the int8 file of each format, run it on the validation samples, and return its statistics."""
    validation, task = run.dataset.validation, run.dataset.train.fit(network.task)
    exporters = {name: file_exporter(setup, name, calibration.numpy()) for name, setup in setups.items()}
    return {
        name: file_statistics(module, network, task, validation, exporters[name], setup)
        for name, setup in setups.items()
    }


@dataclass(frozen=True)
class _Scores:
    """Scores of files on validation samples, as the manifest has them."""

    task: Task
    split: Split

    def alone(self, first: Mapping[str, Sums]) -> dict[str, Any]:
        """Return the entry of files that there are no others of."""
        return {"files": {name: {self._judged: {"before": self._entry(sums)}} for name, sums in first.items()}}

    def both(self, first: Mapping[str, Sums], last: Mapping[str, Sums]) -> dict[str, Any]:
        """Return the entry of files before and after, with their difference."""
        return {"files": {name: self._compared(sums, last[name]) for name, sums in first.items()}}

    def better(self, first: Mapping[str, Sums], last: Mapping[str, Sums]) -> bool:
        """Return whether a file got better and none worse."""
        quality = self.task.quality
        sign = 1 if quality.goal == "max" else -1
        gains = [sign * (self._value(last[name]).value - self._value(sums).value) for name, sums in first.items()]
        return bool(min(gains) >= 0 and max(gains) > 0)  # a value that is not a number is no gain

    def _compared(self, first: Sums, last: Sums) -> dict[str, Any]:
        difference = paired_difference(self._value(last), self._value(first))
        entry = {"before": self._entry(first), "after": self._entry(last)}
        judged = {**entry, "difference": measured(difference, self.split, self.task.terms.samples)}
        return {self._judged: judged, **self._paired(first, last)}

    def _paired(self, first: Sums, last: Sums) -> dict[str, Any]:
        counts = PairedCounts.of_sums(first, last) if self.task.has_labels else None
        return {} if counts is None else {"paired": counts.entry}

    def _entry(self, sums: Sums) -> dict[str, Any]:
        return measured(self._value(sums), self.split, self.task.terms.samples)

    def _value(self, sums: Sums) -> Any:
        return self.task.values(sums)[self.task.quality.name]

    @property
    def _judged(self) -> str:
        return f"validation_{self.task.quality.name}"
