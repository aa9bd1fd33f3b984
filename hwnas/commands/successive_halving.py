"""The ladder: a population on a cheap score, the best of it on dearer ones, by successive halving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.accuracy import Accuracy, source_of
from hwnas.commands.search import standing
from hwnas.config import RungConfig
from hwnas.problem.accuracy import ingredients_of, made
from hwnas.problem.conditions import conditions_of, write_conditions
from hwnas.problem.cost_models import Priced, known_scores, priced_setups
from hwnas.problem.feasibility import check_limits
from hwnas.problem.remeasure import timed_again
from hwnas.problem.workers import cost_scorers
from hwnas.search.fronts import read_front
from hwnas.search.score_store import ScoreStore
from hwnas.search.successive_halving import Rung, draw, halve, tier_at
from hwnas.space import Architecture
from hwnas.workspace.halving_results import (
    WHERE,
    Climb,
    check_ladder,
    climb_front_path,
    metric_of,
    passed_by,
    write_climb,
)
from hwnas.workspace.progress import Narrator, Silent
from hwnas.workspace.supernets import supernet_of
from hwnas.workspace.workspace import Run, open_run

if TYPE_CHECKING:
    from hwnas.workspace.supernets import Trained


def ladder(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> list[Climb]:
    """Climb the experiment's ladder for each tier and time its front. Scores are kept one by one: the same command
    continues.

    The population is the front that a search found, if there is one, the smallest and the largest network, and random
    ones, all within the limits on what costs nothing to know.

    Raises:
        ConfigError: the experiment has no ladder, or a rung names a score that is not there.
        RunError: a rung needs a supernet that was not trained.
    """
    run, narrator = open_run(reference, runs=runs), narrator or Silent()
    check_ladder(run)
    with run.opened(), run.timed("ladder"):
        prices = priced_setups(run)
        check_limits(run, prices)
        trained = supernet_of(run, narrator)
        rungs = run.experiment.search.ladder
        scores = [_score(run, trained, rung, keep=rung is rungs[-1]) for rung in rungs]
        store = ScoreStore.open(run.folder / "scores.jsonl")
        for notice in store.notices:
            narrator.say(notice)
        return [_climb(run, name, scores, prices, store, narrator) for name in run.experiment.tiers]


def _score(run: Run, trained: Trained | None, rung: RungConfig, *, keep: bool) -> tuple[RungConfig, Accuracy]:
    """A rung with what it scores by. Weights that the last rung trains are kept: they are exported."""
    ingredients = ingredients_of(run, trained)
    settings = ingredients.settings
    settings = replace(settings, source=rung.score, epochs=rung.epochs or settings.epochs)
    source = source_of(rung.score, where=WHERE)
    return rung, made(source, replace(ingredients, settings=settings, keep_weights=keep))


def _climb(
    run: Run,
    name: str,
    scores: Sequence[tuple[RungConfig, Accuracy]],
    prices: Mapping[str, Priced],
    store: ScoreStore,
    narrator: Narrator,
) -> Climb:
    conditions = conditions_of(run, name, scores[-1][0], producer=scores[-1][1].producer)
    rungs = [Rung(metric_of(rung.score), rung.networks, accuracy, accuracy.producer) for rung, accuracy in scores]
    population = _population(run, name, rungs[0].networks, prices)
    before = [0, *(rung.networks for rung in rungs)]
    with narrator.bar(f"climbing the ladder of {name}") as bar:

        def show(number: int, done: int, of: int) -> None:
            bar.update(sum(before[: number + 1]) + done, sum(before), f"{rungs[number].metric}: {done} of {of}")

        climbed = halve(population, rungs, run.tier(name), cost_scorers(run, name, prices, narrator), store, show)
        bar.update(sum(before), sum(before), "done")
    (rung, accuracy), last = scores[-1], climbed[-1]
    origin = source_of(rung.score, where=WHERE).origin
    front = standing(run, name, last.tier, last.evaluations, prices, origin, accuracy)
    front = timed_again(run, front, tier_at(run.tier(name, measured=True), last.metric), narrator)
    climb = Climb(name, tuple(rung.score for rung, _ in scores), tuple(climbed), tuple(front))
    climb = replace(climb, front=passed_by(climb, front))
    write_climb(run, climb)
    write_conditions(climb_front_path(run, name), conditions)
    return climb


def _population(run: Run, name: str, count: int, prices: Mapping[str, Priced]) -> list[Architecture]:
    """Networks that hold the limits on what costs nothing; those that a search liked come first."""
    known = known_scores(run, name, prices)
    found = read_front(run.front_path(name)) if run.front_path(name).exists() else []
    return draw(
        run.space,
        count,
        run.experiment.seed,
        lambda architecture: known(architecture) is not None,
        first=[*(point.architecture for point in found), run.space.smallest(), run.space.largest()],
    )
