"""A network of a front with its weights, as it is written as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hwnas.commands.export_quantized import quantization_aware
from hwnas.commands.export_setups import in_precision
from hwnas.network import Network
from hwnas.opened.build import is_opened
from hwnas.problem.fine_tune import tune
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.search.fronts import FrontPoint
from hwnas.space import Architecture
from hwnas.tasks import Batch, Task
from hwnas.words import counted
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from hwnas.accuracy.inherited import InheritedAccuracy
    from hwnas.export.bundle import Array, LoadedFile
    from hwnas.export.mixed.kernels import Mixed
    from hwnas.ops import Shape
    from hwnas.workspace.training.supernets import Trained

RANDOM = "random weights, nothing was trained"
SLICED = "of the network that was opened, nothing was trained"
DISTILLED = "of the network that was opened, block by block distilled"


@dataclass(frozen=True, eq=False)
class Settled:
    """A network that is about to be written, and PyTorch's outputs for the test samples."""

    module: nn.Module
    """Module with outputs in the user's unit."""
    weights: str
    """Description of their origin."""
    network: Network
    task: Task
    """Task that knows the training targets."""
    calibration: Array
    """Training inputs, which int8 files take the ranges of their activations from."""
    test: Batch
    """Test samples, as arrays."""
    fed: Any
    """Inputs of the test samples as files take them."""
    input_shape: Shape
    """Shape of one of them."""
    outputs: Array
    tuned: dict[str, Any] | None = None
    """Entry on its fine-tuning in the manifest; None if there was none."""
    quantized: dict[str, Any] | None = None
    """Entry on its training with the rounding of int8; None if there was none."""
    mixed: Mixed | None = None
    """Operators that are int8, of a network with a precision for each; None of others."""
    layer: str | None = None
    """Last linear layer of the module, whose input files give as a second output; None if they do not."""

    @property
    def exported(self) -> nn.Module:
        """The module with names for its outputs where there are several."""
        from hwnas.ops.several import NamedOutputs

        names = [spec.name for spec in self.task.outputs]
        if self.layer is None:
            return self.module if len(names) == 1 else NamedOutputs(self.module, names)
        from hwnas.adapt.head import WithFeatures

        return NamedOutputs(WithFeatures(self.module, self.layer), [*names, "features"])

    def answering(self, loaded: LoadedFile) -> LoadedFile:
        """Return a file of the network as one that gives its outputs alone."""
        from hwnas.export.bundle import FirstOutput

        return loaded if self.layer is None else FirstOutput(loaded)


def weights_origin(trained: Trained) -> str:
    """Return a description of the weights that networks of a supernet have."""
    epochs = len(trained.history)
    if trained.published is not None:
        return f"inherited from published weights of the format `{trained.published}`"
    return f"inherited from a supernet of {counted(epochs, 'epoch')}" if epochs else RANDOM


def settled_network(
    run: Workspace,
    front: LoadedFront,
    point: FrontPoint,
    trained: Trained,
    show: Callable[[int, int], None],
    *,
    quantized: bool = False,
) -> Settled:
    """Return a point of a front with its weights, as it is written.

    Args:
        run: the run.
        front: of a tier.
        point: one of it.
        trained: the supernet that weights are inherited from.
        show: is called with the number of epochs done, of a pick that is trained on, and that of all epochs.
        quantized: whether `export.quantized_epochs` are trained.
    """
    import torch
    from torch.utils._pytree import tree_map

    from hwnas.accuracy.inherited import inherited
    from hwnas.export.bundle import outputs_of
    from hwnas.problem.accuracy import accuracy_context

    network, test = run.network(point.architecture), run.dataset.test
    scored = inherited(accuracy_context(run, trained))
    entry = None
    module, start, weights = _weighted(run, front, point.architecture, trained, scored)
    if run.experiment.export.fine_tune_epochs:
        tuned = tune(run, trained, point.architecture, network, module, start, show)
        module, entry = tuned.module, tuned.manifest_entry
        weights += ", trained on" if tuned.better else ""
    task = run.dataset.train.fit(network.task)
    fitted = partial(task.fitted, shape=network.input_shape)
    count = run.experiment.export.calibration_samples
    seen = tree_map(lambda *parts: torch.cat(parts)[:count], *scored.calibration)
    rounded = None
    if quantized and run.experiment.export.quantized_epochs and isinstance(seen, torch.Tensor):  # one input
        of_tier, ranges = in_precision(run, front.tier.name, point), fitted(seen)
        rounded = quantization_aware(of_tier, front.tier.name, point.architecture, module, ranges, show)
        if rounded is not None and rounded.better:
            module, weights = rounded.module, f"{weights}, trained on with the rounding of int8"
    module = task.finished(module)
    inputs, calibration = (tree_map(torch.Tensor.numpy, fitted(some)) for some in (test.every(), seen))
    batch = Batch(inputs, test.targets.numpy())
    outputs = outputs_of(module, inputs)
    return Settled(
        module, weights, network, task, calibration, batch, inputs, network.input_shape, outputs, entry,
        quantized=None if rounded is None else rounded.manifest_entry,
    )  # fmt: skip


def _weighted(
    run: Workspace, front: LoadedFront, architecture: Architecture, trained: Trained, scored: InheritedAccuracy
) -> tuple[nn.Module, nn.Module, str]:
    """Return a network with its weights, the module that fine-tuning begins with, and the origin of both."""
    from hwnas.accuracy.blockwise import blockwise
    from hwnas.problem.accuracy import accuracy_context
    from hwnas.supernet.weights_file import load_module

    network = run.network(architecture)
    if (kept := front.weights(run, architecture)) is not None:
        module = load_module(kept, network)
        return module, module, f"as they were scored on the last rung, {front.producer}"
    if run.experiment.accuracy.source == "blockwise":
        module = blockwise(accuracy_context(run, trained)).assembled(network)
        return module, module, DISTILLED
    untrained = not trained.history and is_opened(run.space)
    weights = SLICED if untrained else weights_origin(trained)
    return scored.settled(network), trained.supernet.extract(network), weights
