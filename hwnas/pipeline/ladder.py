"""The ladder: a population on a cheap score, the best of it on dearer ones, by successive halving."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.config import RungConfig
from hwnas.errors import ConfigError
from hwnas.pipeline.accuracy import ingredients_of, made
from hwnas.pipeline.feasibility import check_limits
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.pricing import Priced, known_scores, priced_setups
from hwnas.pipeline.runners import cost_scorers
from hwnas.pipeline.searching import standing
from hwnas.pipeline.training import supernet_of
from hwnas.pipeline.workspace import Run, open_run
from hwnas.proxies import Accuracy, source_of
from hwnas.search.fronts import FrontPoint, read_front, write_front, write_whole
from hwnas.search.halving import Climbed, Rung, draw, halve
from hwnas.search.store import ScoreStore
from hwnas.space import Architecture

if TYPE_CHECKING:
    from hwnas.pipeline.training import Trained


@dataclass(frozen=True)
class Climb:
    """A tier's way up the ladder, and the front among the networks of the last rung."""

    tier: str
    rungs: tuple[Climbed, ...]
    front: tuple[FrontPoint, ...]

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form; the front stands in files of its own."""
        return {"tier": self.tier, "rungs": [_rung_dict(rung) for rung in self.rungs]}


def ladder(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> list[Climb]:
    """Climb the experiment's ladder for each tier. Scores are kept one by one: the same command continues.

    The population is the front that a search found, if there is one, the smallest and the largest network, and random
    ones, all within the limits on what costs nothing to know.

    Raises:
        ConfigError: the experiment has no ladder, or a rung names a score that is not there.
        RunError: a rung needs a supernet that was not trained.
    """
    run, narrator = open_run(reference, runs=runs), narrator or Silent()
    _check(run)
    with run.opened(), run.timed("ladder"):
        prices = priced_setups(run)
        check_limits(run, prices)
        trained = supernet_of(run, narrator)
        scores = [_score(run, trained, rung) for rung in run.experiment.search.ladder]
        store = ScoreStore.open(run.folder / "scores.jsonl")
        for notice in store.notices:
            narrator.say(notice)
        return [_climb(run, name, scores, prices, store, narrator) for name in run.experiment.tiers]


def _check(run: Run) -> None:
    where = f"experiment `{run.experiment.name}`: search.ladder"
    if not run.experiment.search.ladder:
        raise ConfigError(
            "the experiment has no ladder",
            where=where,
            allowed="Rungs from cheap to dear: [{score: inherited, networks: 100}, {score: short, networks: 10}]",
            do="Add `search.ladder`",
        )
    for rung in run.experiment.search.ladder:
        source_of(rung.score, where=where)


def _score(run: Run, trained: Trained | None, rung: RungConfig) -> tuple[RungConfig, Accuracy]:
    """A rung with what it scores by."""
    ingredients = ingredients_of(run, trained)
    settings = ingredients.settings
    settings = replace(settings, source=rung.score, epochs=rung.epochs or settings.epochs)
    source = source_of(rung.score, where="search.ladder")
    return rung, made(source, replace(ingredients, settings=settings))


def _climb(
    run: Run,
    name: str,
    scores: Sequence[tuple[RungConfig, Accuracy]],
    prices: Mapping[str, Priced],
    store: ScoreStore,
    narrator: Narrator,
) -> Climb:
    rungs = [Rung(_metric(rung.score), rung.networks, accuracy, accuracy.producer) for rung, accuracy in scores]
    population = _population(run, name, rungs[0].networks, prices)
    before = [0, *(rung.networks for rung in rungs)]
    with narrator.bar(f"climbing the ladder of {name}") as bar:

        def show(number: int, done: int, of: int) -> None:
            bar.update(sum(before[: number + 1]) + done, sum(before), f"{rungs[number].metric}: {done} of {of}")

        climbed = halve(population, rungs, run.tier(name), cost_scorers(run, name, prices, narrator), store, show)
        bar.update(sum(before), sum(before), "done")
    last, accuracy = climbed[-1], scores[-1][1]
    origin = source_of(scores[-1][0].score, where="search.ladder").origin
    front = standing(run, name, last.tier, last.evaluations, prices, origin, accuracy)
    climb = Climb(name, tuple(climbed), tuple(front))
    folder = run.folder / "ladder"
    write_whole(folder / f"{name}.json", json.dumps(climb.as_dict(), indent=1, allow_nan=False) + "\n")
    write_front(folder / f"{name}-front.json", folder / f"{name}-front.csv", climb.front)
    return climb


def _metric(score: str) -> str:
    return f"{source_of(score, where='search.ladder').quantity}@{score.rpartition(':')[2]}"


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


def _rung_dict(rung: Climbed) -> dict[str, Any]:
    promoted = {architecture.key for architecture in rung.promoted}
    return {
        "metric": rung.metric,
        "producer": rung.producer,
        "networks": len(rung.evaluations),
        "failed": rung.failed,
        "promoted": len(promoted),
        "elapsed_s": round(rung.elapsed_s, 3),
        "evaluations": [
            {
                "key": one.architecture.key,
                "scores": dict(one.scores),
                "broken": list(one.broken),
                "failed": one.failed,
                "promoted": one.architecture.key in promoted,
            }
            for one in rung.evaluations
        ],
    }
