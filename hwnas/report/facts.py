"""Contents of a report: a tree of frozen facts that the pipeline fills, and the few numbers that follow from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hwnas.errors import RunError
from hwnas.pareto import Limit, Scores
from hwnas.predictors.importances import Importances
from hwnas.quantities import Metric, Quantity
from hwnas.ranks import first_equals
from hwnas.report import units
from hwnas.report.networks.facts import OperatorFacts
from hwnas.report.plans.winners import PlannedLink
from hwnas.report.units import Units
from hwnas.search.fronts import ShrunkenEstimate
from hwnas.tasks import Task
from hwnas.words import brief

Origin = Literal["measured", "predicted", "published", "emulated", "derived", "scored", "given"]
"""Source of a number; `derived` is counted from the network itself, such as parameters and MACs."""


@dataclass(frozen=True)
class ObjectiveFacts:
    """A metric that a tier is searched over, with the origin of its scores."""

    metric: str
    goal: Literal["min", "max"]
    origin: Origin
    meaning: str = ""
    """A few words beside the plot, such as `validation images, inherited weights`."""
    metrics: tuple[Quantity, ...] = ()
    """Metrics of the task, one of which it may be."""

    def cost(self, value: float) -> float:
        """The value, negated if high is good."""
        return value if self.goal == "min" else -value

    @property
    def split(self) -> str:
        """`validation` of accuracies that were measured here: the search compares networks on those samples."""
        return "validation" if self.origin == "measured" and Metric.parse(self.metric).quantity != "score" else ""

    @property
    def label(self) -> str:
        """`Top-1, validation`: the metric with the split that it was measured on."""
        name = Units(self.metrics).label(self.metric)
        return f"{name.removesuffix(' accuracy')}, {self.split}" if self.split else name


@dataclass(frozen=True)
class CostFacts:
    """Costs of one architecture."""

    params: int
    macs: int
    activation_bytes: int | None = None


@dataclass(frozen=True)
class SpaceFacts:
    """The search space."""

    name: str
    source: str
    count: int | None
    """Number of architectures; None where it cannot be counted."""
    choices: int
    smallest: CostFacts
    largest: CostFacts


@dataclass(frozen=True)
class EpochFacts:
    """One epoch of the supernet, with the qualities of its smallest and largest network on validation samples."""

    epoch: int
    loss: float
    smallest: float | None
    largest: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingFacts:
    """The training of the supernet."""

    epochs: tuple[EpochFacts, ...]
    task: Task
    """Task of the networks, by whose quality they are judged."""
    data: str = ""
    """The data set and its split, such as `digits: 1,078 train, 359 validation, 360 test images`."""

    @property
    def units(self) -> Units:
        """Texts of values of the task's metrics."""
        return Units(self.task.metrics)


@brief
@dataclass(frozen=True)
class Point:
    """One evaluated architecture."""

    key: str
    scores: Scores
    broken: tuple[str, ...] = ()
    """The limits that it breaks, as `str(limit)`."""
    summary: str = ""
    params: int | None = None
    macs: int | None = None

    def value(self, metric: str) -> float | None:
        """A score, or the cost of that name; None if neither is known."""
        return self.scores.get(metric, {"params": self.params, "macs": self.macs}.get(metric))


