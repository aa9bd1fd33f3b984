"""The facts of each tier of a report: its set-up, points, front, files and notes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from hwnas.commands.cost import operator_entries
from hwnas.commands.export_manifest import published_setup
from hwnas.commands.search import TierSearch, explain_empty_front
from hwnas.commands.show_fronts import accuracy_facts, latency_origin_of, passed_facts, point_facts
from hwnas.errors import HwnasError, reason
from hwnas.latency.model import LatencyModel, throttled
from hwnas.measure.table import LatencyTable, check_key, read_table
from hwnas.network import Network, costs
from hwnas.pareto import reference_point
from hwnas.predictors.importances import Importances, importances
from hwnas.problem.cost_models import CostModels
from hwnas.problem.exported import exported_under
from hwnas.problem.fronts.loading import LoadedFront, load_front
from hwnas.problem.fronts.origins import setup_of_point
from hwnas.problem.live import live_path
from hwnas.problem.precision.tier import search_space
from hwnas.report import facts
from hwnas.report.networks.facts import OperatorFacts
from hwnas.runtimes.setup import Setup
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, hypervolume_history
from hwnas.search.precision import candidate_label, split_candidate
from hwnas.space import Architecture
from hwnas.words import counted
from hwnas.workspace.results.bundles import Bundle, open_bundle
from hwnas.workspace.results.halving_results import HalvingResult, halving_path
from hwnas.workspace.workspace import Workspace

MANY_ARCHITECTURES, REPORT_CHUNK = 1000, 20_000
"""Number of networks from which on they are counted together, and number that is counted at a time."""
SETUP_WORDS = ("runtime", "threads", "precision", "batch", "accelerator")


def tier_facts(
    run: Workspace, cost_models: dict[str, CostModels], searched: Sequence[TierSearch]
) -> Iterator[facts.TierFacts]:
    """Yield each tier as it was searched, followed by the front of successive halving for it, if there is one."""
    by_name = {one.tier.name: one for one in searched}
    for name in run.experiment.tiers:
        front, left_out = _halving(run, name)
        if name in by_name:
            yield _searched(run, by_name[name], cost_models, left_out)
        if front is not None and front.halving is not None:
            evaluations = front.evaluations if front.solved_for else front.halving.top_rung.evaluations
            notes = front.notes if front.solved_for else tuple(_rungs(front.halving))
            yield _tier(run, front, evaluations, cost_models, notes=notes)


def _halving(run: Workspace, name: str) -> tuple[LoadedFront | None, tuple[str, ...]]:
    """Return the front of successive halving; where it cannot be read any more, None and the reason."""
    if not halving_path(run, name).exists():
        return None, ()
    try:
        return load_front(run, name, "halving"), ()
    except HwnasError as error:
        return None, (f"The front of successive halving is left out: {error.met}. {error.do}.",)


def _rungs(result: HalvingResult) -> Iterator[str]:
    for rung, after in zip_longest(result.rungs, result.rungs[1:]):
        went_on = "" if after is None else f", {len(rung.promoted)} went on"
        failed = f", {rung.failed} could not be scored" if rung.failed else ""
        yield f"{rung.metric}: {counted(len(rung.evaluations), 'network')}{failed}{went_on}."


def _searched(
    run: Workspace, searched: TierSearch, cost_models: dict[str, CostModels], left_out: tuple[str, ...]
) -> facts.TierFacts:
    tier = searched.tier
    competing = [e.scores for e in searched.evaluations if e.competes(tier)]
    reference = reference_point(competing, tier.objectives) if competing else None
    volume = () if reference is None else tuple(hypervolume_history(searched.evaluations, tier, reference))
    front = searched.loaded or load_front(run, tier.name, "search")
    notes = (*(front.notes or _notes(searched)), *left_out)
    volume = () if front.solved_for else volume  # of trials, which these networks are not
    return _tier(run, front, searched.evaluations, cost_models, notes=notes, hypervolume=volume)


def _tier(
    run: Workspace,
    front: LoadedFront,
    evaluations: Sequence[Evaluation],
    cost_models: dict[str, CostModels],
    *,
    notes: tuple[str, ...],
    hypervolume: tuple[float, ...] = (),
) -> facts.TierFacts:
    accuracy, latency = front.tier.quality.metric, run.objectives.latency(front.tier.name)
    name = front.tier.name
    setup, (bundle, untrue) = run.experiment.tiers[name].setup, _exported(run, front)
    tables = _front_tables(run, name)
    tested = bundle.test_accuracies
    live, table = run.objectives.is_live(name), tables.get(setup)
    cost_model, published = cost_models.get(setup) if not live else None, run.objectives.is_published(name)
    setup_facts = _setup_facts(cost_model.model.setup) if cost_model else _live_setup(run, setup, table)
    meaning = "" if published else f"one call, batch {setup_facts['batch']}"
    models = {} if live else {one: cost_models[one].model for one in tables if one in cost_models}
    return facts.TierFacts(
        name=name,
        setup=setup_facts,
        accuracy=accuracy_facts(accuracy, front.source, front.tier.objectives[0].goal, run.task),
        latency=facts.ObjectiveFacts(latency, "min", latency_origin_of(run, name), meaning),
        limits=front.tier.limits,
        points=tuple(_points(run, [e for e in evaluations if e.failed is None])),
        front=tuple(_front_point(run, front, point, models, tables, tested) for point in front.points),
        hypervolume=hypervolume,
        files=_files(bundle, latency, {point.name for point in front.points}),
        notes=(*notes, *untrue, *(_throttled(cost_model) if cost_model else ())),
        front_source=front.by,
        passed=passed_facts(front, run.task),
        objectives=tuple(objective.metric for objective in front.tier.objectives),
        task=run.task,
        importances=dict(_importances(run, name, evaluations, (accuracy, latency))),
    )


def _front_tables(run: Workspace, tier: str) -> dict[str, LatencyTable | None]:
    """Return the tables of a tier's networks that were timed again, by set-up; None where there is none."""
    paths = {
        setup: live_path(run, setup) if run.objectives.is_live(tier) else run.paths.front_table(setup)
        for setup in run.experiment.setups_of(tier).values()
    }
    return {setup: read_table(path) if path.is_file() else None for setup, path in paths.items()}


