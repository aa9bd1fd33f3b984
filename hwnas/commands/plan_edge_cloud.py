"""Plans of a run over a link: where to cut, when to ask the cloud, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from hwnas import __version__
from hwnas.collaborate.choice import Goal, winner_of, with_front
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.plan import Plan
from hwnas.collaborate.predict import Load, Worlds, predict
from hwnas.commands.edge_cloud_plans import EdgeCloudPlans, plans_entries, write_plans_document
from hwnas.commands.measure_plans import PlanMeasurement, measure_plans
from hwnas.errors import ConfigError
from hwnas.problem.fronts.loading import FrontSource, check_front_exists
from hwnas.problem.pairs.joined import join_pairs
from hwnas.problem.plans.candidates import Enumeration
from hwnas.problem.plans.drafts import Promise
from hwnas.problem.plans.exits import ExitEnumeration
from hwnas.problem.plans.samples import MOST_SAMPLES, held_out_samples
from hwnas.problem.plans.sides import Side, open_sides, tier_names
from hwnas.workspace.folder import locked
from hwnas.workspace.links import link_of
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.workspace import Workspace, open_run


def plan_edge_cloud(
    reference: str | Path,
    link: str,
    *,
    edge: str | None = None,
    cloud: str | None = None,
    epsilon: float = 0.01,
    delta: float = 0.05,
    load: Load | None = None,
    samples: int = MOST_SAMPLES,
    exits: bool = False,
    front: FrontSource | None = None,
    measure: PlanMeasurement | None = None,
    runs: Path = Path("runs"),
    reporter: Reporter | None = None,
) -> EdgeCloudPlans:
    """Plan how the networks of a run's two tiers answer requests over a link, and write the plans to its folder.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        link: a link of the experiment, a YAML file, a trace, or a preset: `wired`, `wifi`, `lte`, `5g`, `3g`.
        edge: tier of the edge; if left out `edge`, or the first of two.
        cloud: tier of the cloud; if left out `cloud`, or the other one.
        epsilon: accuracy that a cascade may lose against its cloud network, and the winner against the best plan.
        delta: probability with which a cascade may lose more.
        load: clients, their requests and the cloud's workers; one client without queueing if left out.
        samples: most validation samples, and most test samples, that networks answer.
        exits: train exits at cuts and plan with them too.
        front: `search` or `halving`; if left out, that of successive halving only where nothing was searched.
        measure: measure the winner and the fastest of each kind on this machine, over the link as it is imposed.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The plans with their predictions, and the winner.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid, or there is no such link.
        RunError: nothing was searched yet, or the link cannot be imposed.
        TableError: there is no table of a set-up.

    Example:
        >>> from hwnas import pipeline
        >>> planned = pipeline.plan_edge_cloud("pair.yaml", "wifi")
        >>> {plan.candidate.kind for plan in planned.plans} >= {"edge_only", "cloud_only", "split"}
        True
    """
    from hwnas.workspace.training.supernets import supernet_of

    promise, load = Promise(epsilon, delta), load or Load()
    _check(promise, load, samples)
    if measure is not None:
        measure.check()
    opened: list[LinkModel] = []

    def check(run: Workspace) -> None:
        tier_names(list(run.experiment.tiers), edge, cloud)
        opened.append(link_of(link, run.experiment, run.base))
        check_front_exists(run, front)

    run, reporter = open_run(reference, runs=runs, before=check), default_reporter(reporter)
    with locked(run):
        sides = open_sides(run, edge, cloud, front)
        load = replace(load, batch=sides[1].setup.batch)
        trained = supernet_of(run, reporter)
        joined = join_pairs(run, sides, opened[0].name, trained)
        known = held_out_samples(run, joined.sides, samples, trained)
        kind = ExitEnumeration if exits else Enumeration
        draws, judged = opened[0].quick_draws(run.experiment.seed), None if isinstance(known, str) else known
        notes = [*joined.notes, *([known] if isinstance(known, str) else [])]
        enumeration = kind(*joined.sides, draws, judged, promise, load, joined.cut_only, notes=notes)
        planned = _planned(run, opened[0], enumeration, reporter)
    return planned if measure is None else measure_plans(replace(planned, front=front), measure, reporter)


def _check(promise: Promise, load: Load, samples: int) -> None:
    ranges = {
        "--epsilon": (promise.epsilon, 0 <= promise.epsilon < 1, "at least 0 and below 1"),
        "--delta": (promise.delta, 0 < promise.delta < 1, "above 0 and below 1"),
        "--clients": (load.clients, load.clients >= 1, "1 or more"),
        "--rate": (load.rate_hz, 0 <= load.rate_hz < inf, "0 or more requests a second"),
        "--workers": (load.workers, load.workers >= 1, "1 or more"),
        "--samples": (samples, samples >= 2, "2 or more"),
    }
    if load.p99_ms is not None:
        ranges["--p99-ms"] = load.p99_ms, 0 < load.p99_ms < inf, "above 0 ms"
    for option, (value, fits, allowed) in ranges.items():
        if not fits:
            raise ConfigError(f"`{option}` is {value:g}", where=option, allowed=f"It is {allowed}", do="Correct it")
    if load.p99_ms is not None and not load.rate_hz:
        raise ConfigError(
            "`--p99-ms` is given, and `--rate` is 0",
            where="--p99-ms",
            allowed="How many clients are served in time depends on their requests a second",
            do="Give `--rate` too, or leave `--p99-ms` out",
        )


def _planned(run: Workspace, link: LinkModel, enumeration: Enumeration, reporter: Reporter) -> EdgeCloudPlans:
    seed, goal = run.experiment.seed, enumeration.edge.front.tier.quality.goal
    load, promise = enumeration.load, enumeration.promise
    candidates = enumeration.candidates()
    worlds, plans, overloaded = Worlds.drawn(link, seed), list[Plan](), 0
    with reporter.bar(f"planning over {link.name}") as bar:
        for number, candidate in enumerate(candidates):
            bar.update(number, len(candidates), candidate.kind)
            plan = predict(candidate, link, worlds, load)
            overloaded += plan is None
            plans += [] if plan is None else [plan]
        bar.update(len(candidates), len(candidates), "done")
    if overloaded:
        enumeration.notes.append(f"{overloaded:,} plans are left out: the cloud cannot keep up with their requests")
    plans = with_front(plans, goal)
    winner = winner_of(plans, promise.epsilon, goal)
    plans.sort(key=lambda plan: (plan is not winner, not plan.on_front, plan.latency.p50, plan.candidate.name))
    return _written(run, link, enumeration, plans, winner)


def _written(
    run: Workspace, link: LinkModel, enumeration: Enumeration, plans: Sequence[Plan], winner: Plan | None
) -> EdgeCloudPlans:
    sides, load, promise = (enumeration.edge, enumeration.cloud), enumeration.load, enumeration.promise
    goal: Goal = sides[0].front.tier.quality.goal
    quality = run.space.task.quality
    tiers = sides[0].tier, sides[1].tier
    points = {**enumeration.cut_only, **sides[1].points, **sides[0].points}
    used = dict.fromkeys(key for one in plans for key in (one.candidate.edge, one.candidate.cloud) if key is not None)
    notes = [*enumeration.notes, *_notes(sides)]
    document: dict[str, Any] = {
        "hwnas": __version__,
        "run": run.experiment.name,
        "tiers": {"edge": tiers[0], "cloud": tiers[1]},
        "setups": {"edge": sides[0].setup.as_dict(), "cloud": sides[1].setup.as_dict()},
        "quality": {"name": quality.name, "goal": goal, "unit": quality.unit},
        "enumerated": enumeration.enumerated,
        **plans_entries(plans, winner, link, load, promise.epsilon, run.experiment.seed, goal),
        "networks": {key: points[key].architecture.as_dict() for key in used},
        "notes": notes,
    }
    path = run.folder / "plans" / f"{link.name}.json"
    page = write_plans_document(path, document)
    return EdgeCloudPlans(
        run,
        tiers,
        link,
        load,
        promise,
        tuple(plans),
        winner,
        enumeration.enumerated,
        tuple(notes),
        document,
        path,
        page,
        goal,
    )


def _notes(sides: Sequence[Side]) -> list[str]:
    """Return what is to be known of the two set-ups."""
    notes = []
    for side, name in zip(sides, ("edge", "cloud"), strict=True):
        if side.setup.batch > 1:
            notes.append(
                f"the {name}'s times are of batches of {side.setup.batch}: a request is taken to wait for a whole one"
            )
        if side.model is not None and side.model.posterior is None:
            notes.append(f"the {name}'s table has too few whole networks to tell how far sums of operators are off")
    return notes
