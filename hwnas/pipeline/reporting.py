"""The report of a run, filled from the files that it left."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.choosing import choose
from hwnas.config import dump_experiment, published
from hwnas.errors import RunError, SpaceError
from hwnas.latency.model import LatencyModel, throttled
from hwnas.latency.table import LatencyTable, check_key, read_table
from hwnas.network import Network, costs
from hwnas.pareto import reference_point
from hwnas.pipeline.exporting import machine, published_setup, versions
from hwnas.pipeline.live import live_path
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.pricing import Priced, priced_setups
from hwnas.pipeline.searching import Searched, nothing_found, searched_before
from hwnas.pipeline.workspace import Run, open_run
from hwnas.report import facts
from hwnas.report.facts import Origin
from hwnas.report.page import write_page
from hwnas.runtimes.setup import Setup
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, hypervolume_history, read_front
from hwnas.space import Architecture

if TYPE_CHECKING:
    from hwnas.pipeline.solving import Solved
    from hwnas.pipeline.training import Trained


def report(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> Path:
    """Write report.html of a searched run again, from what stands in its folder."""
    from hwnas.pipeline.training import supernet_of

    run = open_run(reference, runs=runs)
    with run.opened():
        trained = supernet_of(run, narrator or Silent())
        prices = priced_setups(run)
        return report_run(run, trained, prices, searched_before(run, trained, prices))


def report_run(run: Run, trained: Trained | None, prices: dict[str, Priced], searched: list[Searched]) -> Path:
    """Write report.html of a run that was searched, and exported or not."""
    config = run.experiment
    page = facts.ReportFacts(
        experiment=config.name,
        title=config.title or config.name,
        created_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        hwnas_version=__version__,
        machine=machine(),
        space=facts.SpaceFacts(
            run.space.name,
            run.space.source,
            _count(run),
            len(run.space.choices),
            _costs(run, run.space.smallest()),
            _costs(run, run.space.largest()),
        ),
        tiers=tuple(_tier(run, tier, prices) for tier in searched),
        training=None if trained is None else _training(run, trained),
        config_yaml=dump_experiment(published(run.resolved)),
        versions=versions(),
        elapsed=run.elapsed,
    )
    return write_page(page, run.folder / "report.html")


def describe(network: Network) -> tuple[str, ...]:
    """One line for each operator: slot, kind, channels, then the other knobs."""
    lines = []
    for slot, operator in zip(network.slots, network.operators, strict=True):
        rest = [f"{k} {v}" for k, v in operator.knobs.items() if k not in ("in_channels", "out_channels") and v]
        lines.append(
            f"{slot}: {operator.kind} {operator.in_channels} to {operator.out_channels}, {', '.join(rest)}".rstrip(", ")
        )
    return tuple(lines)


def _tier(run: Run, searched: Searched, prices: dict[str, Priced]) -> facts.TierFacts:
    tier, name = searched.tier, searched.tier.name
    latency = tier.objectives[1].metric
    setup = run.experiment.tiers[name].setup
    manifest = _manifest(run, name)
    tested = {model["key"]: model["test_top1"]["value"] for model in manifest.get("models", [])}
    live, again = run.is_live(name), run.front_table_path(setup)
    again = live_path(run, setup) if live else again
    table = read_table(again) if again.is_file() else None
    price, published = prices.get(setup) if not live else None, run.is_published(name)
    told = _setup_facts(price.model.setup) if price else _live_setup(run, setup, table)
    competing = [e.scores for e in searched.evaluations if e.competes(tier)]
    volume = (
        hypervolume_history(searched.evaluations, tier, reference_point(competing, tier.objectives))
        if competing
        else []
    )
    return facts.TierFacts(
        name=name,
        setup=told,
        accuracy=_accuracy(run),
        latency=facts.ObjectiveFacts(
            latency, "min", _latency_origin(run, name), "" if published else f"one call, batch {told['batch']}"
        ),
        limits=tier.limits,
        points=tuple(_point(run, e) for e in searched.evaluations if e.failed is None),
        front=tuple(
            _front_point(run, point, price.model if price else None, latency, table, tested) for point in searched.front
        ),
        hypervolume=tuple(volume),
        files=_files(manifest, latency, {point.architecture.key for point in searched.front}),
        notes=(*_notes(searched), *(_throttled(price) if price else ())),
    )


def _latency_origin(run: Run, tier: str) -> Origin:
    if run.is_published(tier):
        return "published"
    return "measured" if run.is_live(tier) else "predicted"


def _accuracy(run: Run) -> facts.ObjectiveFacts:
    return facts.ObjectiveFacts(run.accuracy, "max", run.source.origin, run.source.told)


def _point(run: Run, evaluation: Evaluation) -> facts.Point:
    total = costs(run.network(evaluation.architecture))
    return facts.Point(
        evaluation.architecture.key,
        evaluation.scores,
        evaluation.broken,
        summary(evaluation.architecture),
        total.params,
        total.macs,
    )


def summary(architecture: Architecture) -> str:
    """The picks on one line."""
    return ", ".join(f"{name} {value}" for name, value in architecture.picks)


def _front_point(
    run: Run,
    point: FrontPoint,
    model: LatencyModel | None,
    latency: str,
    table: LatencyTable | None,
    tested: dict[str, float],
) -> facts.FrontPoint:
    network = run.network(point.architecture)
    estimate, total = model.predict(network) if model else None, costs(network)
    again = table.checks.get(check_key(network)) if table is not None else None
    return facts.FrontPoint(
        point.architecture.key,
        point.scores,
        point.scores[latency],
        estimate.low_ms if estimate else None,
        estimate.high_ms if estimate else None,
        point.measured.get(latency),
        again.spread if again is not None else None,
        point.kept,
        point.picks,
        describe(network),
        tested.get(point.architecture.key),
        total.params,
        total.macs,
        total.activation_bytes,
        _estimated(point, latency),
        point.measured,
        point.errors.get(run.accuracy),
    )


def _estimated(point: FrontPoint, latency: str) -> str:
    """`3 of 20 operators estimated`, or empty."""
    return point.origin.get(latency, "").partition(", ")[2]


def _files(manifest: dict[str, Any], latency: str, front: Collection[str]) -> tuple[facts.FileFacts, ...]:
    """The files of networks that still stand on the front."""
    found = []
    for model in (model for model in manifest.get("models", []) if model["key"] in front):
        predicted = model["scores"][latency]["value"]
        for file in model["files"]:
            own = file["runtime"].split()[0] == manifest["setup"]["runtime"]
            found.append(
                facts.FileFacts(
                    " / ".join(model["picks"]),
                    file["format"],
                    file["name"],
                    file["bytes"],
                    file["sha256"],
                    file["max_difference"],
                    file["top1_agreement"],
                    file["test_top1"],
                    predicted if own else None,
                    file["latency_ms"],
                )
            )
    return tuple(found)


def _manifest(run: Run, tier: str) -> dict[str, Any]:
    """What was exported, nothing yet perhaps."""
    path = run.folder / "bundle" / tier / "manifest.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, TypeError, ValueError) as error:
        raise RunError(
            f"the manifest cannot be read ({type(error).__name__}: {error})",
            where=str(path),
            allowed="A manifest is one JSON object that `hwnas export` wrote",
            do="Run `hwnas export` again, which writes it anew",
        ) from error


def _notes(searched: Searched) -> tuple[str, ...]:
    why = f"; the search ended because {searched.finished.stopped}" if searched.finished.stopped else ""
    notes = [f"{searched.finished.trials} networks were tried{why}."]
    if not searched.front:
        notes.append(f"The front is empty: {nothing_found(searched)}.")
    elif searched.finished.failed:
        notes.append(f"{searched.finished.failed} could not be scored; scores.jsonl holds the reasons.")
    return tuple(notes)


def _throttled(price: Priced) -> tuple[str, ...]:
    slowed = throttled(price.table)
    return (f"The latencies rest on {len(price.table.rows)} rows{slowed}.",) if slowed else ()


def _live_setup(run: Run, setup: str, table: LatencyTable | None) -> dict[str, str | int | float]:
    """What is published, or what the device said of itself; nothing was timed yet, what the experiment says."""
    if run.experiment.setups[setup].latencies is not None:
        return {name: str(value) for name, value in published_setup(run, setup).items()}
    if table is not None:
        return _setup_facts(table.setup)
    return {name: value for name, value in run.experiment.setups[setup].model_dump().items()
            if name in SETUP_WORDS and value is not None}  # fmt: skip


SETUP_WORDS = ("runtime", "threads", "precision", "batch", "accelerator")


def _setup_facts(setup: Setup) -> dict[str, str | int | float]:
    return dict(setup.as_dict())


def _training(run: Run, trained: Trained) -> facts.TrainingFacts:
    epochs = tuple(facts.EpochFacts(e.epoch, e.loss, e.smallest, e.largest, e.seconds) for e in trained.history)
    sizes = {name: f"{len(getattr(run.dataset, name)):,} {name}" for name in ("train", "validation", "test")}
    return facts.TrainingFacts(epochs, f"{run.dataset.name}: {', '.join(sizes.values())} images")


def _costs(run: Run, architecture: Architecture) -> facts.CostFacts:
    total = costs(run.network(architecture))
    return facts.CostFacts(total.params, total.macs, total.activation_bytes)


def _count(run: Run) -> int | None:
    try:
        return run.space.count
    except SpaceError:
        return None


def fronts(reference: str | Path, *, runs: Path = Path("runs"), pick: str | None = None) -> list[facts.TierFacts]:
    """The fronts of a searched run as its folder holds them; needs no supernet and no table.

    Args:
        reference: of the run.
        runs: folder of runs.
        pick: a rule of `hwnas.choosing`: only what it takes of each front, with what was measured.
    """
    run = open_run(reference, runs=runs)
    found = []
    for name in run.experiment.tiers:
        points = read_front(run.front_path(name))
        if pick is not None:
            points = [point for point in points if point.kept is not False]
            points = [points[i] for i in choose([p.final for p in points], run.tier(name).objectives, pick)]
        found.append(_front_facts(run, name, points))
    return found


def solved_facts(solved: Solved) -> facts.TierFacts:
    """A front that was solved for, as those of a run are shown."""
    return _front_facts(solved.run, solved.tier.name, solved.front)


def _front_facts(run: Run, name: str, front: Sequence[FrontPoint]) -> facts.TierFacts:
    tier, config = run.tier(name), run.experiment.tiers[name]
    latency = tier.objectives[1].metric
    points = tuple(
        facts.FrontPoint(
            p.architecture.key,
            p.scores,
            p.scores[latency],
            measured_ms=p.measured.get(latency),
            kept=p.kept,
            picks=p.picks,
            params=int(p.scores["params"]),
            macs=int(p.scores["macs"]),
            estimated=_estimated(p, latency),
            accuracy_error=p.errors.get(run.accuracy),
        )
        for p in front
    )
    return facts.TierFacts(
        name,
        run.experiment.setups[config.setup].model_dump(exclude_none=True),
        _accuracy(run),
        facts.ObjectiveFacts(latency, "min", _latency_origin(run, name)),
        tier.limits,
        front=points,
    )
