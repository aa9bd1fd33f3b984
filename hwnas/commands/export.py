"""Turning the picks of a run's fronts into files that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.commands.export_card import recall_entry, write_card
from hwnas.commands.export_companions import (
    adapting_entries,
    data_entry,
    features_layer,
    file_facts,
    module_entry,
    self_test,
    task_entry,
    write_companions,
)
from hwnas.commands.export_quantized import quantization_aware
from hwnas.commands.export_raw import divided_preprocessing, exported_data, takes_raw, with_raw_input
from hwnas.commands.export_setups import file_exporter, in_precision, setup_for, tier_setup
from hwnas.commands.settled import Settled
from hwnas.config import SetupConfig, published
from hwnas.export import format_named, formats_of
from hwnas.export.manifest import MANIFEST, QUALITY, files_entry, write_manifest
from hwnas.export.staging import CARD, staged
from hwnas.io.checksum import sha256_of
from hwnas.measure.device_lock import LockWait, exclusive_device
from hwnas.measure.table_lines import input_form
from hwnas.measure.timing import measure
from hwnas.network import costs
from hwnas.opened.build import is_opened
from hwnas.pareto import Objective
from hwnas.problem.exported import refuse_empty
from hwnas.problem.fine_tune import tune
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, check_front_exists, load_front
from hwnas.problem.precision.tier import quantization_entry
from hwnas.problem.studies import weights_producer
from hwnas.search.fronts import FrontPoint
from hwnas.selection import choose, file_stem
from hwnas.space import Architecture
from hwnas.tasks import Batch
from hwnas.words import counted
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.folder import locked, resolved_experiment
from hwnas.workspace.measuring.remote_bench import board_table
from hwnas.workspace.measuring.setups import (
    device_lock_wait,
    measurement_protocol,
    requested_setup,
    runtime_of,
)
from hwnas.workspace.progress import Bar, Reporter, default_reporter
from hwnas.workspace.results.bundles import open_bundle
from hwnas.workspace.results.halving_results import HALVING_FOLDER
from hwnas.workspace.workspace import Workspace, check_picks, open_run

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.export.bundle import Criterion, FileRecord
    from hwnas.export.companions.selftest import SelfTest
    from hwnas.runtimes import Runtime
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
        manifest = _manifest(run, front, trained, models)
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


def _manifest(
    run: Workspace, front: LoadedFront, trained: Trained, models: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    name = front.tier.name
    return {
        "hwnas": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tier": name,
        "front": "search" if front.halving is None else HALVING_FOLDER,
        "setup": setup_entry(run, name),
        "machine": machine(),
        "versions": versions(),
        "limits": list(map(str, front.tier.limits)),
        "conditions": None if front.conditions is None else front.conditions.as_dict(),
        "solved_for": list(front.solved_for),
        "supernet": {
            "weights": trained.weights,
            "epochs": len(trained.history),
            **({} if trained.published is None else {"published": trained.published}),
        },
        **({} if (quality := run.space.task.quality.name) == QUALITY else {"quality": quality}),
        f"test_{(samples := run.task.terms.samples)}": run.dataset.test_indices(samples),
        "task": task_entry(run.space.task),
        "data": data_entry(run),
        "model_card": CARD,
        "models": list(models),
        "experiment": published(resolved_experiment(run)).model_dump(mode="json"),
    }


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


DYNAMIC_FORMAT = "onnx"
"""Format whose files may take any batch."""
RANDOM = "random weights, nothing was trained"
SLICED = "of the network that was opened, nothing was trained"
DISTILLED = "of the network that was opened, block by block distilled"


def weights_origin(trained: Trained) -> str:
    """Return a description of the weights that networks of a supernet have."""
    epochs = len(trained.history)
    if trained.published is not None:
        return f"inherited from published weights of the format `{trained.published}`"
    return f"inherited from a supernet of {counted(epochs, 'epoch')}" if epochs else RANDOM


@dataclass(frozen=True)
class ExportTools:
    """Parts that all files of a bundle share."""

    queue: LockWait
    data: Dataset
    """Data as the files take it, before the steps in them."""
    selftest: SelfTest | None
    """None if no samples are to be in the bundle."""


def _export_point(
    run: Workspace,
    front: LoadedFront,
    point: FrontPoint,
    names: Mapping[str, str],
    trained: Trained,
    show: Callable[[int, int], None],
    tools: ExportTools,
) -> dict[str, Any]:
    settled = settled_network(run, front, point, trained, show, quantized=True)
    stem = front.folder / next(iter(names.values()))
    of_tier = in_precision(run, front.tier.name, point)
    return {
        "picks": list(names),
        "key": point.architecture.key,
        "architecture": point.architecture.as_dict(),
        **point.precision_entry,
        **quantization_entry(run, front.tier.name, point, settled.calibration),
        "scores": {
            metric: {"value": value, "origin": point.origin.get(metric, "")} for metric, value in point.scores.items()
        },
        **point.estimates_entry,
        "measured": {metric: {"value": value, "origin": "measured"} for metric, value in point.measured.items()},
        **network_entries(of_tier, front.tier.name, point.architecture, settled, stem, tools),
    }


def network_entries(
    run: Workspace, tier: str, architecture: Architecture, settled: Settled, stem: Path, tools: ExportTools
) -> dict[str, Any]:
    """Write the files of a network and what goes with them; return the manifest's entries on it."""
    from hwnas.export.bundle import metrics_of

    about = {
        "key": architecture.key,
        "preprocessing": divided_preprocessing(run, tools.data, settled.network.input_shape),
        **({"classes": list(classes)} if (classes := run.dataset.class_names) else {}),
    }
    facts = file_facts(about, task_entry(run.space.task))
    layer = features_layer(run, settled.module, settled.input_shape)
    adapting = adapting_entries(settled, layer, run.dataset, stem)
    if takes_raw(run):
        settled = with_raw_input(run, settled, tools.data)
        layer = features_layer(run, settled.module, settled.input_shape)
    settled = replace(settled, layer=layer)
    files = [
        _export_file(run, settled, tier, (stem, file_format), facts, tools)
        for file_format in run.experiment.export.formats
    ]
    total, task = costs(settled.network), settled.task
    tested = metrics_of(task, settled.outputs, settled.test)
    return {
        "input_shape": input_form(settled.input_shape),
        **{name: value for name, value in about.items() if name != "key"},
        **adapting,
        "weights": settled.weights,
        f"test_{task.quality.name}": {"value": tested[task.quality.name].value, "origin": "measured", "in": "PyTorch"},
        "test_metrics": {
            metric.name: {"value": tested[metric.name].value, "error": tested[metric.name].error, "unit": metric.unit}
            for metric in task.metrics
            if metric.name in tested
        },
        **recall_entry(run, settled),
        **({"targets": targets} if (targets := dict(task.target_facts)) else {}),
        **({"fine_tuned": settled.tuned} if settled.tuned else {}),
        **({"quantization_aware": settled.quantized} if settled.quantized else {}),
        "params": total.params,
        "macs": total.macs,
        **({"selftest": tools.selftest.entry} if tools.selftest is not None else {}),
        "module": module_entry(stem.parent, stem.name, architecture, settled),
        "files": [record.as_dict(task.quality.name) for record in files],
    }


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

    from hwnas.accuracy.blockwise import blockwise
    from hwnas.accuracy.inherited import inherited
    from hwnas.export.bundle import outputs_of
    from hwnas.problem.accuracy import accuracy_context
    from hwnas.supernet.weights_file import load_module

    network, test = run.network(point.architecture), run.dataset.test
    scored = inherited(accuracy_context(run, trained))
    entry = None
    if (kept := front.weights(run, point.architecture)) is not None:
        module = start = load_module(kept, network)
        weights = f"as they were scored on the last rung, {front.producer}"
    else:
        module, start, weights = scored.settled(network), trained.supernet.extract(network), weights_origin(trained)
        if not trained.history and is_opened(run.space):
            weights = SLICED
        if run.experiment.accuracy.source == "blockwise":
            module, weights = blockwise(accuracy_context(run, trained)).assembled(network), DISTILLED
            start = module
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