@brief
@dataclass(frozen=True)
class FrontPointFacts:
    """One architecture of a front. `kept` says whether it stayed on the front after re-timing, None if not re-timed."""

    key: str
    scores: Scores
    predicted_ms: float
    low_ms: float | None = None
    high_ms: float | None = None
    measured_ms: float | None = None
    measured_spread: float | None = None
    """Interquartile range of the samples over their median."""
    kept: bool | None = None
    picks: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    """One line for each stage or operator."""
    operators: tuple[OperatorFacts, ...] = ()
    """The same with what each adds to the predicted latency, where a table predicts it; empty otherwise."""
    test_accuracy: float | None = None
    params: int | None = None
    macs: int | None = None
    activation_bytes: int | None = None
    estimated: str = ""
    """Of the predicted latency, if not all of its rows were measured: `3 of 20 operators estimated`."""
    measured: Scores = field(default_factory=dict)
    """Values measured afterwards, by metric."""
    accuracy_error: float | None = None
    """The standard error of the accuracy, in its unit."""
    estimate: ShrunkenEstimate | None = None
    """The accuracy, shrunken towards what similar networks reach; None where it is exact."""
    precision: str | None = None
    """Precision that the search chose for it; None where a tier lists none."""
    paired: Mapping[str, Any] | None = None
    """Comparison with itself in fp32, as `PairedCounts.entry` has it, of a network in a lower precision."""

    @property
    def name(self) -> str:
        """The key, with the precision if it has one: unique on a front."""
        return self.key if self.precision is None else f"{self.key} in {self.precision}"

    @property
    def loss(self) -> str:
        """The change by the lower precision with its 95 % interval, such as `−0.30 (−0.78 to +0.21) points`."""
        if self.paired is None:
            return ""
        change, low, high = (f"{100 * float(self.paired[key]):+.2f}" for key in ("difference", "low", "high"))
        return f"{change} ({low} to {high}) points".replace("-", "\N{MINUS SIGN}")

    @property
    def estimated_accuracy(self) -> float | None:
        """The estimate's value."""
        return None if self.estimate is None else self.estimate.value

    @property
    def error_percent(self) -> float | None:
        """Error of the prediction: above (+) or below (-) the measured latency."""
        if not self.measured_ms:
            return None
        return 100 * (self.predicted_ms - self.measured_ms) / self.measured_ms


@dataclass(frozen=True)
class FileFacts:
    """One exported file, and what was seen when it was run. Accuracies and agreement are fractions."""

    pick: str
    format: str
    name: str
    bytes: int
    sha256: str
    max_difference: float | None = None
    """Largest difference from PyTorch on any output."""
    agreement: float | None = None
    test_accuracy: float | None = None
    predicted_ms: float | None = None
    measured_ms: float | None = None


@dataclass(frozen=True)
class LatencyErrors:
    """Errors of the latency model on re-timed networks that it may not have seen."""

    count: int
    mean_percent: float
    worst_percent: float
    worst_key: str
    inside: int
    """Number of measurements within the predicted interval, of `intervals` that have one."""
    intervals: int


