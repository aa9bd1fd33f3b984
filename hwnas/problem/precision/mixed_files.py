"""Files of networks with a precision for each operator, and what manifests tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.export import format_name_of, format_of
from hwnas.export.mixed.kernels import Mixed
from hwnas.latency.building.model_files import repeat_weights
from hwnas.network import Network, build
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.search.fronts import FrontPoint
from hwnas.search.precision.assignment import int8_of, is_mixed
from hwnas.workspace.measuring.setups import mixed_exporter
from hwnas.workspace.workspace import Workspace

FOLDER = "mixed"


def mixed_of(point: FrontPoint, network: Network) -> Mixed | None:
    """Return the operators of a network that are int8, of a point with a precision for each; None of others."""
    if not is_mixed(point.precision):
        return None
    int8 = int8_of(str(point.precision))
    return Mixed(network.slots, tuple(slot for slot, one in zip(network.slots, int8, strict=True) if one))


def operators_entry(point: FrontPoint, network: Network) -> dict[str, Any]:
    """Return what a manifest tells of the precision of each operator; nothing of networks in one precision."""
    if (mixed := mixed_of(point, network)) is None:
        return {}
    return {
        "operators": [
            {"name": slot, "operator": operator.kind, "precision": "int8" if slot in mixed.int8 else "fp32"}
            for slot, operator in zip(network.slots, network.operators, strict=True)
        ]
    }


def mixed_file(run: Workspace, tier: str, point: FrontPoint) -> Path:
    """Return the file of a network with random weights, which is made once.

    Raises:
        ConfigError, ExportError: a precision of an operator is not that of its kernels in the file.
    """
    config = run.experiment.setups[setup_of_point(run, tier, point)]
    network, file_format = run.network(point.architecture), format_of(config.runtime)
    folder = run.folder / "artifacts" / config.runtime / FOLDER
    path = folder / f"{point.candidate.key}-{config.batch}-{config.activations}{file_format.suffix}"
    if path.is_file():
        return path
    mixed = mixed_of(point, network)
    assert mixed is not None
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = repeat_weights(build(network).eval())
    export = mixed_exporter(config, format_name_of(config.runtime), mixed, config.batch)
    return export(module, network.input_shape, path)
