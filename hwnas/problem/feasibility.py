"""Feasibility of a tier's limits, checked before anything expensive: reachable ranges, and shares of the space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.cost_ranges import Range, extent_of
from hwnas.errors import ConfigError, NoScore, TableError
from hwnas.latency.model import LatencyModel
from hwnas.latency.population import predict_many_ms
from hwnas.pareto import Limit
from hwnas.population import SUMS
from hwnas.problem.cost_models import CostModels, cost_metric_scorers, load_cost_model
from hwnas.problem.samples import Floats, Sample
from hwnas.quantities import LATENCY, Quantity, shown_as
from hwnas.search.evaluate import Scorer
from hwnas.tabular import TableMetric
from hwnas.words import brief, counted
from hwnas.workspace.workspace import Workspace, open_run

DRAWN_NETWORKS = 1_000_000
QUICK = 20_000
"""Number of networks that are drawn before a search."""
SLOW_SAMPLE = 2_000
"""Number of networks that are looked at where a metric is computed for one network at a time."""
LOOKED_UP = 50_000
"""The same where the metric stands in a file."""


@dataclass(frozen=True)
class LimitReport:
    """The range of a limited metric, and the share of the space that is inside the limit."""

    limit: Limit
    least: float | None = None
    most: float | None = None
    exact: bool = False
    """True if the range is that of all networks; else it is of those looked at."""
    share: float | None = None
    """Share of the space's architectures that is inside."""
    error: float | None = None
    """Standard error of the share; 0 if, and only if, all networks were looked at."""
    networks: int = 0
    """Number of distinct networks that were looked at."""
    missing: int = 0
    """Number of these that have no such number in a file; they count as outside."""
    unjudged: str = ""
    """Reason why nothing is known; empty if something is."""

    @property
    def empty(self) -> bool:
        """True if no network is inside."""
        return not self.unjudged and not self.share and not self._reached

    @property
    def _reached(self) -> bool:
        ends = (self.least, self.most)
        return any(end is not None and self.limit.excess(end) <= 0 for end in ends)


