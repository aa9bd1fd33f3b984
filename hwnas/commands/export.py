"""Turning the picks of a run's fronts into files that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.commands.export_card import write_card
from hwnas.commands.export_companions import self_test, write_companions
from hwnas.commands.export_files import ExportTools, network_entries
from hwnas.commands.export_manifest import manifest_of
from hwnas.commands.export_raw import exported_data
from hwnas.commands.export_setups import in_precision
from hwnas.commands.settled import RANDOM, settled_network
from hwnas.export import formats_of
from hwnas.export.manifest import MANIFEST, files_entry, write_manifest
from hwnas.export.staging import staged
from hwnas.pareto import Objective
from hwnas.problem.exported import refuse_empty
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, check_front_exists, load_front
from hwnas.problem.precision.mixed_files import mixed_of, operators_entry
from hwnas.problem.precision.tier import quantization_entry
from hwnas.problem.studies import weights_producer
from hwnas.search.fronts import FrontPoint
from hwnas.search.precision.assignment import is_mixed
from hwnas.selection import choose, file_stem
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.folder import locked
from hwnas.workspace.measuring.setups import device_lock_wait
from hwnas.workspace.progress import Bar, Reporter, default_reporter
from hwnas.workspace.results.bundles import open_bundle
from hwnas.workspace.workspace import Workspace, check_picks, open_run

if TYPE_CHECKING:
    from hwnas.workspace.training.supernets import Trained


def export(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    fine_tune: int | None = None,
    picks: Sequence[str] | None = None,
    front: FrontSource | None = None,
    reporter: Reporter | None = None,
) -> list[Path]:
    """Export the picks of every tier of a run.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        fine_tune: number of epochs in place of `export.fine_tune_epochs`.
        picks: rules in place of `export.picks`.
        front: `search` or `halving`; if left out, that of successive halving only where nothing was searched.
        reporter: receives messages and progress; silent if left out.

    Returns:
        Paths of the manifests that were written.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: nothing was trained or searched yet.
        ExportError: a file could not be made, or disagrees with PyTorch.
        EmptyFront: no network of a tier is within its limits.

    Example:
        >>> from hwnas import pipeline
        >>> [path.name for path in pipeline.export("mini.yaml")]
        ['manifest.json']
    """
    from hwnas.workspace.training.supernets import check_trained, supernet_of

    def check(run: Workspace) -> None:
        check_trained(run)
        check_front_exists(run, front)
        check_picks(run, picks or (), where="--pick")

    run, reporter = open_run(reference, runs=runs, before=check), default_reporter(reporter)
    requested = {"fine_tune_epochs": fine_tune, "picks": tuple(dict.fromkeys(picks)) if picks else None}
    config = run.experiment.export.model_copy(
        update={key: value for key, value in requested.items() if value is not None}
    )
    run = replace(run, experiment=run.experiment.model_copy(update={"export": config}))
    with locked(run):
        trained = supernet_of(run, reporter)
        producer = weights_producer(run, trained)
        fronts = [load_front(run, name, front, producer=producer) for name in run.experiment.tiers]
        standing = [loaded for loaded in fronts if loaded.standing]
        for note in (f"{loaded.display_name}: {note}" for loaded in fronts for note in loaded.notes):
            reporter.info(note)
        manifests = export_run(run, trained, reporter, standing)
        refuse_empty(run, [loaded for loaded in fronts if not loaded.standing], manifests)
        return manifests


def export_run(
    run: Workspace, trained: Trained | None, reporter: Reporter, fronts: Sequence[LoadedFront]
) -> list[Path]:
    """Write, run, compare and time the files of every tier's picks. Without a supernet they have random weights."""
    from hwnas.workspace.training.supernets import untrained

    formats_of(run.experiment.export.formats)
    if trained is None:
        trained = untrained(run)
    with adding_elapsed(run.paths.elapsed, "export"):
        return [_export_tier(run, front, trained, reporter) for front in fronts]