def _importances(
    run: Workspace, tier: str, evaluations: Sequence[Evaluation], metrics: Sequence[str]
) -> Iterator[tuple[str, Importances]]:
    """Yield the importances of the space's choices for each metric for which they can be computed."""
    for metric in metrics:
        scored = [evaluation for evaluation in evaluations if metric in evaluation.scores]
        values = [evaluation.scores[metric] for evaluation in scored]
        choices = search_space(run, tier).choices
        made = importances(choices, [e.architecture for e in scored], values, seed=run.experiment.seed)
        if made is not None:
            yield metric, made


def _points(run: Workspace, evaluations: Sequence[Evaluation]) -> Iterator[facts.Point]:
    for evaluation, (params, macs) in zip(evaluations, _counted(run, evaluations), strict=True):
        name, picks = candidate_label(evaluation.architecture), summary(evaluation.architecture)
        yield facts.Point(name, evaluation.scores, evaluation.broken, picks, params, macs)


def _counted(run: Workspace, evaluations: Sequence[Evaluation]) -> Iterator[tuple[int, int]]:
    """Yield parameters and MACs of each network; for many networks, by looking up the costs of their operators."""
    architectures = [split_candidate(evaluation.architecture)[0] for evaluation in evaluations]
    if len(architectures) >= MANY_ARCHITECTURES:
        from hwnas.population import population_sums

        for start in range(0, len(architectures), REPORT_CHUNK):
            codes = run.codebook.encode(architectures[start : start + REPORT_CHUNK])
            yield from map(tuple, population_sums(run.codebook, codes).tolist())
        return
    for architecture in architectures:
        total = costs(run.network(architecture))
        yield total.params, total.macs


def summary(architecture: Architecture) -> str:
    """Return the picks on one line."""
    return ", ".join(f"{name} {value}" for name, value in architecture.picks)


