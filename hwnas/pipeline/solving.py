"""A run solved again, for another set-up or other limits: from stored accuracies and a table, without training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.config import SetupConfig, TierConfig, parse_setup, parse_tier
from hwnas.errors import ConfigError, NoScore, RunError, TableError, did_you_mean
from hwnas.latency.model import LatencyModel
from hwnas.latency.table import read_table
from hwnas.network import known_operators
from hwnas.pareto import Tier
from hwnas.pipeline.climbs import last_rung
from hwnas.pipeline.found import Finder, Found
from hwnas.pipeline.pricing import Priced, cheap_scorers, latency_origin, priced_setup
from hwnas.pipeline.searching import origins_of
from hwnas.pipeline.workspace import Run, open_run
from hwnas.search.evaluate import Evaluation, Scorer
from hwnas.search.fronts import FrontPoint, tier_front
from hwnas.search.halving import tier_at
from hwnas.search.store import Score, ScoreStore
from hwnas.shipped import find_file

NAME = "solved"
"""Of the tier that is solved for."""


@dataclass(frozen=True)
class Solved:
    """The front of stored accuracies under other limits, or on another set-up."""

    run: Run
    """The run with the tier that was solved for."""
    found: Found
    stored: int
    """So many networks have an accuracy."""
    left_out: int
    """Stored accuracies of other producers, which do not mix with these."""
    unpriced: int
    """Networks for which the set-up tells no latency."""

    @property
    def tier(self) -> Tier:
        """The tier that was solved for."""
        return self.found.tier

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """What stands on its front."""
        return self.found.points

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "limits": list(map(str, self.tier.limits)), "stored": self.stored, "left_out": self.left_out,
            "unpriced": self.unpriced,
            "front": [
                {"key": p.architecture.key, "architecture": p.architecture.as_dict(), "scores": dict(p.scores),
                 "origin": dict(p.origin), "picks": list(p.picks)}
                for p in self.front
            ],
        }  # fmt: skip


def solve(
    reference: str | Path,
    *,
    setup: str | None = None,
    limits: Sequence[str] = (),
    front: Finder = "search",
    runs: Path = Path("runs"),
) -> Solved:
    """The front of what a run has accuracies of, on a set-up and within limits. Nothing is trained, timed or written.

    Args:
        reference: of the run.
        setup: a set-up of the experiment, or a latency table; may be left out where the experiment has one set-up.
        limits: `latency_ms=20`, `params=1e6`, `top1=0.9`, ...
        front: whose accuracies: those of the search, or those of the ladder's last rung.
        runs: folder of runs.

    Raises:
        ConfigError: no such set-up, a limit that is none, or limits that no stored network meets: the nearest is named.
        RunError: no accuracy is stored.
        TableError: the table cannot be used.
    """
    run = open_run(reference, runs=runs)
    rung, source = last_rung(run) if front == "ladder" else (None, run.source)
    run, prices = _with_tier(run, setup, limits)
    config = run.experiment.tiers[NAME]
    tier = run.tier(NAME) if rung is None else tier_at(run.tier(NAME), rung.metric)
    accuracy = tier.objectives[0].metric
    scores, left_out = _stored(run, accuracy, None if rung is None else rung.producer)
    scorers = cheap_scorers(run, NAME, prices)
    if untold := [limit.metric for limit in tier.limits if limit.metric not in {*scorers, accuracy}]:
        raise ConfigError(
            f"nothing tells `{untold[0]}`", where="--limit", allowed=did_you_mean(untold[0], [*scorers, accuracy]),
            do="Leave the limit out, or name a set-up of the experiment whose table holds it",
        )  # fmt: skip
    evaluations = [found for score in scores if (found := _evaluation(score, scorers, tier)) is not None]
    unpriced = len(scores) - len(evaluations)
    points = tier_front(evaluations, tier, origins_of(tier, source.origin))
    if not points:
        raise _nothing_near(run, tier, evaluations, unpriced)
    latency = tier.objectives[1].metric

    def origin(point: FrontPoint) -> str:
        if run.is_published(NAME):
            return "published"
        return latency_origin(prices[config.setup].model, run.network(point.architecture))

    points = [FrontPoint(p.architecture, p.scores, {**p.origin, latency: origin(p)}, p.picks) for p in points]
    solved = Found(front, tier, source, tuple(points), run.folder)
    return Solved(run, solved, len(scores), left_out, unpriced)


def _with_tier(run: Run, setup: str | None, limits: Sequence[str]) -> tuple[Run, dict[str, Priced]]:
    """The run with the tier that is solved for alone, and what prices its networks."""
    name, config, prices = _setup(run, setup)
    raw: dict[str, Any] = {"setup": name, "limits": dict(map(_limit, limits))}
    tier: TierConfig = parse_tier(raw, where="--limit")
    setups = {**run.experiment.setups, name: config}
    experiment = run.experiment.model_copy(update={"setups": setups, "tiers": {NAME: tier}})
    opened = replace(run, experiment=experiment)
    opened.source  # noqa: B018 - a limit on an accuracy that is none is told
    if config.latencies is not None and (asked := tier.asks_of_a_table):
        raise ConfigError(
            f"`{asked[0]}` is limited", where=f"--setup {name}", allowed="A published set-up tells latencies alone",
            do="Leave the limit out",
        )  # fmt: skip
    if not prices and opened.predicts(name):
        if not (path := opened.table_path(name)).exists():
            raise TableError(
                "there is no table yet", where=str(path), allowed="A latency is predicted from a set-up's table",
                do=f"Run `{run.command('bench')}`, or name another table",
            )  # fmt: skip
        prices = {name: priced_setup(opened, name)}
    return opened, prices


def _setup(run: Run, given: str | None) -> tuple[str, SetupConfig, dict[str, Priced]]:
    known = run.experiment.setups
    if given is None and len(known) == 1:
        given = next(iter(known))
    if given is None:
        raise ConfigError(
            "no set-up is named", where="--setup", allowed=f"The experiment has {', '.join(known)}; or a latency table",
            do="Name one with --setup",
        )  # fmt: skip
    if given in known:
        return given, known[given], {}
    if "/" not in given and "." not in given and not Path(given).exists():
        raise ConfigError(
            f"there is no set-up `{given}`", where="--setup",
            allowed=f"{did_you_mean(given, known)}; or a latency table",
            do="Name a set-up of the experiment, or the file of a table",
        )  # fmt: skip
    table = read_table(find_file(given, "latency_tables"))
    told = table.setup
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(given).stem).lstrip("_.-") or "table"
    config = parse_setup(
        {"runtime": told.runtime, "threads": told.threads, "batch": told.batch, "precision": told.precision,
         "accelerator": told.accelerator, "device": told.device, "table": str(table.path), "missing": "estimate"},
        where=f"--setup {table.path}",
    )  # fmt: skip
    model = LatencyModel.of(table, missing="estimate", operators=known_operators(run.space))
    return name, config, {name: Priced(table, model)}


def _limit(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(
            f"`{text}` is no limit", where="--limit", allowed="The form is NAME=VALUE, such as latency_ms=20",
            do="Write it so; --limit can be given more than once",
        )  # fmt: skip
    return name.strip(), value.strip()


def _stored(run: Run, accuracy: str, producer: str | None) -> tuple[list[Score], int]:
    """The accuracies of the producer, else of the one that scored last, and how many there are of others."""
    store = ScoreStore.open(run.folder / "scores.jsonl")
    known = [score for score in store.scores if score.metric == accuracy and score.value is not None]
    if not known:
        raise RunError(
            f"no `{accuracy}` is stored", where=str(store.path),
            allowed="A run is solved again from what it scored",
            do=f"Run `{run.command('search')}` first",
        )  # fmt: skip
    producer = producer or max(known, key=lambda score: score.at).producer
    chosen = [score for score in known if score.producer == producer]
    return chosen, len(known) - len(chosen)


def _evaluation(score: Score, scorers: Mapping[str, Scorer], tier: Tier) -> Evaluation | None:
    try:
        cheap = {metric: float(scorer(score.architecture)) for metric, scorer in scorers.items()}
    except NoScore:
        return None
    assert score.value is not None
    found = {**cheap, score.metric: score.value}
    return Evaluation(score.architecture, found, tier.broken(found))


def _nothing_near(run: Run, tier: Tier, evaluations: Sequence[Evaluation], unpriced: int) -> ConfigError:
    """The error for limits that nothing meets, with the network that breaks them least."""
    if not evaluations:
        return ConfigError(
            f"the set-up tells no latency of the {unpriced:,} networks with an accuracy", where=f"run {run.folder}",
            allowed="A latency comes from a table's rows, or from a file's", do="Name another set-up",
        )  # fmt: skip

    def excess(evaluation: Evaluation) -> float:
        over = (limit.excess(evaluation.scores[limit.metric]) / (abs(limit.bound) or 1.0) for limit in tier.limits)
        return sum(max(0.0, one) for one in over)

    nearest = min(evaluations, key=excess)
    shown = ", ".join(f"{limit.metric} {nearest.scores[limit.metric]:.4g}" for limit in tier.limits)
    return ConfigError(
        f"none of {len(evaluations):,} networks with an accuracy meets the limits {', '.join(map(str, tier.limits))}",
        where=f"run {run.folder}",
        allowed=f"The nearest, {nearest.architecture.key}, has {shown}",
        do="Loosen a limit, or add a tier with these limits to the experiment and search it",
    )