def _export_tier(run: Workspace, front: LoadedFront, trained: Trained, reporter: Reporter) -> Path:
    name, folder = front.tier.name, front.folder
    chosen = picked_points(run.experiment.export.picks, front.points, front.tier.objectives)
    earlier = open_bundle(folder)
    for file, why in earlier.wrong.items():
        reporter.info(
            f"{front.display_name}: {file} of the earlier export was damaged: {why}; the bundle is written anew"
        )
    with staged(folder) as fresh:
        data = exported_data(run)
        tools = ExportTools(device_lock_wait(run.experiment.timing, reporter), data, self_test(run, data))
        models = _export_models(run, replace(front, folder=fresh), chosen, trained, tools, reporter)
        random = [model["key"] for model in models if model["weights"] == RANDOM]
        if random:
            reporter.info(f"{name}: {', '.join(random)} have {RANDOM}: they are to be trained before they are of use")
        write_companions(fresh, tools.selftest, models)
        manifest = manifest_of(run, front, trained, models)
        write_card(fresh, run, front, manifest)
        write_manifest(fresh / MANIFEST, {**manifest, "bundle": files_entry(fresh)})
    rules = run.experiment.export.picks
    if gone := [pick for pick in earlier.picks if pick not in rules]:
        halving = () if front.halving is None else ("--front halving",)
        options = " ".join((*halving, *(f"--pick {pick}" for pick in (*gone, *rules))))
        reporter.info(
            f"{front.display_name}: this bundle replaces the earlier one, whose {', '.join(gone)} it does not hold; "
            f"one with both: {run.command('export')} {options}"
        )
    return folder / MANIFEST


def _export_models(
    run: Workspace,
    front: LoadedFront,
    chosen: Sequence[tuple[FrontPoint, Mapping[str, str]]],
    trained: Trained,
    tools: ExportTools,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    models = []
    with reporter.bar(f"exporting {front.display_name}") as bar:
        for number, (point, names) in enumerate(chosen):
            bar.update(number, len(chosen), ", ".join(names))
            show = _teller(bar, number, len(chosen), ", ".join(names))
            models.append(_export_point(run, front, point, names, trained, show, tools))
        bar.update(len(chosen), len(chosen), "done")
    return models


def picked_points(
    rules: Sequence[str], front: Sequence[FrontPoint], objectives: Sequence[Objective]
) -> list[tuple[FrontPoint, dict[str, str]]]:
    """Return the points that rules pick from a front, in its order, each with the names its files may have, by rule."""
    standing = [point for point in front if point.kept is not False]
    rows, stems = [point.expected for point in standing], dict[int, dict[str, str]]()
    for rule in rules:
        for number, index in enumerate(choose(rows, objectives, rule), 1):
            stems.setdefault(index, {})[rule] = file_stem(rule, number)
    return [(standing[index], stems[index]) for index in sorted(stems)]


def _teller(bar: Bar, number: int, total: int, names: str) -> Callable[[int, int], None]:
    """Return a callback that shows the epochs of a pick that is fine-tuned on a bar."""
    return lambda epoch, epochs: bar.update(number + epoch / (epochs + 1), total, f"{names}: epoch {epoch} of {epochs}")


def _export_point(
    run: Workspace,
    front: LoadedFront,
    point: FrontPoint,
    names: Mapping[str, str],
    trained: Trained,
    show: Callable[[int, int], None],
    tools: ExportTools,
) -> dict[str, Any]:
    settled = settled_network(run, front, point, trained, show, quantized=not is_mixed(point.precision))
    settled = replace(settled, mixed=mixed_of(point, settled.network))
    stem = front.folder / next(iter(names.values()))
    of_tier = in_precision(run, front.tier.name, point)
    return {
        "picks": list(names),
        "key": point.architecture.key,
        "architecture": point.architecture.as_dict(),
        **point.precision_entry,
        **quantization_entry(run, front.tier.name, point, settled.calibration),
        **operators_entry(point, settled.network),
        "scores": {
            metric: {"value": value, "origin": point.origin.get(metric, "")} for metric, value in point.scores.items()
        },
        **point.estimates_entry,
        "measured": {metric: {"value": value, "origin": "measured"} for metric, value in point.measured.items()},
        **network_entries(of_tier, front.tier.name, point.architecture, settled, stem, tools),
    }
