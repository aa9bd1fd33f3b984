"""The front of a tier, by its finder: the search, or successive halving. All reading of fronts is done here.

A front is valid as it was written only under the conditions that it was found under. Where the tier or its set-up has
changed since, it is solved again from stored accuracies, which is reported; where the accuracies are of something else,
it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwnas.accuracy import AccuracySource
from hwnas.errors import HwnasError, RunError
from hwnas.pareto import Tier
from hwnas.problem.fronts.conditions import OF_RUN, OF_TIER, Conditions, conditions_of, read_conditions
from hwnas.rows import frame, html_table
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import FrontPoint, front_rows, read_front
from hwnas.search.nearest import nearest
from hwnas.search.precision import candidate_label
from hwnas.search.successive_halving import tier_for_rung
from hwnas.space import Architecture
from hwnas.words import brief
from hwnas.workspace.results.halving_results import (
    HALVING_FOLDER,
    HalvingResult,
    halving_front_path,
    halving_path,
    load_halving_result,
    no_halving,
    passed_by,
)
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from pandas import DataFrame

    from hwnas.problem.cost_models import CostModels

FrontSource = Literal["search", "halving"]


@brief
@dataclass(frozen=True)
class LoadedFront:
    """A front, and what its numbers mean."""

    by: FrontSource
    tier: Tier
    """As its finder sees it: the score of the last rung of successive halving stands in the place of accuracy."""
    source: AccuracySource
    """Source of that accuracy."""
    points: tuple[FrontPoint, ...]
    folder: Path
    """Folder that its files are exported to."""
    halving: HalvingResult | None = None
    """The rungs, of a front of successive halving."""
    conditions: Conditions | None = None
    """Conditions that its numbers hold under; None of one that was just solved for."""
    solved_for: tuple[str, ...] = ()
    """Changes for which it was solved again, a line each; empty if it is the front that was written."""
    evaluations: tuple[Evaluation, ...] = ()
    """The networks that a front that was solved again was chosen from."""

    def frame(self) -> DataFrame:
        """Return a row for each network, as in the CSV file of the front."""
        return frame(front_rows(self.points))

    def _repr_html_(self) -> str:
        return html_table(f"Front of {self.display_name}", front_rows(self.points))

    @property
    def producer(self) -> str | None:
        """Producer of the last rung's scores."""
        return None if self.halving is None else self.halving.top_rung.producer

    def weights(self, run: Workspace, architecture: Architecture) -> Path | None:
        """Return the file of the weights with which the last rung scored an architecture, if they were kept."""
        if self.halving is None:
            return None
        from hwnas.accuracy.trained import training_folder, weights_path

        folder = training_folder(run.folder, self.halving.scores[-1])
        path = weights_path(folder, self.halving.top_rung.producer, architecture)
        return path if path.exists() else None

    @property
    def display_name(self) -> str:
        """The tier, as it is shown."""
        return self.tier.name if self.halving is None else f"{self.tier.name}, halving"

    @property
    def standing(self) -> tuple[FrontPoint, ...]:
        """The networks that were not struck off by what was measured."""
        return tuple(point for point in self.points if point.kept is not False)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that stand with the front wherever it is shown."""
        if not self.solved_for:
            return ()
        since = "; ".join(self.solved_for)
        text = f"Solved again from {len(self.evaluations):,} stored accuracies, not as it was searched: {since}."
        near = nearest(((candidate_label(e.architecture), e.scores) for e in self.evaluations), self.tier)
        empty = "" if self.points or near is None else f"None of them holds the limits; {near}."
        return (text, empty) if empty else (text,)


def front_file(run: Workspace, name: str, by: FrontSource) -> Path:
    """Return the file of a tier's front."""
    return run.paths.front(name) if by == "search" else halving_front_path(run, name)


def finder_of(run: Workspace, name: str) -> FrontSource:
    """Return the finder of a tier's front: the search, or successive halving where nothing was searched."""
    return "halving" if not run.paths.front(name).exists() and halving_path(run, name).exists() else "search"


def load_front(run: Workspace, name: str, by: FrontSource | None = None, *, producer: str | None = None) -> LoadedFront:
    """Return a tier's front under the conditions of the experiment as it is now.

    Args:
        run: the run.
        name: of the tier.
        by: whose front; if left out that of the search, and that of successive halving where none was searched.
        producer: what makes the run's accuracies now, if it is known; the front of another one is refused.

    Raises:
        RunError: it is missing or damaged, or its accuracies are of something else than the experiment asks for.
        TableError: the set-up has changed, and there is no table of it.
    """
    by = by or finder_of(run, name)
    front, path = _written(run, name, by), front_file(run, name, by)
    known, why = _known(path)
    now = _current(run, name, by, known)
    known = known or _vouched(run, front, now)
    if known is None:
        return _solved_again(run, front, now, (why,), producer)
    if changed := known.unlike(now, OF_RUN):
        raise _refused(run, front, path, changed, "accuracies of other conditions are not these networks'")
    if producer is not None and by == "search" and known.producer != producer:
        changed = [f"accuracies of `{known.producer}` then, `{producer}` now"]
        raise _refused(run, front, path, changed, "the weights were trained anew since")
    if changed := known.unlike(now, OF_TIER):
        try:
            return _solved_again(run, front, now, changed, known.producer)
        except HwnasError as error:
            raise _refused(run, front, path, changed, f"{error.where}: {error.met}", error) from error
    return replace(front, conditions=known)