def _export_file(
    run: Workspace,
    settled: Settled,
    tier: str,
    target: tuple[Path, str],
    facts: Mapping[str, str],
    tools: ExportTools,
) -> FileRecord:
    """Write one file; run it on the test samples, compare and time it, if there is a runtime for it.

    Args:
        run: the workspace.
        settled: the network.
        tier: name of its tier.
        target: path without a suffix, and the format.
        facts: what the file says of itself.
        tools: what all files share.
    """
    from hwnas.export.bundle import FileRecord, write_model
    from hwnas.export.ends.metadata import write_metadata
    from hwnas.export.tensors import ends_of

    stem, format_name = target
    file_format, setup = format_named(format_name), setup_for(run, tier, format_name)
    path = stem.with_name(stem.name + file_format.suffix)
    dynamic = run.experiment.export.dynamic_batch and format_name == DYNAMIC_FORMAT
    runtime = runtime_of(setup) if setup.runtime else None
    write_model(
        settled.exported,
        settled.input_shape,
        path,
        file_exporter(setup, format_name, settled.calibration, dynamic=dynamic),
    )
    write_metadata(path, format_name, facts)
    seen = {} if runtime is None else _run_file(run, tier, settled, path, runtime, tools)
    if dynamic and runtime is not None:
        _check_other_batch(run, settled, path, setup)
    ends = ends_of(path, file_format, setup.batch, settled.input_shape)
    return FileRecord(
        name=path.name,
        format=format_name,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        batch=setup.batch,
        dynamic_batch=dynamic,
        precision=setup.precision,
        inputs=ends.inputs,
        outputs=ends.outputs,
        **seen,
    )


