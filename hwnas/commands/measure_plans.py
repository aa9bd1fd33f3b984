"""Measuring plans of a run: both sides on this machine, over a link that is imposed on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.choice import eligible, fastest_of_kinds
from hwnas.collaborate.imposed.calibration import Calibration, calibrate
from hwnas.collaborate.imposed.comparison import Compared, agreement
from hwnas.collaborate.imposed.link import ImposedLink
from hwnas.collaborate.imposed.measurement import Rounds
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS, check_namespaces, congestion_control
from hwnas.collaborate.imposed.states import Cost, link_states, sampled_draws, settled_state
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.tcp import LinkDraws
from hwnas.collaborate.plan import Candidate, Plan
from hwnas.collaborate.predict import Worlds, mean_ms
from hwnas.commands.edge_cloud_plans import EdgeCloudPlans, write_plans_document
from hwnas.deploy.imposed_sides import Credentials, Edges, start_server
from hwnas.errors import ConfigError
from hwnas.latency.posterior import Floats
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.progress import Reporter
from hwnas.workspace.workspace import Workspace

MOST_INPUTS = 1000
COMPARED_WORLDS = 200
"""More than a plan is predicted in: what is compared with a measurement must not be off by its own draws."""
MEASURED_ORIGINS = {"link": "emulated", "edge": "measured", "cloud": "measured", "encode": "measured"}


@dataclass(frozen=True)
class PlanMeasurement:
    """A measurement of plans over an imposed link.

    Args:
        requests: of each plan.
        edge_slowdown: how many times longer the edge computes than this machine does; the rest of the time it sleeps.
        seed: of the states of the link and of the order of plans.

    Example:
        >>> PlanMeasurement(100).edge_slowdown
        1.0
    """

    requests: int
    edge_slowdown: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse a measurement that cannot be made, before anything is planned.

        Raises:
            ConfigError: a number is out of range.
            RunError: this machine or this user cannot impose a link.
        """
        for option, value, low in (("--measure", self.requests, 1), ("--edge-slowdown", self.edge_slowdown, 1)):
            if not low <= value < inf:
                raise ConfigError(
                    f"`{option}` is {value:g}", where=option, allowed=f"It is from {low} on", do="Correct it"
                )
        check_namespaces()


def measure_plans(planned: EdgeCloudPlans, wanted: PlanMeasurement, reporter: Reporter) -> EdgeCloudPlans:
    """Measure the winner and the fastest plan of each kind, and write what they took beside what was planned.

    Args:
        planned: plans of a run.
        wanted: how much is measured.
        reporter: receives messages and progress.

    Returns:
        The plans, whose document and page have the measurement too.

    Raises:
        RunError: the link cannot be imposed as it is planned, or a side of a plan does not start.
        HwnasError: a plan cannot be deployed.
    """
    chosen = measurable_plans(planned)
    with tempfile.TemporaryDirectory(prefix="hwnas-") as scratch:
        folders = _deployed(planned, chosen, Path(scratch), reporter)
        deployed = {folder: plan.candidate for folder, plan in zip(folders, chosen, strict=True)}
        wanted = replace(wanted, seed=planned.run.experiment.seed)
        measured = measure_candidates(planned.link, deployed, _raw_inputs(planned.run), wanted, reporter)
    return _written(planned, measured)


def measurable_plans(planned: EdgeCloudPlans) -> list[Plan]:
    """Return the winner, the fastest plan of each kind and, where exits were planned, the fastest of these."""
    exits = [plan for plan in planned.plans if "exit" in plan.candidate.extras]
    others = [plan for plan in planned.plans if "exit" not in plan.candidate.extras]
    fastest = [fastest_of_kinds(some, planned.promise.epsilon, planned.goal) for some in (others, exits) if some]
    chosen = {plan.candidate.name: plan for plans in fastest for plan in plans}
    winner = [name for name in chosen if planned.winner is not None and name == planned.winner.candidate.name]
    return [chosen[name] for name in dict.fromkeys([*winner, *chosen])]


def _deployed(planned: EdgeCloudPlans, chosen: Sequence[Plan], scratch: Path, reporter: Reporter) -> list[Path]:
    """Return the deployments of some plans."""
    from hwnas.commands.deploy import export_plan

    folders = []
    for number, plan in enumerate(chosen):
        reporter.info(f"writing both sides of {plan.candidate.name}")
        done = export_plan(
            planned.run.folder,
            plan.candidate.name,
            output=scratch / f"plan-{number}",
            link=planned.link.name,
            front=planned.front,
        )
        folders.append(done.folder)
    return folders


@dataclass(frozen=True, eq=False)
class MeasuredPlans:
    """Plans that were measured.

    Args:
        compared: the plans.
        facts: conditions, ready for JSON.
    """

    compared: Sequence[Compared]
    facts: Mapping[str, Any]


