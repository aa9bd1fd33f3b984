"""A network's int8 file, written and run on validation samples."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.network import Network
from hwnas.tasks import Batch, Task
from hwnas.tasks.metrics.sums import Sums

if TYPE_CHECKING:
    from torch import nn

    from hwnas.config import SetupConfig
    from hwnas.data import Split
    from hwnas.latency.building.model_files import Exporter


def file_statistics(
    module: nn.Module, network: Network, task: Task, split: Split, exporter: Exporter, setup: SetupConfig
) -> Sums:
    """Write a network as a file, run it on samples, and return its statistics.

    Args:
        module: with what the exporter does not add of its own.
        network: of the module.
        task: fitted to the training samples.
        split: the samples.
        exporter: writes the file.
        setup: whose runtime runs it.
    """
    import torch
    from torch.utils._pytree import tree_map

    from hwnas.export import format_of
    from hwnas.export.bundle import write_model
    from hwnas.workspace.measuring.setups import runtime_of

    inputs = task.fitted(split.every(), network.input_shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{format_of(setup.runtime).suffix}"
        write_model(task.finished(module), network.input_shape, path, exporter)
        outputs = runtime_of(setup).load(path).run(inputs.numpy())
    return task.statistics(tree_map(torch.from_numpy, outputs), Batch(split.every(), split.targets))
