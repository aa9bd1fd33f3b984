"""Files of a bundle beside its model files, of what a run knows: the self-test, the program, requirements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.export.companions.program import PROGRAM, program
from hwnas.export.companions.requirements import requirements
from hwnas.io.atomic import write_file
from hwnas.io.checksum import sha256_of
from hwnas.measure.table_lines import input_form
from hwnas.network import Network
from hwnas.space import Architecture
from hwnas.tasks.ends import Shape, specs_of
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from hwnas.commands.settled import Settled
    from hwnas.data import Dataset
    from hwnas.export.companions.selftest import SelfTest


COMPARED = 16
"""Samples on which a plain module is compared with the network."""


def self_test(run: Workspace, data: Dataset) -> SelfTest | None:
    """Return the self-test of a run's bundles with samples of its data, without outputs; None if none is wanted."""
    from hwnas.export.companions.selftest import SelfTest

    count, test = run.experiment.export.selftest_samples, data.test
    if not count:
        return None
    taken = test.inputs.take(test.indices[:count])
    specs = run.task.inputs if isinstance(taken, tuple) else specs_of(data.shape)
    parts = taken if isinstance(taken, tuple) else (taken,)
    arrays = {spec.name: part.numpy() for spec, part in zip(specs, parts, strict=True)}
    return SelfTest(arrays, len(data.raw.steps))


def write_companions(folder: Path, selftest: SelfTest | None, models: Sequence[Mapping[str, Any]]) -> None:
    """Write what a bundle carries beside its model files.

    Args:
        folder: of the bundle.
        selftest: with the outputs of all files; None if none is wanted.
        models: entries of the manifest.

    Raises:
        RunError: a file cannot be written.
    """
    write_file(folder / PROGRAM, program())
    if selftest is not None:
        selftest.write(folder)
    runtimes = {file["format"]: file["runtime"] for model in models for file in model["files"]}
    for name, text in requirements(runtimes.items()).items():
        write_file(folder / name, text)


def features_layer(run: Workspace, module: nn.Module, shape: Shape) -> str | None:
    """Return the last linear layer of a module where a run's files give its input too; None where they do not.

    Raises:
        ConfigError: the module ends in another layer.
    """
    from hwnas.adapt.head import last_linear

    if not run.experiment.export.features:
        return None
    return last_linear(module, shape, where=f"experiment `{run.experiment.name}`: export.features")


def adapting_entries(settled: Settled, layer: str | None, dataset: Dataset, stem: Path) -> dict[str, Any]:
    """Return the manifest's entries on statistics and features of a network, and write the files that go with these."""
    from hwnas.adapt.head import WithFeatures
    from hwnas.adapt.statistics import statistics_of, write_board_program, write_old_head

    module = settled.module
    whole = module if layer is None else WithFeatures(module, layer)
    entries: dict[str, Any] = {"statistics": statistics_of(whole, settled.network, dataset.validation)}
    write_board_program(stem.parent)
    if layer is not None:
        head = stem.with_name(f"{stem.name}.head.npz")
        entries["features"] = write_old_head(module, layer, dataset.class_names, head)
    return entries


def module_entry(folder: Path, stem: str, architecture: Architecture, settled: Settled) -> dict[str, Any]:
    """Write a network as a plain PyTorch module with its weights and its architecture, and return what a manifest
    says of them. A network that cannot be written as source has its weights under hwnas's own names.

    Raises:
        RunError: a file cannot be written.
    """
    import torch
    from torch.utils._pytree import tree_map

    from hwnas.export.plain.layers import Uncovered
    from hwnas.export.plain.source import plain_network
    from hwnas.supernet.weights_file import write_weights

    names = {"weights": f"{stem}.safetensors", "architecture": f"{stem}.architecture.json", "source": f"{stem}.py"}
    inputs = tree_map(lambda array: torch.from_numpy(array[:COMPARED]), settled.fed)
    why = None
    try:
        plain = plain_network(
            settled.module,
            settled.input_shape,
            inputs,
            title=f"Network `{architecture.key}` of the space `{architecture.space}`, written by hwnas {__version__}.",
            weights=names["weights"],
        )
        state = plain.state
        write_file(folder / names["source"], plain.source)
    except Uncovered as error:
        state, why = settled.module.state_dict(), str(error)
        del names["source"]
    write_weights(state, folder / names["weights"], {"format": "pt", "key": architecture.key})
    described = described_network(architecture, settled.network, names)
    write_file(folder / names["architecture"], json.dumps(described, indent=1, default=str) + "\n")
    listed = {kind: {"file": name, "sha256": sha256_of(folder / name)} for kind, name in names.items()}
    return {"weights": None, "architecture": None, "source": None, **listed, **({"reason": why} if why else {})}


def described_network(architecture: Architecture, network: Network, files: Mapping[str, str]) -> dict[str, Any]:
    """Return a network's choices and its chain of operators, JSON-ready."""
    rows = zip(network.slots, network.operators, network.shapes, network.costs, strict=True)
    return {
        "hwnas": __version__,
        "space": architecture.space,
        "key": architecture.key,
        "architecture": architecture.as_dict(),
        "input_shape": input_form(network.input_shape),
        "files": {kind: name for kind, name in files.items() if kind != "architecture"},
        "operators": [
            {
                "slot": slot,
                "operator": operator.kind,
                "knobs": dict(operator.knobs),
                "input_shape": input_form(shape),
                "params": cost.params,
                "macs": cost.macs,
            }
            for slot, operator, shape, cost in rows
        ],
    }
