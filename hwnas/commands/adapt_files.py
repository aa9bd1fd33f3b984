"""Files of an adapted network: a bundle of a run's, or weights and an ONNX file of a user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.commands.adapt_sources import TrainedNetwork
from hwnas.commands.export_companions import self_test, write_companions
from hwnas.commands.export_files import ExportTools, network_entries
from hwnas.commands.export_manifest import made_by, tested_on
from hwnas.commands.settled import Settled
from hwnas.data import Dataset
from hwnas.export.manifest import MANIFEST, files_entry, write_manifest
from hwnas.export.staging import staged
from hwnas.io.atomic import write_file
from hwnas.network import Network
from hwnas.tasks import Batch
from hwnas.traced.operator import Traced
from hwnas.workspace.measuring.setups import device_lock_wait
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

ADAPTED_STEM = "adapted"
MOST_COMPARED = 256
"""Samples on which a user's file is compared with PyTorch."""
USER_FILE_TOLERANCE = 1e-4


def settled_for(module: nn.Module, network: Network, dataset: Dataset, weights: str) -> Settled:
    """Return an adapted network as one that is about to be written."""
    from hwnas.export.bundle import outputs_of

    task = network.task
    test = dataset.test
    inputs, calibration = (
        task.fitted(split.every(), network.input_shape).numpy() for split in (test, dataset.train.first(MOST_COMPARED))
    )
    outputs = outputs_of(module, inputs)
    batch = Batch(inputs, test.targets.numpy())
    return Settled(module, weights, network, task, calibration, batch, inputs, network.input_shape, outputs)


def with_data(run: Workspace, dataset: Dataset) -> Workspace:
    """Return a run as one of other data."""
    other = replace(run)
    vars(other)["dataset"] = dataset  # where the property keeps it
    return other


def write_bundle(
    folder: Path,
    trained: TrainedNetwork,
    module: nn.Module,
    network: Network,
    dataset: Dataset,
    report: Mapping[str, Any],
    reporter: Reporter,
) -> list[str]:
    """Write the files of a run's adapted network with a manifest; return their names."""
    assert trained.run is not None
    assert trained.architecture is not None
    run, tier = with_data(trained.run[0], dataset), trained.run[1]
    settled = settled_for(module, network, dataset, f"adapted to {report['data']}")
    tools = ExportTools(device_lock_wait(run.experiment.timing, reporter), dataset, self_test(run, dataset))
    with staged(folder) as fresh:
        entries = network_entries(run, tier, trained.architecture, settled, fresh / ADAPTED_STEM, tools)
        entries["params"] = sum(value.numel() for value in module.parameters())
        if isinstance(network.operators[-1], Traced):  # its costs are those of the head before
            del entries["macs"]
        models = [
            {
                "picks": [ADAPTED_STEM],
                "key": trained.architecture.key,
                "architecture": trained.architecture.as_dict(),
                "scores": {},
                **entries,
            }
        ]
        write_companions(fresh, tools.selftest, models)
        content = {
            **made_by(run, tier, "adapted"),
            "limits": [],
            "adapted": dict(report),
            **tested_on(run),
            "data": {"name": dataset.name, "licence": None},
            "models": models,
            "bundle": files_entry(fresh),
        }
        write_manifest(fresh / MANIFEST, content)
    return sorted(path.name for path in folder.iterdir())


def write_user_network(
    folder: Path, module: nn.Module, network: Network, dataset: Dataset, report: Mapping[str, Any]
) -> list[str]:
    """Write the weights of a user's adapted network, an ONNX file that was compared with it, and the report."""
    from hwnas.config import SetupConfig
    from hwnas.export.bundle import Criterion, compare, outputs_of, write_model
    from hwnas.export.onnx import export_onnx
    from hwnas.supernet.weights_file import save_weights
    from hwnas.workspace.measuring.setups import runtime_of

    with staged(folder) as fresh:
        save_weights(module, fresh / f"{ADAPTED_STEM}.safetensors")
        path = write_model(module, network.input_shape, fresh / f"{ADAPTED_STEM}.onnx", export_onnx)
        split = dataset.validation.first(MOST_COMPARED)
        inputs = network.task.fitted(split.every(), network.input_shape).numpy()
        loaded = runtime_of(SetupConfig(runtime="onnxruntime")).load(path)
        compare(
            outputs_of(module, inputs),
            loaded,
            Batch(inputs, split.targets.numpy()),
            path=path,
            criterion=Criterion(USER_FILE_TOLERANCE),
            task=network.task,
        )
        facts = {
            **report,
            **({"class_match": match} if (match := report.get("classes")) else {}),
            "classes": list(dataset.class_names),
            "preprocessing": dataset.preprocessing_at(network.input_shape),
        }
        write_file(fresh / f"{ADAPTED_STEM}.json", json.dumps(facts, indent=1) + "\n")
    return sorted(path.name for path in folder.iterdir())