@brief
@dataclass(frozen=True)
class Feasible:
    """Findings on a tier's limits before its search."""

    tier: str
    limits: tuple[Limit, ...]
    reaches: tuple[LimitReport, ...]
    share: float | None
    """Share of the space's architectures inside all limits that could be judged; None if none could."""
    error: float | None
    """Standard error of the share, as of a `LimitReport`."""
    networks: int
    inside: int
    """Number of the distinct networks looked at that are inside."""
    metrics: tuple[Quantity, ...] = ()
    """Metrics of the task, one of which may be limited."""

    @property
    def whole(self) -> bool:
        """True if all networks of the space were looked at."""
        return self.error == 0

    @property
    def unjudged(self) -> int:
        """Number of limits that could not be judged; the share leaves them out."""
        return sum(bool(reach.unjudged) for reach in self.reaches)

    @property
    def empty(self) -> bool:
        """True if none of the networks looked at meets all limits."""
        return any(reach.empty for reach in self.reaches) or (self.share is not None and not self.inside)

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that is ready for JSON."""
        return {
            "limits": [
                {
                    "limit": str(reach.limit),
                    "metric": reach.limit.metric,
                    "bound": reach.limit.bound,
                    "least": reach.least,
                    "most": reach.most,
                    "exact": reach.exact,
                    "share": reach.share,
                    "standard_error": reach.error,
                    "networks": reach.networks,
                    "missing": reach.missing,
                    "unjudged": reach.unjudged or None,
                }
                for reach in self.reaches
            ],
            "share": self.share,
            "standard_error": self.error,
            "networks": self.networks,
            "inside": self.inside,
            "whole_space": self.whole,
            "unjudged": self.unjudged,
            "empty": self.empty,
        }


def feasible(
    reference: str | Path, *, runs: Path = Path("runs"), networks: int = DRAWN_NETWORKS, seed: int = 0
) -> list[Feasible]:
    """Return what each tier's limits leave of the space. Needs no supernet; what lacks a table is named, not judged.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        networks: number to draw, uniformly over architectures; a space that has no more is looked at whole.
        seed: of the draw.

    Returns:
        For each tier, the range that networks reach of each limited metric, in its unit, and the share of the space
        within the limits, from 0 to 1.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.

    Example:
        >>> from hwnas import pipeline
        >>> [(tier.tier, tier.networks, tier.empty) for tier in pipeline.feasible("mini.yaml")]
        [('cloud', 4, False)]
    """
    run, cost_models, reasons = open_run(reference, runs=runs), dict[str, CostModels](), dict[str, str]()
    sample = Sample.drawn(run, networks, seed)
    for setup in dict.fromkeys(one for tier in run.experiment.tiers for one in run.experiment.setups_of(tier).values()):
        if not run.objectives.needs_table(setup):
            continue
        if not run.paths.table(setup).exists():
            reasons[setup] = f"there is no table yet: run `{run.command('bench')}`"
            continue
        try:
            price = load_cost_model(run, setup)
            predict_many_ms(price.model, sample.codebook, sample.codes)
            cost_models[setup] = price
        except TableError as error:
            reasons[setup] = f"{error.met}; {error.do[:1].lower()}{error.do[1:]}"
    return [_judged(run, name, cost_models, reasons, sample) for name in run.experiment.tiers]


def raise_if_infeasible(tier: Feasible) -> None:
    """Refuse limits that no network meets.

    Raises:
        ConfigError: none of those looked at meets all limits of the tier; it names the ranges that they reach.
    """
    if not tier.empty:
        return
    known = [reach for reach in tier.reaches if not reach.unjudged]
    ranges = (f"{reach.limit.metric} {_plain(reach.least)} to {_plain(reach.most)}" for reach in known)
    limits, looked = ", ".join(map(str, tier.limits)), f"{counted(tier.networks, 'network')}"
    raise ConfigError(
        f"none of {'all' if tier.whole else 'the'} {looked} {'of the space' if tier.whole else 'looked at'} meets the "
        f"limits {limits}",
        where=f"tier `{tier.tier}`",
        allowed=f"Reachable: {'; '.join(ranges)}",
        do="Loosen a limit, or give the space smaller options",
    )


def _plain(value: float | None) -> str:
    """Return a value as one writes it into YAML: without an exponent.

    >>> _plain(41212.0), _plain(0.012345)
    ('41212', '0.01235')
    """
    number = float(value or 0.0)
    return f"{number:.0f}" if number >= 1000 else f"{number:.4g}"


def check_counted_limits(run: Workspace) -> None:
    """Refuse limits that no network meets by what is counted from networks, before anything is timed.

    Raises:
        ConfigError: as of `raise_if_infeasible`.
    """
    if not any(run.objectives.tier(name).limits for name in run.experiment.tiers):
        return
    sample = Sample.drawn(run, QUICK, 0)
    for name in run.experiment.tiers:
        raise_if_infeasible(_judged(run, name, {}, {}, sample))


def check_limits(run: Workspace, cost_models: Mapping[str, CostModels]) -> None:
    """Refuse a limit that no network meets, before anything is trained.

    Raises:
        ConfigError: none of the networks looked at meets all limits of a tier; it names the range that they reach. Or a
            limit is on file sizes, and the table holds none.
        TableError: one of them has an operator without a row.
    """
    sample = Sample.drawn(run, QUICK, 0)
    for name, config in run.experiment.tiers.items():
        for setup in run.experiment.setups_of(name).values():
            if setup in cost_models and not run.objectives.is_live(name):
                _check_known(name, config.quantities, cost_models[setup])
            if setup in cost_models:
                predict_many_ms(cost_models[setup].model, sample.codebook, sample.codes)  # a missing row is told now
        raise_if_infeasible(_judged(run, name, cost_models, {}, sample))


def _check_known(tier: str, quantities: Iterable[Quantity], price: CostModels) -> None:
    """Refuse a quantity that a tier names and the set-up's table does not hold."""
    for quantity in quantities:
        if quantity.model is not None and quantity.name not in (LATENCY.name, *price.others):
            raise ConfigError(
                f"`{quantity.name}` is limited or optimized, but the set-up's table holds none",
                where=f"tier `{tier}`: {price.table.path}",
                allowed=f"{quantity.label} is predicted from a table's rows; a row that this version of `hwnas bench` "
                "writes holds its file's size",
                do=f"Measure into a new table, or leave out `{quantity.name}`",
            )


@dataclass(frozen=True)
class SampledCosts:
    """A metric of a sample."""

    values: Floats
    """(networks,) values, NaN where not known."""
    looked_at: NDArray[np.bool_]
    """(networks,) True for networks whose value was looked up."""


