"""Objectives and limits of an experiment's tiers, and what set-ups have to be measured for them."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.accuracy import AccuracySource
from hwnas.config import Experiment, LimitsConfig, TierConfig
from hwnas.errors import ConfigError, did_you_mean
from hwnas.pareto import Limit, Objective, Tier
from hwnas.quantities import LATENCY, QUANTITIES, Metric, Quantity, quantity_of
from hwnas.quantities.quantity import Goal
from hwnas.runtimes import offered
from hwnas.tasks import Task


@dataclass(frozen=True)
class Objectives:
    """Tiers of an experiment as objectives and limits over metrics."""

    experiment: Experiment
    accuracy: str
    """Metric of accuracy, such as `top1@inherited`."""
    goal: Goal
    """Its goal."""
    metrics: tuple[Quantity, ...] = ()
    """Metrics of the task, one of which may be limited."""

    def tier(self, name: str, *, measured: bool = False) -> Tier:
        """Return a tier's objectives and limits over metrics; of a pair, accuracy and the latency of a request.

        A limit with a confidence is on that quantile of the predicted latency; once `measured`, the latency itself is.
        """
        if (pair := self.experiment.pairs.get(name)) is not None:
            request = str(Metric("request_ms", name, pair.quantile))
            return Tier(name, (Objective(self.accuracy, self.goal), Objective(request, "min")))
        config, limits = self.experiment.tiers[name], list[Limit]()
        for quantity, bound, side in config.limits.bounds(self.metrics):
            surely = quantity is LATENCY and side == "most" and not measured
            metric = quantity.metric(config.setup, config.limits.latency_quantile if surely else None)
            limits.append(Limit(self.accuracy if quantity.is_quality else str(metric), bound, side))
        costs = [quantity_of(cost, where=f"tier `{name}`") for cost in (*config.minimize, *config.maximize)]
        return Tier(
            name,
            (
                Objective(self.accuracy, self.goal),
                *(Objective(str(cost.metric(config.setup)), cost.goal) for cost in costs),
            ),
            tuple(limits),
        )

    def quantities(self, setup: str) -> list[Quantity]:
        """Return the quantities, accuracies apart, that networks are scored with for a set-up's tiers, those that need
        no set-up first: the routine ones, and what a tier limits or optimizes."""
        tiers = self._tiers_on(setup)
        requested = {quantity.name: quantity for tier in tiers for quantity in tier.quantities}
        known = {name: quantity_of(name, where="quantities") for name in QUANTITIES.own} | requested
        scored = [one for name, one in known.items() if one.routine or (name in requested and not one.is_quality)]
        return sorted(scored, key=lambda quantity: quantity.by_setup)

    def latency(self, tier: str) -> str:
        """Return the metric of a tier's latencies, such as `latency_ms@pi4`."""
        return str(LATENCY.metric(self.experiment.tiers[tier].setup))

    def is_live(self, tier: str) -> bool:
        """Return whether a tier's candidates are timed during the search."""
        return self.experiment.tiers[tier].measure == "live"

    def is_published(self, tier: str) -> bool:
        """Return whether a tier's latencies are those of a file."""
        return self.experiment.setups[self.experiment.tiers[tier].setup].latencies is not None

    def needs_table(self, setup: str) -> bool:
        """Return whether the set-up's table is needed: a tier predicts from it, or no tier uses it at all."""
        if self.experiment.setups[setup].latencies is not None:
            return False
        tiers = self._tiers_on(setup)
        return not tiers or any(tier.measure == "table" for tier in tiers)

    def _tiers_on(self, setup: str) -> list[TierConfig]:
        """Return the tiers whose networks run on a set-up."""
        tiers = self.experiment.tiers
        return [tiers[name] for name in tiers if setup in self.experiment.setups_of(name).values()]


SIMULATED_SOURCE = "inherited"
"""Source of accuracy whose networks can be computed in another precision."""


def check_precisions(experiment: Experiment) -> None:
    """Refuse tiers that list a precision in which nothing can be run, or scored.

    Raises:
        ConfigError: there is one.
    """
    source = experiment.accuracy.source
    for name, tier in experiment.tiers.items():
        where = f"experiment `{experiment.name}`: tiers.{name}.precision"
        setup = experiment.setups[tier.setup]
        for precision in tier.precisions or ():
            if precision not in (known := offered(setup.runtime, setup.accelerator)):
                raise ConfigError(
                    f"`{setup.runtime}` on `{setup.accelerator}` computes nothing in {precision}",
                    where=where,
                    allowed=f"It computes in {', '.join(known)}; what is asked for in {precision} would stay in fp32",
                    do=f"Leave {precision} out, or use another runtime in `setups.{tier.setup}`",
                )
        if tier.precision is not None and source != SIMULATED_SOURCE:
            raise ConfigError(
                f"accuracies of `{source}` are of networks in fp32",
                where=where,
                allowed=f"The source `{SIMULATED_SOURCE}` has networks that can be computed in int8",
                do=f"Set `accuracy: {{source: {SIMULATED_SOURCE}}}`, or leave the tier's `precision` out",
            )


def check_limited(limits: LimitsConfig, source: AccuracySource, source_name: str, task: Task, *, where: str) -> None:
    """Refuse limits on a metric that a task lacks, that the source of accuracies does not give, or out of range.

    Raises:
        ConfigError: there is one.
    """
    check_metrics(limits, task, where=where)
    for name in limits.qualities:
        if name != source.quantity(task):
            provided = "a score and no accuracy" if source.kind == "score" else f"`{source.quantity(task)}`"
            raise ConfigError(
                f"`{name}` is limited, but `{source_name}` gives {provided}",
                where=where,
                allowed="The metric that networks are scored by may be limited. A score has no unit, its order counts",
                do="Leave the limit out, or use a source of accuracy such as `inherited`",
            )
    for metric, bound, _ in limits.bounds(task.metrics):
        if metric.unit == "fraction" and not 0 <= bound <= 1:
            raise ConfigError(
                f"`{metric.name}` is {bound:g}", where=where, allowed="A fraction is 0 to 1", do="Correct the value"
            )


def check_metrics(limits: LimitsConfig, task: Task, *, where: str) -> None:
    """Refuse limits on what is neither a quantity nor a metric of the task.

    Raises:
        ConfigError: there is one.
    """
    metrics = [metric.name for metric in task.metrics]
    known = [*LimitsConfig.model_fields, *QUANTITIES.installed, *metrics]
    if unknown := [name for name in limits.qualities if name not in metrics and name not in QUANTITIES]:
        raise ConfigError(
            f"unknown key `{unknown[0]}`",
            where=where,
            allowed=did_you_mean(unknown[0], known),
            do="Correct or remove it",
        )