def _front_point(
    run: Workspace,
    front: LoadedFront,
    point: FrontPoint,
    models: Mapping[str, LatencyModel],
    tables: Mapping[str, LatencyTable | None],
    tested: dict[str, float],
) -> facts.FrontPointFacts:
    accuracy, latency = front.tier.quality.metric, run.objectives.latency(front.tier.name)
    network, setup = run.network(point.architecture), setup_of_point(run, front.tier.name, point)
    model, table = models.get(setup), tables[setup]
    estimate = model.predict(network) if model else None
    again = table.checks.get(check_key(network)) if table is not None else None
    times = () if model is None else operator_entries(network, model.operator_times(network))
    return replace(
        point_facts(point, accuracy, latency, tested),
        low_ms=estimate.low_ms if estimate else None,
        high_ms=estimate.high_ms if estimate else None,
        measured_spread=again.spread if again is not None else None,
        description=_operator_lines(network),
        operators=tuple(map(OperatorFacts.of, times)),
        activation_bytes=costs(network).activation_bytes,
        measured=point.measured,
    )


def _operator_lines(network: Network) -> tuple[str, ...]:
    """Return one line for each operator: slot, kind, channels, then the other knobs."""
    lines = []
    for slot, operator in zip(network.slots, network.operators, strict=True):
        rest = [f"{k} {v}" for k, v in operator.knobs.items() if k not in ("in_channels", "out_channels") and v]
        lines.append(
            f"{slot}: {operator.kind} {operator.in_channels} to {operator.out_channels}, {', '.join(rest)}".rstrip(", ")
        )
    return tuple(lines)


def _files(bundle: Bundle, latency: str, front: Collection[str]) -> tuple[facts.FileFacts, ...]:
    """Return the sound files of networks that are still on the front."""
    return tuple(
        facts.FileFacts(
            " / ".join(model.picks),
            file.format,
            file.name,
            file.bytes,
            file.sha256,
            file.max_difference,
            file.agreement,
            file.test_quality,
            model.scores.get(latency) if bundle.is_own(file) else None,
            file.latency_ms,
        )
        for model in bundle.models
        for file in model.files
        if model.name in front and file.name not in bundle.wrong
    )


def _exported(run: Workspace, front: LoadedFront) -> tuple[Bundle, tuple[str, ...]]:
    """Return the bundle of a front, and what is damaged there; empty where its numbers are of other conditions."""
    bundle = open_bundle(front.folder)
    damaged = tuple(
        f"{name} of the bundle is damaged and left out here: {why}. `hwnas export` writes the bundle anew."
        for name, why in bundle.wrong.items()
    )
    if bundle.manifest is None:
        return bundle, damaged
    try:
        changed = exported_under(run, front, bundle.manifest.content)
    except (ValueError, TypeError, AttributeError) as error:
        changed = [f"what it tells of them cannot be read ({reason(error)})"]
    if not changed:
        return bundle, damaged
    since = "; ".join(changed)
    return Bundle(), (
        f"The files in {front.folder} are left out, for they were exported under other conditions: {since}.",
    )


def _notes(searched: TierSearch) -> tuple[str, ...]:
    why = f"; the search ended because {searched.finished.stopped}" if searched.finished.stopped else ""
    notes = [f"Tried: {counted(searched.finished.trials, 'network')}{why}."]
    if not searched.front:
        notes.append(f"The front is empty: {explain_empty_front(searched)}.")
    elif searched.finished.failed:
        notes.append(f"{searched.finished.failed} could not be scored; scores.jsonl holds the reasons.")
    return tuple(notes)


def _throttled(cost_model: CostModels) -> tuple[str, ...]:
    slowed = throttled(cost_model.table)
    return (f"The latencies rest on {counted(len(cost_model.table.rows), 'row')}{slowed}.",) if slowed else ()


def _live_setup(run: Workspace, setup: str, table: LatencyTable | None) -> dict[str, str | int | float]:
    """Return the published set-up, or the one that the device reported; if nothing was timed yet, the experiment's."""
    if run.experiment.setups[setup].latencies is not None:
        return {name: str(value) for name, value in published_setup(run, setup).items()}
    if table is not None:
        return _setup_facts(table.setup)
    return {
        name: value
        for name, value in run.experiment.setups[setup].model_dump().items()
        if name in SETUP_WORDS and value is not None
    }


def _setup_facts(setup: Setup) -> dict[str, str | int | float]:
    return dict(setup.as_dict())