def measure_candidates(
    link: LinkModel,
    deployed: Mapping[Path, Candidate],
    samples: NDArray[Any],
    wanted: PlanMeasurement,
    reporter: Reporter,
) -> MeasuredPlans:
    """Measure deployed plans over a link that is imposed on this machine.

    Args:
        link: that is imposed.
        deployed: folders of deployments with what is planned for them.
        samples: raw inputs, which are asked about in turn.
        wanted: how much is measured.
        reporter: receives messages and progress.

    Returns:
        Each plan as predicted for this machine and as measured, and the conditions.

    Raises:
        RunError: the link cannot be imposed as it is planned, or a side of a plan does not start.
    """
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="hwnas-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        np.save(scratch / "samples.npy", samples)
        imposed = stack.enter_context(ImposedLink(link, wanted.seed))
        reporter.info("calibrating the imposed link")
        calibration = calibrate(imposed, settled_state(link))
        plans = _served(imposed, deployed, scratch)
        edges = Edges(imposed, plans, scratch / "samples.npy", wanted.edge_slowdown, scratch / "edges.log")
        bar = stack.enter_context(reporter.bar(f"measuring over {link.name}"))

        def tell(done: int) -> None:
            bar.update(done, wanted.requests, f"{len(deployed)} plans")

        cost = partial(cost_ms, list(deployed.values()))
        states = link_states(link, wanted.requests, wanted.seed, cost)
        taken = Rounds(imposed, link, edges.endpoints, wanted.seed).times(states, tell)
        facts = _facts(calibration, imposed, wanted, load_before)
    worlds = compared_worlds(calibration.applied_to(link), wanted, cost)
    rows, extra_ms = zip(deployed.values(), taken, strict=True), calibration.extra_rtt_ms
    compared = [Compared.of(candidate, took.alone, took.over, worlds, extra_ms) for candidate, took in rows]
    return MeasuredPlans(compared, facts)


def compared_worlds(link: LinkModel, wanted: PlanMeasurement, cost: Cost) -> Worlds:
    """Return worlds of as many requests as are measured, over states of the link that are drawn as the measured ones
    are: a plan's interval is then that of the quantiles of such a measurement, not of requests at random moments."""
    seed = wanted.seed + 1  # other states than those that are measured
    worlds = Worlds.drawn(link, seed, COMPARED_WORLDS, wanted.requests)
    return replace(worlds, link=sampled_draws(link, COMPARED_WORLDS, wanted.requests, seed, cost))


def cost_ms(candidates: Sequence[Candidate], draws: LinkDraws) -> Floats:
    """Return the time that one request of each candidate is expected to take in each state of a link."""
    costs: Floats = np.sum([np.broadcast_to(mean_ms(one, draws), draws.start_ms.shape) for one in candidates], axis=0)
    return costs


def _served(imposed: ImposedLink, deployed: Mapping[Path, Candidate], scratch: Path) -> list[dict[str, Any]]:
    """Start a server for each cloud, and return what the edges' process must know of each plan."""
    credentials, plans = None, []
    for number, (folder, candidate) in enumerate(deployed.items()):
        entry: dict[str, Any] = {"folder": str(folder / "edge")}
        if candidate.uses_cloud:
            credentials = credentials or _credentials(scratch)
            entry["url"] = start_server(imposed, folder / "cloud", number, credentials, scratch / f"{number}.log")
            entry |= {"token": credentials.token, "ca": str(credentials.certificates / "ca.pem")}
        plans.append(entry)
    return plans


def _facts(
    calibration: Calibration, imposed: ImposedLink, wanted: PlanMeasurement, load_before: Sequence[float]
) -> dict[str, Any]:
    """Return under which conditions was measured, ready for JSON."""
    return {
        "requests": wanted.requests,
        "edge_slowdown": wanted.edge_slowdown,
        "calibration": calibration.as_dict(),
        "emulator": imposed.facts(),
        "congestion_control": congestion_control(),
        "machine": dict(machine()),
        "cores": os.cpu_count(),
        "load_average": {"before": list(load_before), "after": list(os.getloadavg())},
        "niceness": os.nice(0),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "origins": MEASURED_ORIGINS,
    }


def _credentials(scratch: Path) -> Credentials:
    """Return a certificate and a token that no one else knows, for as long as is measured."""
    from hwnas.serve.certificates import make_certificates
    from hwnas.serve.tokens import add_token

    certificates, token_file = scratch / "certificates", scratch / "tokens"
    make_certificates(certificates, [CLOUD_ADDRESS])
    return Credentials(certificates, token_file, add_token(token_file))


def _raw_inputs(run: Workspace) -> NDArray[Any]:
    """Return test samples as they are stored."""
    split = run.dataset.test.first(MOST_INPUTS)
    inputs: NDArray[Any] = split.inputs.take(split.indices).numpy()
    return inputs


def _written(planned: EdgeCloudPlans, measured: MeasuredPlans) -> EdgeCloudPlans:
    """Write the document and the page with what was measured."""
    entries = {one.name: one.as_dict() for one in measured.compared}
    may_win = [one.candidate.name for one in eligible(planned.plans, planned.promise.epsilon, planned.goal)]
    document = {
        **planned.document,
        "plans": [{**plan, **entries.get(plan["name"], {})} for plan in planned.document["plans"]],
        "measured": {**measured.facts, **agreement(entries, may_win)},
    }
    for plan in document["plans"]:
        if plan["name"] in entries:
            plan["origins"] = {**plan["origins"], "measured_ms": "measured on this machine over an emulated link"}
    write_plans_document(planned.path, document)
    return replace(planned, document=document)
