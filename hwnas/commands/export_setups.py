"""Set-ups in which the files of a tier are written and run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwnas.config import SetupConfig
from hwnas.export import format_named, runtime_for
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.runtimes import offered
from hwnas.search.fronts import FrontPoint
from hwnas.workspace.measuring.setups import exporter_for, has_signed_activations, mixed_exporter, with_activations
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.export.bundle import Array
    from hwnas.export.mixed.kernels import Mixed
    from hwnas.latency.building.model_files import Exporter


def in_precision(run: Workspace, tier: str, point: FrontPoint) -> Workspace:
    """Return the run with the tier on the set-up of a network's precision, in which its files are written and run."""
    if point.precision is None:
        return run
    config = run.experiment.tiers[tier].model_copy(
        update={"setup": setup_of_point(run, tier, point), "precision": None}
    )
    tiers = {**run.experiment.tiers, tier: config}
    return replace(run, experiment=run.experiment.model_copy(update={"tiers": tiers}))


def tier_setup(run: Workspace, tier: str) -> SetupConfig:
    """Return a tier's own set-up."""
    return run.experiment.setups[run.experiment.tiers[tier].setup]


def setup_for(run: Workspace, tier: str, format_name: str) -> SetupConfig:
    """Return the tier's own set-up for formats that its runtime runs; for the others the same threads and batch, on the
    processor, and the same precision or, where that is not offered, the first that is. Its runtime is empty where none
    runs them."""
    setup, written = tier_setup(run, tier), format_named(format_name).precisions
    runtime = runtime_for(format_name, setup.runtime)
    if setup.host:  # files are run at the desk first
        setup = setup.model_copy(update={"accelerator": "cpu", "device": None, "cores": None})
    if runtime == setup.runtime:
        return setup
    precisions = written if runtime is None else [one for one in offered(runtime) if one in written]
    precision = setup.precision if setup.precision in precisions else next(iter(precisions), "fp32")
    other = {"runtime": runtime or "", "accelerator": "cpu", "device": None, "precision": precision}
    return setup.model_copy(update=other)


def file_exporter(
    setup: SetupConfig, format_name: str, calibration: Array, *, dynamic: bool = False, mixed: Mixed | None = None
) -> Exporter:
    """Return a function that writes a network as a file for a set-up; with `dynamic`, for any batch, with `mixed`, with
    these operators in int8."""
    if mixed is not None and setup.precision == "int8":
        return mixed_exporter(setup, format_name, mixed, 0 if dynamic else setup.batch, calibration)
    return with_activations(
        exporter_for(
            format_named(format_name), 0 if dynamic else setup.batch, setup.precision, calibration=calibration
        ),
        "signed" if has_signed_activations(setup) else "",
    )
