"""Fronts of evaluations: who stands on them, how they grew, and the files they are kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from hwnas.errors import RunError, reason
from hwnas.io.atomic import write_file
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.io.regular import read_regular
from hwnas.pareto import Scores, Tier, costs_of, front, hypervolume, picks, reference_point
from hwnas.rows import csv_text
from hwnas.search.evaluate import Evaluation
from hwnas.search.precision.candidate import candidate_label, candidate_of, split_candidate
from hwnas.search.stored_architecture import architecture_field, paired_field
from hwnas.space import Architecture
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.words import brief


@brief
@dataclass(frozen=True)
class ShrunkenEstimate:
    """A true score as it is estimated from a noisy one; see `hwnas.search.shrinkage`."""

    value: float
    error: float
    """Standard deviation of what the true score may be."""


@brief
@dataclass(frozen=True)
class FrontPoint:
    """One network of a tier's front."""

    architecture: Architecture
    scores: Scores
    origin: Mapping[str, str] = field(default_factory=dict)
    """Origin of each score, by metric: `inherited`, `predicted`, `derived`, ..."""
    picks: tuple[str, ...] = ()
    """Which of `fastest`, `best` and `knee` it is."""
    measured: Scores = field(default_factory=dict)
    """Scores by metric as they were measured on the device afterwards; empty if they were not."""
    kept: bool | None = None
    """True if it still stands on the front with its measured scores; None if none were measured."""
    errors: Scores = field(default_factory=dict)
    """Standard errors of scores, by metric, where they are known."""
    estimates: Mapping[str, ShrunkenEstimate] = field(default_factory=dict)
    """Shrunken estimates of noisy scores, by metric."""
    precision: str | None = None
    """Precision that the search chose for it; None where a tier does not list any."""
    paired: PairedCounts | None = None
    """Samples on which it differs from itself in fp32, where that is known."""

    @property
    def candidate(self) -> Architecture:
        """The architecture with its precision, as the search proposed it: unique on a front."""
        return candidate_of(self.architecture, self.precision)

    @property
    def name(self) -> str:
        """Key of the architecture, with the precision if it has one."""
        return candidate_label(self.candidate)

    @property
    def precision_entry(self) -> dict[str, Any]:
        """The precision, ready for JSON under the key `precision`; empty where there is none."""
        return {} if self.precision is None else {"precision": self.precision}

    @property
    def final(self) -> dict[str, float]:
        """The scores, measured ones in place of predicted ones."""
        return {**self.scores, **self.measured}

    @property
    def expected(self) -> dict[str, float]:
        """The scores that networks are compared by: the final ones, estimates in place of noisy ones."""
        return {**self.final, **{metric: estimate.value for metric, estimate in self.estimates.items()}}

    @property
    def estimates_entry(self) -> dict[str, Any]:
        """The estimates, ready for JSON under the key `estimates`; empty where there are none."""
        each = {metric: asdict(estimate) for metric, estimate in self.estimates.items()}
        return {"estimates": each} if each else {}


def tier_front(
    evaluations: Iterable[Evaluation],
    tier: Tier,
    origin: Mapping[str, str] | None = None,
    estimates: Mapping[str, ShrunkenEstimate] | None = None,
) -> list[FrontPoint]:
    """Return the tier's front among the evaluations that compete for it, by its last objective, picks marked.

    `estimates` of their quality, by key, stand in the place of noisy scores.
    """
    known, metric = estimates or {}, tier.quality.metric
    rows = {e.architecture.key: e for e in evaluations if e.competes(tier)}
    points = [
        FrontPoint(
            architecture,
            dict(row.scores),
            dict(origin or {}),
            estimates={metric: known[key]} if key in known else {},
            precision=precision,
        )
        for key, row in rows.items()
        for architecture, precision in [split_candidate(row.architecture)]
    ]
    return unbeaten(points, tier)


def unbeaten(points: Sequence[FrontPoint], tier: Tier) -> list[FrontPoint]:
    """Return the points that no other one beats, by the tier's last objective, picks marked."""
    last = tier.objectives[-1]
    chosen = [points[index] for index in front([point.expected for point in points], tier.objectives)]
    chosen.sort(key=lambda point: (last.cost(point.expected[last.metric]), point.candidate.key))
    return label_picks(chosen, tier)


def label_picks(points: Sequence[FrontPoint], tier: Tier) -> list[FrontPoint]:
    """Return the same points with `fastest`, `best` and `knee` marked among those that were not struck off."""
    standing = [index for index, point in enumerate(points) if point.kept is not False]
    names: dict[int, tuple[str, ...]] = {}
    if standing:
        for name, position in picks([points[index].expected for index in standing], tier.objectives).items():
            names[standing[position]] = (*names.get(standing[position], ()), name)
    return [replace(point, picks=names.get(index, ())) for index, point in enumerate(points)]


def rerank_measured(points: Sequence[FrontPoint], tier: Tier, measured: Mapping[str, Scores]) -> list[FrontPoint]:
    """Return the points with their measured scores (key of the candidate -> scores), ranked again.

    A point is not kept when, by the measured scores, another one beats it or it breaks a limit.
    """
    known = [replace(point, measured=dict(measured.get(point.candidate.key, {}))) for point in points]
    fit = [index for index, point in enumerate(known) if not tier.broken(point.final)]
    kept = {fit[position] for position in front([known[index].expected for index in fit], tier.objectives)}
    return label_picks([replace(point, kept=index in kept) for index, point in enumerate(known)], tier)


