"""Results that have a chart of the report beside their frame: a front, its agreement, importances, the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, overload

from hwnas.errors import RunError
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.report.charts import plots
from hwnas.report.charts.chart import Symbol
from hwnas.report.charts.chart_file import Chart, LegendMark
from hwnas.report.charts.front_plot import front_figure
from hwnas.report.choices import importance_rows, importances_figure
from hwnas.report.facts import ReportFacts, TierFacts
from hwnas.rows import Rows, frame, html_table
from hwnas.search.fronts import FrontPoint
from hwnas.words import counted

if TYPE_CHECKING:
    from pandas import DataFrame

Facts = Callable[[], tuple[TierFacts, int]]
"""Loads the facts of a tier, and its place among the tiers, when a chart needs them."""


class Framed:
    """A result with rows."""

    title: str

    def __init__(self, title: str, rows: Callable[[], Rows]) -> None:
        self.title, self._rows = title, rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title[:160]!r})"

    def frame(self) -> DataFrame:
        """Return the rows as a pandas frame; units are in the names of columns, origins beside the values."""
        return frame(self._rows())

    def _repr_html_(self) -> str:
        return html_table(self.title, self._rows())


class FrontAgreement(Framed):
    """Predicted beside measured latency of a front's networks."""

    def __init__(self, title: str, facts: Facts) -> None:
        super().__init__(title, self._pairs)
        self._facts = facts

    def plot(self) -> Chart:
        """Return measured over predicted latency, with the predicted intervals.

        Raises:
            RunError: nothing was timed again.
        """
        tier, index = self._facts()
        if tier.errors is None:
            raise _nothing(f"no network of {tier.title} was timed again", "a chart of the agreement")
        title = f"{tier.title}: measured over predicted latency ({plots.agreement_unit(tier)})"
        color = plots.tier_color(index)
        entries = ((color, "front network, predicted interval"), *_fell_off(tier, color))
        return Chart(plots.agreement_figure(tier, color), title, entries)

    def _pairs(self) -> Rows:
        tier, _ = self._facts()
        origins = {"predicted origin": tier.latency.origin, "measured origin": "measured"}
        return [
            {
                "key": p.key,
                "predicted_ms": p.predicted_ms,
                "low_ms": p.low_ms,
                "high_ms": p.high_ms,
                "measured_ms": p.measured_ms,
                "error_percent": p.error_percent,
                "kept": p.kept,
                **origins,
            }
            for p in tier.ordered
            if p.measured_ms is not None
        ]


class ChoiceImportances(Framed):
    """Importances of the space's choices for a tier's accuracy and latency."""

    def __init__(self, title: str, facts: Facts) -> None:
        super().__init__(title, lambda: importance_rows(facts()[0]))
        self._facts = facts

    def plot(self) -> Chart:
        """Return the importances of the choices that matter most, with two standard errors.

        Raises:
            RunError: too few networks were tried.
        """
        tier, index = self._facts()
        if not tier.importances:
            raise _nothing(f"too few networks of {tier.title} were tried", "importances of choices")
        color = plots.tier_color(index)
        looks: list[tuple[str, str, Symbol]] = [
            (color, tier.accuracy.metric, "dot"),
            ("--accent-2", tier.latency.metric, "diamond"),
        ]
        entries = tuple((paint, tier.units.label(name), how) for paint, name, how in looks if name in tier.importances)
        return Chart(importances_figure(tier, color), f"{tier.title}: part of all differences by choice", entries)