def _judged(
    run: Workspace, name: str, cost_models: Mapping[str, CostModels], reasons: Mapping[str, str], sample: Sample
) -> Feasible:
    tier, setups = run.objectives.tier(name), run.experiment.setups_of(name).values()
    scorers = cost_metric_scorers(run, name, cost_models)
    latency = run.objectives.latency(name)
    models = [cost_models[one].model for one in setups if one in cost_models]
    models = models if len(models) == len(setups) else []
    seen = {limit.metric: _seen(run, limit.metric, latency, models, scorers, sample) for limit in tier.limits}
    reaches = tuple(
        LimitReport(limit, unjudged=_unjudged(run, name, limit, reasons))
        if (sampled := seen[limit.metric]) is None
        else _reach(run, limit, sampled, sample)
        for limit in tier.limits
    )
    judged = [(limit, sampled) for limit in tier.limits if (sampled := seen[limit.metric]) is not None]
    return Feasible(name, tier.limits, reaches, *_share(judged, sample), tuple(run.space.task.metrics))


def _seen(
    run: Workspace,
    metric: str,
    latency: str,
    models: Sequence[LatencyModel],
    scorers: Mapping[str, Scorer],
    sample: Sample,
) -> SampledCosts | None:
    """Return a metric of the sample; None if it is not known. Latencies are those in the fastest precision."""
    everywhere = np.ones(len(sample.codes), dtype=np.bool_)
    if metric in sample.costs:
        return SampledCosts(sample.costs[metric], everywhere)
    if metric == latency and models:
        each = [predict_many_ms(model, sample.codebook, sample.codes) for model in models]
        return SampledCosts(np.minimum.reduce(each), everywhere)
    scorer = scorers.get(metric)
    if metric == run.accuracy and run.experiment.accuracy.source == "table":
        from hwnas.problem.accuracy import accuracy_of

        scorer = accuracy_of(run, None)
    if scorer is None:
        return None
    places = sample.subsample(LOOKED_UP if isinstance(scorer, TableMetric) else SLOW_SAMPLE)
    seen = SampledCosts(np.full(len(sample.codes), np.nan), ~everywhere)
    seen.looked_at[places] = True
    for index, architecture in zip(places.tolist(), sample.codebook.decode(sample.codes[places]), strict=True):
        try:
            seen.values[index] = scorer(architecture)
        except NoScore:
            continue
    return seen


def _unjudged(run: Workspace, tier: str, limit: Limit, reasons: Mapping[str, str]) -> str:
    setup = run.experiment.tiers[tier].setup
    if limit.metric == run.accuracy:
        return "it is known once the search has scored them"
    if run.objectives.is_live(tier):
        return "candidates are timed during the search"
    return reasons.get(setup, f"the table of `{setup}` does not tell it")


def _reach(run: Workspace, limit: Limit, seen: SampledCosts, sample: Sample) -> LimitReport:
    known = np.isfinite(seen.values)
    if not known.any():
        return LimitReport(limit, unjudged="none of the networks looked at has it")
    share, error, networks, _ = _share([(limit, seen)], sample)
    missing = int((seen.looked_at & ~known).sum())
    exact = _exact(run, limit.metric)
    if exact is not None:
        return LimitReport(limit, exact.least, exact.most, True, share, error, networks, missing)
    least, most = float(np.nanmin(seen.values)), float(np.nanmax(seen.values))
    return LimitReport(limit, least, most, error == 0, share, error, networks, missing)


def _exact(run: Workspace, metric: str) -> Range | None:
    """Return the range over all networks if it is known exactly, else None."""
    over = shown_as(metric).over_operators
    if over is None or over.by != "sum" or over.cost not in SUMS:
        return None
    extent = extent_of(run.space)
    return None if extent.networks is not None else getattr(extent, over.cost)


def _share(judged: Sequence[tuple[Limit, SampledCosts]], sample: Sample) -> tuple[float | None, float | None, int, int]:
    """Return the share inside all these limits, its standard error, and how many distinct networks it rests on and
    holds.

    The error is the standard deviation of the posterior of the share, from a flat prior. It is 0 for a whole space
    only: none of a few networks inside does not mean that there is none.
    """
    if not judged:
        return None, None, len(sample.codes), 0
    looked = np.logical_and.reduce([seen.looked_at for _, seen in judged])
    inside = looked.copy()
    for limit, seen in judged:
        within = seen.values <= limit.bound if limit.side == "most" else seen.values >= limit.bound
        inside &= within  # what is not known compares as outside
    draws, hits = int(sample.times[looked].sum()), int(sample.times[inside].sum())
    if not draws:
        return None, None, int(looked.sum()), int(inside.sum())
    believed = (hits + 1) / (draws + 2)
    whole = sample.whole and bool(looked.all())
    error = 0.0 if whole else math.sqrt(believed * (1 - believed) / (draws + 3))
    return hits / draws, error, int(looked.sum()), int(inside.sum())
