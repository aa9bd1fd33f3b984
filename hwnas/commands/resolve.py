"""A run solved again, for another set-up or other limits: from stored accuracies and a table, without training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.config import SetupConfig, TierConfig, parse_setup, parse_tier
from hwnas.errors import ConfigError, did_you_mean
from hwnas.io.resources import find_file, shipped_names
from hwnas.measure.table import LatencyTable, read_table
from hwnas.network import known_operators
from hwnas.pareto import Tier
from hwnas.problem.cost_models import CostModels, cost_model_of_table
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, check_front_exists, refuse_other_accuracies
from hwnas.problem.resolve import Answer, answer
from hwnas.quantities import QUANTITIES
from hwnas.search.fronts import FrontPoint
from hwnas.search.successive_halving import tier_for_rung
from hwnas.words import brief
from hwnas.workspace.objectives import check_metrics
from hwnas.workspace.results.halving_results import load_top_rung
from hwnas.workspace.workspace import Workspace, open_run

RESOLVED = "solved"
"""Name of a tier that is solved for and is not one of the experiment's."""


@brief
@dataclass(frozen=True)
class ResolvedFront:
    """The front of stored accuracies under other limits, or on another set-up."""

    run: Workspace
    """The run with the tier that was solved for."""
    loaded_front: LoadedFront
    answer: Answer

    @property
    def tier(self) -> Tier:
        """The tier that was solved for."""
        return self.loaded_front.tier

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """Points of its front."""
        return self.loaded_front.points

    @property
    def n_stored(self) -> int:
        """Number of networks that have an accuracy."""
        return self.answer.stored

    @property
    def n_skipped(self) -> int:
        """Number of stored accuracies of other producers, which do not mix with these."""
        return self.answer.left_out

    @property
    def n_without_cost(self) -> int:
        """Number of networks for which the set-up has no latency."""
        return self.answer.unpriced

    @property
    def refusal(self) -> ConfigError | None:
        """Error that names the nearest network, if none is within the limits."""
        return None if self.front else _nothing_near(self.run, self.tier, self.answer)

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that is ready for JSON."""
        return {
            "limits": list(map(str, self.tier.limits)),
            "stored": self.n_stored,
            "left_out": self.n_skipped,
            "unpriced": self.n_without_cost,
            "front": [
                {
                    "key": p.architecture.key,
                    **p.precision_entry,
                    **({} if p.paired is None else {"paired": p.paired.entry}),
                    "architecture": p.architecture.as_dict(),
                    "scores": dict(p.scores),
                    "origin": dict(p.origin),
                    "picks": list(p.picks),
                    **p.estimates_entry,
                }
                for p in self.front
            ],
            **(
                {}
                if (near := self.answer.nearest(self.tier)) is None
                else {"nearest": {"key": near.key, "scores": dict(near.scores)}}
            ),
        }


def solve(
    reference: str | Path,
    *,
    setup: str | None = None,
    limits: Sequence[str] = (),
    front: FrontSource = "search",
    runs: Path = Path("runs"),
) -> ResolvedFront:
    """Return the front of the networks that a run has accuracies of, on a set-up and within limits.

    Nothing is trained, timed or written.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        setup: a set-up of the experiment, or a latency table, shipped ones by name; may be left out where the
            experiment has one set-up.
        limits: `latency_ms=20`, `params=1e6`, `top1=0.9`, ...
        front: whose accuracies: `search`, or `halving` for those of the last rung of successive halving.
        runs: folder of run folders.

    Returns:
        The front, and the numbers of networks that were stored, skipped and without a latency.

    Raises:
        ConfigError: no such set-up, a malformed limit, or limits that no stored network meets: the nearest is named.
        RunError: no accuracy is stored, or what is stored is of other data, space, training or seed.
        TableError: the table cannot be used.

    Example:
        >>> from hwnas import pipeline
        >>> solved = pipeline.solve("mini.yaml", limits=["params=1e6"])
        >>> len(solved.front) > 0
        True
    """

    def check(run: Workspace) -> None:
        _named_setup(run, setup)
        _check_input(run, limits, front)

    run = open_run(reference, runs=runs, before=check)
    name, config, cost_models = _setup(run, setup)
    solved = _solved(run, RESOLVED, name, config, cost_models, limits, front)
    if (refusal := solved.refusal) is not None:
        raise refusal
    return solved


def solve_tiers(
    reference: str | Path, *, limits: Sequence[str] = (), front: FrontSource = "search", runs: Path = Path("runs")
) -> dict[str, ResolvedFront]:
    """Solve for the set-up of each tier; the given limits stand in the place of the tiers' own.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        limits: as for `solve`.
        front: as for `solve`.
        runs: folder of run folders.

    Returns:
        The front of each tier, by its name.

    Raises:
        ConfigError: as `solve`; it is no error that some of the tiers, but not all, have nothing within the limits.
        RunError, TableError: as `solve`.

    Example:
        >>> from hwnas import pipeline
        >>> list(pipeline.solve_tiers("mini.yaml", limits=["params=1e6"]))
        ['cloud']
    """
    run = open_run(reference, runs=runs, before=lambda run: _check_input(run, limits, front))
    solved = {}
    for name, tier in run.experiment.tiers.items():
        config = run.experiment.setups[tier.setup]
        solved[name] = _solved(run, name, tier.setup, config, {}, limits, front)
    refusals = [one.refusal for one in solved.values()]
    if all(refusals) and refusals[0] is not None:
        nearest = "; ".join(
            f"{name}: {refusal.allowed}" for name, refusal in zip(solved, refusals, strict=True) if refusal is not None
        )
        first = refusals[0]
        raise ConfigError(first.met, where=first.where, allowed=nearest, do=first.do)
    return solved


def _check_input(run: Workspace, limits: Sequence[str], front: FrontSource) -> None:
    """Refuse malformed limits, and the front of a successive halving that was not run."""
    tier = parse_tier(
        {"setup": next(iter(run.experiment.setups)), "limits": dict(map(_limit, limits))}, where="--limit"
    )
    check_metrics(tier.limits, run.space.task, where="--limit")
    if front == "halving":
        check_front_exists(run, front)


def _solved(
    run: Workspace,
    name: str,
    setup: str,
    config: SetupConfig,
    cost_models: Mapping[str, CostModels],
    limits: Sequence[str],
    front: FrontSource,
) -> ResolvedFront:
    rung, source = load_top_rung(run) if front == "halving" else (None, run.source)
    for searched in run.experiment.tiers:
        refuse_other_accuracies(run, searched, front)
    opened, cost_models = _with_tier(run, name, setup, config, cost_models, limits)
    tier = (
        opened.objectives.tier(name) if rung is None else tier_for_rung(opened.objectives.tier(name), rung.tier.quality)
    )
    solved = answer(opened, tier, source, cost_models, None if rung is None else rung.producer)
    return ResolvedFront(opened, LoadedFront(front, tier, source, solved.points, run.folder), solved)


def _with_tier(
    run: Workspace,
    tier: str,
    name: str,
    config: SetupConfig,
    cost_models: Mapping[str, CostModels],
    limits: Sequence[str],
) -> tuple[Workspace, Mapping[str, CostModels]]:
    """Return the run with only the tier that is solved for, and the cost models of its networks."""
    raw: dict[str, Any] = {"setup": name, "limits": dict(map(_limit, limits))}
    if tier in run.experiment.tiers and tier != RESOLVED:
        own = run.experiment.tiers[tier]
        raw |= {"minimize": list(own.minimize), "maximize": list(own.maximize)}
        if own.precision is not None and name == own.setup:
            raw["precision"] = own.precision if own.precision == "mixed" else list(own.precision)
    tier_config: TierConfig = parse_tier(raw, where="--limit")
    setups = {**run.experiment.setups, name: config}
    experiment = run.experiment.model_copy(update={"setups": setups, "tiers": {tier: tier_config}})
    opened = replace(run, experiment=experiment)
    opened.source  # noqa: B018 - a limit on an accuracy that is none is told
    if config.latencies is not None and (lacking := tier_config.asks_of_a_table):
        raise ConfigError(
            f"`{lacking[0]}` is limited",
            where=f"--setup {name}",
            allowed="A published set-up tells latencies alone",
            do="Leave the limit out",
        )
    if not cost_models and opened.objectives.needs_table(name):
        cost_models = {one: cost_model_of_table(opened, one) for one in experiment.setups_of(tier).values()}
    return opened, cost_models


def _named_setup(run: Workspace, reference: str | None) -> str | LatencyTable:
    """Return the name of a set-up of the experiment, or a table."""
    known = run.experiment.setups
    if reference is None and len(known) == 1:
        reference = next(iter(known))
    if reference is None:
        raise ConfigError(
            "no set-up is named",
            where="--setup",
            allowed=f"The experiment has {', '.join(known)}; or a latency table",
            do="Name one with --setup",
        )
    if reference in known:
        return reference
    shipped = shipped_names("latency_tables")
    if not ("/" in reference or "." in reference or reference in shipped or Path(reference).exists()):
        raise ConfigError(
            f"there is no set-up `{reference}`",
            where="--setup",
            allowed=f"{did_you_mean(reference, {*known, *shipped})}; or the file of a latency table",
            do="Name a set-up of the experiment, or a table",
        )
    return read_table(find_file(reference, "latency_tables"))


def _setup(run: Workspace, reference: str | None) -> tuple[str, SetupConfig, dict[str, CostModels]]:
    table = _named_setup(run, reference)
    if isinstance(table, str):
        return table, run.experiment.setups[table], {}
    header = table.setup
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(str(reference)).stem).lstrip("_.-") or "table"
    config = parse_setup(
        {
            "runtime": header.runtime,
            "threads": header.threads,
            "batch": header.batch,
            "precision": header.precision,
            "accelerator": header.accelerator,
            "device": header.device,
            "table": str(table.path),
            "missing": "estimate",
        },
        where=f"--setup {table.path}",
    )
    routine = [one for one in QUANTITIES.own.values() if one.routine]
    models = CostModels.of(
        table, routine, missing="estimate", bench="hwnas bench SPACE", operators=known_operators(run.space)
    )
    return name, config, {name: models}


def _limit(text: str) -> tuple[str, Any]:
    """Return a limit's name and bound, on the side of the quantity's goal unless `<=` or `>=` names one."""
    parts = re.fullmatch(r"([^=<>]*)(<=|>=|=)(.*)", text)
    if parts is None:
        raise ConfigError(
            f"`{text}` is no limit",
            where="--limit",
            allowed="The form is NAME=VALUE, such as latency_ms=20, or NAME<=VALUE or NAME>=VALUE",
            do="Write it so; --limit can be given more than once",
        )
    name, sign, value = (part.strip() for part in parts.groups())
    return name, {"=": value, "<=": {"at_most": value}, ">=": {"at_least": value}}[sign]


def _nothing_near(run: Workspace, tier: Tier, solved: Answer) -> ConfigError:
    """Return the error for limits that no network meets, with the network that breaks them least."""
    near = solved.nearest(tier)
    if near is None:
        return ConfigError(
            f"the set-up tells no latency of the {solved.unpriced:,} networks with an accuracy",
            where=f"run {run.folder}",
            allowed="A latency comes from a table's rows, or from a file's",
            do="Name another set-up",
        )
    sentence = str(near)
    return ConfigError(
        f"none of {len(solved.evaluations):,} networks with an accuracy meets the limits "
        f"{', '.join(map(str, tier.limits))}",
        where=f"run {run.folder}",
        allowed=sentence[0].upper() + sentence[1:],
        do="Loosen a limit, or add a tier with these limits to the experiment and search it",
    )