def _run_file(
    run: Workspace, tier: str, settled: Settled, path: Path, runtime: Runtime, tools: ExportTools
) -> dict[str, Any]:
    """Return the fields of a file's record that are seen by running it."""
    from torch.utils._pytree import tree_map

    from hwnas.export.bundle import compare

    setup, loaded = runtime.setup, runtime.load(path)
    parity = compare(
        settled.outputs,
        settled.answering(loaded),
        settled.test,
        fed=settled.fed,
        path=path,
        task=settled.task,
        criterion=_criterion(run, setup.precision),
    )
    if (selftest := tools.selftest) is not None:
        some = tree_map(lambda array: array[: selftest.samples], settled.fed)
        selftest.add(path.name, loaded.run(some), setup.precision)
    with exclusive_device(tools.queue):
        timed = measure({path.name: loaded.invoke}, measurement_protocol(run.experiment.timing, run.experiment.seed))[
            path.name
        ]
    desk = ", at the desk and not on the board" if tier_setup(run, tier).host else ""
    return {
        "runtime": f"{setup.runtime} {setup.runtime_version}, {counted(setup.threads, 'thread')}{desk}",
        "max_difference": parity.max_difference,
        "agreement": parity.agreement,
        "test_quality": parity.quality,
        "latency_ms": timed.low_ms,
        "latency_median_ms": timed.median_ms,
    }


def _criterion(run: Workspace, precision: str) -> Criterion:
    from hwnas.export.bundle import Criterion

    config = run.experiment.export
    return Criterion(config.tolerance) if precision == "fp32" else Criterion(agreement=config.agreement)


def _check_other_batch(run: Workspace, settled: Settled, path: Path, setup: SetupConfig) -> None:
    """Refuse a file that gives other outputs at another batch than that which it was written with.

    Raises:
        ExportError: it does, or does not run.
    """
    from torch.utils._pytree import tree_map

    from hwnas.export.bundle import compare

    batch = setup.batch + 1
    some = tree_map(lambda array: array[: 2 * batch], (settled.outputs, settled.test, settled.fed))
    loaded = runtime_of(setup.model_copy(update={"batch": batch})).load(path)
    criterion = _criterion(run, setup.precision)
    compare(some[0], settled.answering(loaded), some[1], path=path, criterion=criterion, task=settled.task, fed=some[2])


def setup_entry(run: Workspace, tier: str) -> dict[str, object]:
    """Return the tier's set-up: this machine's, a board's as far as its table holds it, or a file's column."""
    if run.objectives.is_published(tier):
        return published_setup(run, run.experiment.tiers[tier].setup)
    config, path = tier_setup(run, tier), run.paths.table(run.experiment.tiers[tier].setup)
    if not config.host:
        return runtime_of(config).setup.as_dict()
    return (board_table(path, requested_setup(config)).setup if path.exists() else requested_setup(config)).as_dict()


def published_setup(run: Workspace, setup: str) -> dict[str, object]:
    """Return the known fields of a set-up whose latencies are published."""
    wanted = run.published.latencies(setup).wanted
    return {
        "device": run.experiment.setups[setup].device or setup,
        "runtime": "published",
        "file": wanted.path.name,
        "column": wanted.column,
    }