def check_front_exists(run: Workspace, by: FrontSource | None = None) -> None:
    """Refuse a run of which a tier has no front yet; nothing of a front is read.

    Raises:
        RunError: it is one.
    """
    for name in run.experiment.tiers:
        finder = by or finder_of(run, name)
        if finder == "halving" and not halving_path(run, name).exists():
            raise no_halving(run, name)
        if finder == "search" and not run.paths.front(name).exists():
            raise _no_front(run, name)


def _no_front(run: Workspace, name: str) -> RunError:
    return RunError(
        f"tier `{name}` has no front yet",
        where=str(run.paths.front(name)),
        allowed="A front is what `hwnas search` or `hwnas halving` leaves",
        do=f"Run `hwnas search {run.experiment.name}` first",
    )


def solved_again(run: Workspace, front: LoadedFront, why: str) -> LoadedFront:
    """Return a front that is solved again because what it rests on is gone.

    Raises:
        HwnasError: nothing is stored that it could be solved from.
    """
    assert front.conditions is not None
    return _solved_again(run, front, front.conditions, (why,), front.conditions.producer)


def _current(run: Workspace, name: str, by: FrontSource, known: Conditions | None) -> Conditions:
    """Return the conditions of the experiment as it is now; for halving, `known` ones count where it names no rungs."""
    if by == "search":
        return conditions_of(run, name)
    rungs = run.experiment.search.successive_halving
    if rungs or known is None:
        return conditions_of(run, name, rungs[-1] if rungs else None)
    own = conditions_of(run, name, quality=known.tier(name).quality)
    kept = {part: known.parts[part] for part in ("accuracy", "data", "train")}
    return replace(own, parts={**own.parts, **kept})


def conditions_known(run: Workspace, name: str, by: FrontSource) -> tuple[Conditions | None, Conditions]:
    """Return the conditions of a tier's front, None if they are not known, and those of the experiment as it is now.

    Raises:
        RunError: the front, or what it was found under, cannot be read.
    """
    known, _ = read_conditions(front_file(run, name, by))
    now = _current(run, name, by, known)
    return known or _vouched(run, _written(run, name, by), now), now


def refuse_other_accuracies(run: Workspace, name: str, by: FrontSource) -> None:
    """Refuse stored accuracies that are known to be of another space, data, training, seed or source than is asked for.

    Raises:
        RunError: they are, by what a tier's front was found under.
    """
    path = front_file(run, name, by)
    if not path.exists():
        return
    known, _ = _known(path)
    if known is not None and (changed := known.unlike(_current(run, name, by, known), OF_RUN)):
        why = "accuracies of other conditions are not these networks'"
        raise _refused(run, _written(run, name, by), path, changed, why)


def _known(path: Path) -> tuple[Conditions | None, str]:
    try:
        return read_conditions(path)
    except RunError as error:
        return None, error.met


def _vouched(run: Workspace, front: LoadedFront, now: Conditions) -> Conditions | None:
    """Return the conditions of the study that a front of an earlier version belongs to."""
    if front.by == "halving":
        return None
    from hwnas.problem.fronts.vouching import vouched

    return vouched(run, front.tier, front.points, now)


def _written(run: Workspace, name: str, by: FrontSource) -> LoadedFront:
    """Return a front as its finder wrote it."""
    if by == "halving":
        result = load_halving_result(run, name)
        return LoadedFront(
            by, result.top_rung.tier, result.source, result.front, run.folder / HALVING_FOLDER / "bundle" / name, result
        )
    if not run.paths.front(name).exists():
        raise _no_front(run, name)
    points = tuple(read_front(run.paths.front(name)))
    return LoadedFront(by, run.objectives.tier(name), run.source, points, run.folder / "bundle" / name)


def _solved_again(
    run: Workspace, front: LoadedFront, now: Conditions, changed: Sequence[str], producer: str | None
) -> LoadedFront:
    """Return the front of stored accuracies under the present conditions, with what was measured under them."""
    from hwnas.problem.cost_models import cost_model_of_table
    from hwnas.problem.fronts.remeasure import timed_before
    from hwnas.problem.resolve import answer

    name, measured = front.tier.name, run.objectives.tier(front.tier.name, measured=True)
    setups = run.experiment.setups_of(name).values()
    live = run.objectives.is_live(name) or run.objectives.is_published(name)
    cost_models: Mapping[str, CostModels] = {} if live else {one: cost_model_of_table(run, one) for one in setups}
    if front.halving is not None:
        producer, measured = (
            front.halving.top_rung.producer,
            tier_for_rung(measured, front.halving.top_rung.tier.quality),
        )
    solved = answer(run, front.tier, front.source, cost_models, producer)
    points = tuple(timed_before(run, solved.points, measured))
    points = points if front.halving is None else passed_by(front.halving, points)
    conditions = replace(now, producer=solved.producer)
    return replace(
        front, points=points, conditions=conditions, solved_for=tuple(changed), evaluations=solved.evaluations
    )


def _refused(
    run: Workspace, front: LoadedFront, path: Path, changed: Sequence[str], why: str, error: HwnasError | None = None
) -> RunError:
    verb = "search" if front.halving is None else "halving"
    return RunError(
        f"the front of `{front.display_name}` was found under other conditions ({'; '.join(changed)})",
        where=str(path),
        allowed=f"A front is read under the conditions that it was found under, or solved again from what is stored; "
        f"here {why}",
        do=error.do
        if error is not None
        else f"Restore the experiment; or run `{run.command(verb)}`, under a new "
        "`name` where the training is another one",
    )