@final
class Archive:
    """A front that grows evaluation by evaluation, in time that goes with the front and not with the trials."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.front: list[Evaluation] = []
        self._costs = np.empty((0, len(tier.objectives)))
        self._corners: list[Scores] = []
        self._volume: float | None = 0.0

    @property
    def reference(self) -> dict[str, float]:
        """A point just worse than all that was taken in; it only ever moves outwards."""
        return reference_point(self._corners, self.tier.objectives)

    def add(self, evaluation: Evaluation) -> bool:
        """Take in an evaluation and return whether the front's outline changed."""
        if not evaluation.competes(self.tier):
            return False
        self._widen(evaluation.scores)
        cost = costs_of([evaluation.scores], self.tier.objectives)
        if (self._costs <= cost).all(axis=1).any():
            if (self._costs == cost).all(axis=1).any():
                self._keep(evaluation, cost, np.ones(len(self.front), dtype=bool))
            return False
        self._keep(evaluation, cost, ~(cost <= self._costs).all(axis=1))
        return True

    def hypervolume(self, reference: Scores) -> float:
        """Return the front's hypervolume against a reference point."""
        return hypervolume([evaluation.scores for evaluation in self.front], self.tier.objectives, reference)

    @property
    def volume(self) -> float:
        """The hypervolume against `reference`; it never falls, and is computed again only after a change."""
        if self._volume is None:
            self._volume = self.hypervolume(self.reference)
        return self._volume

    def _widen(self, scores: Scores) -> None:
        seen = [*self._corners, scores]
        corners: list[Scores] = [
            {o.metric: edge(row[o.metric] for row in seen) for o in self.tier.objectives} for edge in (min, max)
        ]
        if corners != self._corners:
            self._corners, self._volume = corners, None

    def _keep(self, evaluation: Evaluation, cost: Any, stays: Any) -> None:
        self.front = [old for old, stay in zip(self.front, stays, strict=True) if stay] + [evaluation]
        self._costs = np.concatenate([self._costs[stays], cost])
        self._volume = None


def hypervolume_history(evaluations: Iterable[Evaluation], tier: Tier, reference: Scores) -> list[float]:
    """Return the hypervolume after each evaluation, against one reference point."""
    archive, history = Archive(tier), [0.0]
    for evaluation in evaluations:
        history.append(archive.hypervolume(reference) if archive.add(evaluation) else history[-1])
    return history[1:]


# --- files ---


def write_front(path_json: Path, path_csv: Path, points: Sequence[FrontPoint]) -> None:
    """Write the front as a JSON list and as a flat CSV; each file is whole at every moment."""
    write_file(path_json, json.dumps([_as_dict(point) for point in points], indent=1, allow_nan=False) + "\n")
    write_file(path_csv, csv_text(front_rows(points)))


def read_front(path: Path) -> list[FrontPoint]:
    """Return the front in a JSON file that `write_front` wrote.

    Raises:
        RunError: the file is missing or damaged; the field is named.
    """
    try:
        points = loads(read_regular(path))
        if not isinstance(points, list):
            raise FieldError("it is no list")
        return [_point(Fields(raw, f"[{number}]")) for number, raw in enumerate(points)]
    except (OSError, FieldError) as error:
        raise RunError(
            f"no front can be read here ({reason(error)})",
            where=str(path),
            allowed="A front is a list of objects with key, architecture, scores, origin and picks",
            do="Run the search again; scores that are stored are not computed again",
        ) from error


def _point(fields: Fields) -> FrontPoint:
    return FrontPoint(
        architecture_field(fields),
        fields.number_map("scores"),
        fields.text_map("origin"),
        fields.texts("picks"),
        fields.number_map("measured") if fields.optional("measured") else {},
        fields.flag("kept") if fields.optional("kept") else None,
        fields.number_map("errors") if fields.optional("errors") else {},
        _estimates(fields.object("estimates")) if fields.optional("estimates") else {},
        fields.text("precision") if fields.optional("precision") else None,
        paired_field(fields),
    )


def _estimates(fields: Fields) -> dict[str, ShrunkenEstimate]:
    each = {metric: fields.object(metric) for metric in fields.names()}
    return {metric: ShrunkenEstimate(one.number("value"), one.number("error")) for metric, one in each.items()}


def _as_dict(point: FrontPoint) -> dict[str, Any]:
    after: dict[str, Any] = {"errors": dict(point.errors)} if point.errors else {}
    after |= point.estimates_entry
    if point.paired is not None:
        after["paired"] = point.paired.as_dict()
    if point.kept is not None:
        after |= {"measured": dict(point.measured), "kept": point.kept}
    return {
        "key": point.architecture.key,
        "architecture": point.architecture.as_dict(),
        **point.precision_entry,
        "scores": dict(point.scores),
        "origin": dict(point.origin),
        "picks": list(point.picks),
        **after,
    }


def front_rows(points: Iterable[FrontPoint]) -> list[dict[str, Any]]:
    """Return a row for each network: scores by metric with origins, errors and measured values, then its choices."""
    return [_flat(point) for point in points]


def _flat(point: FrontPoint) -> dict[str, Any]:
    row: dict[str, Any] = {"key": point.architecture.key, **point.precision_entry, "picks": " ".join(point.picks)}
    row |= point.scores
    row |= {f"{metric} origin": word for metric, word in point.origin.items()}
    row |= {f"{metric} error": value for metric, value in point.errors.items()}
    for metric, estimate in point.estimates.items():
        row |= {f"{metric} estimate": estimate.value, f"{metric} estimate error": estimate.error}
    if point.paired is not None:
        row |= point.paired.entry
    if point.kept is not None:
        row |= {f"{metric} measured": value for metric, value in point.measured.items()} | {"kept": point.kept}
    return row | point.architecture.columns