class Front(Framed, Sequence[FrontPoint]):
    """A tier's front: its networks in order, as a frame and as a chart."""

    def __init__(self, loaded: LoadedFront, rows: Callable[[], Rows], facts: Facts) -> None:
        super().__init__(f"Front of {loaded.display_name}: {counted(len(loaded.points), 'network')}", rows)
        self.loaded, self._facts = loaded, facts

    @overload
    def __getitem__(self, index: int) -> FrontPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FrontPoint]: ...
    def __getitem__(self, index: int | slice) -> FrontPoint | Sequence[FrontPoint]:
        return self.loaded.points[index]

    def __len__(self) -> int:
        return len(self.loaded.points)

    def plot(self) -> Chart:
        """Return quality over latency: everything that was tried, the limits, the front, its picks."""
        tier, index = self._facts()
        color = plots.tier_color(index)
        latency = tier.units.in_sentence(tier.latency.metric)
        title = f"{tier.title}: {tier.accuracy.label} ({tier.accuracy.origin}), over {latency}"
        timed: list[LegendMark] = [(color, "re-timed", "diamond")] if tier.errors else []
        entries = ((color, "front"), ("--muted", "evaluated"), *timed, *_fell_off(tier, color))
        return Chart(front_figure(tier, color), title, entries)

    @property
    def agreement(self) -> FrontAgreement:
        """Predicted beside measured latencies."""
        return FrontAgreement(f"{self.loaded.display_name}: predicted and measured latency", self._facts)

    @property
    def importances(self) -> ChoiceImportances:
        """Importances of the space's choices."""
        return ChoiceImportances(f"{self.loaded.display_name}: importances of choices", self._facts)


def _fell_off(tier: TierFacts, color: str) -> list[LegendMark]:
    """The mark of networks that others beat, once all were timed again."""
    return [(color, "fell off", "fallen")] if any(point.kept is False for point in tier.front) else []


class History(Framed):
    """The course of a run: the supernet's epochs, and the hypervolume after each trial."""

    def __init__(self, facts: Callable[[], ReportFacts]) -> None:
        super().__init__("History of a run", lambda: [*_epochs(facts()), *_trials(facts())])
        self._facts = facts

    def plot(self, what: Literal["quality", "loss", "hypervolume"] = "hypervolume") -> Chart:
        """Return a curve: hypervolume by trial, or quality or loss by epoch.

        Raises:
            RunError: there is none.
        """
        facts = self._facts()
        if what == "hypervolume":
            figure = plots.hypervolume_figure(facts)
            named = tuple((plots.tier_color(i), t.title) for i, t in enumerate(facts.tiers) if t.hypervolume)
            title = "Hypervolume after each trial, as a share of the last"
        else:
            training = facts.training
            if training is None or not training.epochs or what not in ("quality", "loss"):
                raise _nothing("no supernet was trained", f"a curve of `{what}`")
            figure = (plots.loss_figure if what == "loss" else plots.learning_figure)(training)
            named = () if what == "loss" else (("--accent", "largest"), ("--accent-2", "smallest"))
            title = "Training loss" if what == "loss" else f"{training.task.quality.label} on validation samples"
        if not figure.layers:
            raise _nothing("no network was tried", f"a curve of `{what}`")
        return Chart(figure, title, named)


def _epochs(facts: ReportFacts) -> Iterator[dict[str, object]]:
    training = facts.training
    for epoch in () if training is None else training.epochs:
        smallest, largest = (f"{training.task.quality.name} {end}" for end in ("smallest", "largest"))  # type: ignore[union-attr]
        yield {
            "stage": "training",
            "step": epoch.epoch,
            "loss": epoch.loss,
            smallest: epoch.smallest,
            largest: epoch.largest,
            "origin": "measured",
            "elapsed_s": epoch.seconds,
        }


def _trials(facts: ReportFacts) -> Iterator[dict[str, object]]:
    for tier in facts.tiers:
        for number, volume in enumerate(tier.hypervolume, 1):
            yield {"stage": "search", "tier": tier.title, "step": number, "hypervolume": volume, "origin": "derived"}


def _nothing(problem: str, what: str) -> RunError:
    return RunError(
        problem,
        where=what,
        allowed="A chart has points: of a front that was timed again, a supernet that was trained, 30 networks or more "
        "that were tried",
        do="Run that stage, or search with more trials",
    )