@brief
@dataclass(frozen=True)
class TierFacts:
    """One tier: its set-up, everything evaluated for it, its front and the files made of it."""

    name: str
    setup: Mapping[str, str | int | float]
    task: Task
    """Task of the networks, by whose quality files are judged on test samples."""
    accuracy: ObjectiveFacts
    latency: ObjectiveFacts
    limits: tuple[Limit, ...] = ()
    points: tuple[Point, ...] = ()
    front: tuple[FrontPointFacts, ...] = ()
    hypervolume: tuple[float, ...] = ()
    """After each trial."""
    files: tuple[FileFacts, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences to print under the front."""
    front_source: Literal["search", "halving"] = "search"
    """Whose front it is."""
    objectives: tuple[str, ...] = ()
    """Metrics of all objectives."""
    passed: tuple[ObjectiveFacts, ...] = ()
    """Scores that stand beside the accuracy, such as those of earlier rungs."""
    importances: Mapping[str, Importances] = field(default_factory=dict)
    """Importances of the space's choices for accuracy and latency, by metric; those that can be computed."""

    @property
    def units(self) -> Units:
        """Texts of values of the task's metrics and of all quantities."""
        return Units(self.task.metrics)

    @property
    def quality(self) -> str:
        """Name of the metric that files are judged by."""
        return self.task.quality.name

    @property
    def samples(self) -> str:
        """Word for the samples that networks are judged on."""
        return self.task.terms.samples

    @property
    def title(self) -> str:
        """As it is called where a tier may have two fronts."""
        return self.name if self.front_source == "search" else f"{self.name}, {self.front_source}"

    @property
    def time_unit(self) -> tuple[str, float]:
        """The unit of the front's latencies, and what milliseconds are multiplied with."""
        both = (ms for point in self.front for ms in (point.predicted_ms, point.measured_ms) if ms is not None)
        return units.time_unit(both)

    def scored(self, metric: str, value: float | None) -> str:
        """A value with its unit: latencies of one front share theirs."""
        if value is None or self.units.quantity(metric).unit != "ms":
            return self.units.scored(metric, value)
        unit, times = self.time_unit
        return f"{units.timed(value, times)} {unit}"

    @property
    def is_estimated(self) -> bool:
        """Return whether networks were compared by shrunken estimates of their accuracies."""
        return any(point.estimate is not None for point in self.front)

    def estimate(self, point: FrontPointFacts) -> str:
        """A network's shrunken estimate with its interval, two standard deviations to either side: `96.9 % ±0.8`."""
        if point.estimate is None:
            return units.GAP
        value = self.units.scored(self.accuracy.metric, point.estimate.value)
        return f"{value} {self.units.deviation(self.accuracy.metric, 2 * point.estimate.error)}"

    @property
    def tested(self) -> str:
        """Name of qualities on the test samples."""
        return f"{self.units.label(self.quality).removesuffix(' accuracy')}, test"

    @property
    def others(self) -> tuple[str, ...]:
        """Metrics without a column of their own: other objectives, and costs that a tier asked for."""
        metrics = dict.fromkeys(metric for point in self.front for metric in point.scores)
        special = {
            one for one in metrics if not (self.units.quantity(one).routine or self.units.quantity(one).is_quality)
        }
        return tuple(metric for metric in metrics if metric in special or metric in self.other_objectives)

    @property
    def other_objectives(self) -> tuple[str, ...]:
        """Metrics of the objectives without a column of their own."""
        shown = {self.accuracy.metric, self.latency.metric, "params", "macs"}
        return tuple(metric for metric in self.objectives if metric not in shown)

    @property
    def ordered(self) -> tuple[FrontPointFacts, ...]:
        """The front by rising latency."""
        return tuple(sorted(self.front, key=lambda p: (p.scores[self.latency.metric], p.scores[self.accuracy.metric])))

    @property
    def alike(self) -> dict[str, str]:
        """Networks whose accuracy may be no better than a faster one's, and the fastest of those, by key."""
        ordered = self.ordered
        sign = 1 if self.accuracy.goal == "max" else -1
        values = [sign * point.scores[self.accuracy.metric] for point in ordered]
        near = first_equals(values, [point.accuracy_error for point in ordered])
        return {
            point.name: ordered[index].name for point, index in zip(ordered, near, strict=True) if index is not None
        }

    def picked(self, pick: str) -> FrontPointFacts | None:
        """The front's network of that pick."""
        return next((point for point in self.front if pick in point.picks), None)

    @property
    def errors(self) -> LatencyErrors | None:
        """Predicted against measured over the front; None if nothing was re-timed."""
        errors = {p.name: abs(p.error_percent) for p in self.front if p.error_percent is not None}
        if not errors:
            return None
        worst = max(errors, key=errors.__getitem__)
        bounded = [(p.low_ms, p.measured_ms, p.high_ms) for p in self.front]
        within = [low <= ms <= high for low, ms, high in bounded if low is not None and ms and high is not None]
        mean = sum(errors.values()) / len(errors)
        return LatencyErrors(len(errors), mean, errors[worst], worst, sum(within), len(within))


@brief
@dataclass(frozen=True)
class ReportFacts:
    """Everything on the page."""

    experiment: str
    title: str
    created_at: str
    hwnas_version: str
    machine: Mapping[str, str]
    space: SpaceFacts
    tiers: tuple[TierFacts, ...]
    training: TrainingFacts | None = None
    config_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    elapsed: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, in order."""
    plans: tuple[PlannedLink, ...] = ()


def require_finite(facts: ReportFacts) -> None:
    """Refuse facts with a NaN or an infinity anywhere.

    Raises:
        RunError: the first such number.
    """
    for where, value in _numbers(facts, "report"):
        if value != value or value in (float("inf"), float("-inf")):
            raise RunError(
                f"the number is {value}",
                where=where,
                allowed="A report holds finite numbers, and None for a gap",
                do="Leave the value out where it was recorded, and record why",
            )


def _numbers(value: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from _numbers(getattr(value, item.name), f"{where}.{item.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{where}[{key!r}]")
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{where}[{index}]")
