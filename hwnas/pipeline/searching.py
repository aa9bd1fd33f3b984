"""Searching the tiers of a run, and timing their fronts again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError
from hwnas.latency.model import LatencyModel
from hwnas.latency.size import predict_file_bytes
from hwnas.latency.table import LatencyTable, check_key, open_table
from hwnas.network import costs
from hwnas.pareto import Tier
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.timing import fill, runtime_of
from hwnas.pipeline.workspace import ACCURACY, Run, open_run
from hwnas.search.evaluate import Evaluation, Scorer, evaluate
from hwnas.search.fronts import FrontPoint, read_front, remeasured, tier_front, write_front
from hwnas.search.plan import Plan
from hwnas.search.store import ScoreStore
from hwnas.search.study import Finished, Progress, Study, open_study

if TYPE_CHECKING:
    from hwnas.pipeline.training import Trained
    from hwnas.proxies.inherited import InheritedAccuracy

PROBES = 2000
"""Random networks from which the reachable range of a limited metric is told."""


@dataclass(frozen=True)
class Searched:
    """A tier after its search."""

    tier: Tier
    finished: Finished
    evaluations: tuple[Evaluation, ...]
    front: tuple[FrontPoint, ...]


def search(
    reference: str | Path, *, runs: Path = Path("runs"), trials: int | None = None, narrator: Narrator | None = None
) -> list[Searched]:
    """Search all tiers of an experiment whose tables and supernet are there; started again, it continues."""
    from hwnas.pipeline.training import load_run

    run = open_run(reference, runs=runs)
    with run.opened():
        prices = priced_setups(run)
        check_limits(run, prices)
        return search_run(run, load_run(run), prices, narrator or Silent(), trials=trials)


def searched_before(run: Run, trained: Trained, prices: Mapping[str, Priced]) -> list[Searched]:
    """The tiers of a searched run, as its folder holds them.

    Raises:
        RunError: a front is missing or damaged.
    """
    found, proxy = [], inherited(run, trained)
    for name in run.experiment.tiers:
        study = _open_study(run, name, proxy, prices)
        finished = Finished(
            len(study.evaluations), sum(e.failed is not None for e in study.evaluations), "all were told"
        )
        found.append(Searched(study.plan.tier, finished, study.evaluations, tuple(read_front(run.front_path(name)))))
    return found


@dataclass(frozen=True)
class Priced:
    """A set-up's table and the model that was inferred from it."""

    table: LatencyTable
    model: LatencyModel

    @property
    def digest(self) -> str:
        """What the model was inferred from: latencies of unlike tables do not mix in a study."""
        return hashlib.sha256(self.table.path.read_bytes()).hexdigest()[:12]


def priced_setups(run: Run) -> dict[str, Priced]:
    """Table and model of each set-up that a tier uses.

    Raises:
        TableError: a table is missing, damaged or of another set-up.
    """
    found = {}
    for name in dict.fromkeys(tier.setup for tier in run.experiment.tiers.values()):
        table = open_table(run.table_path(name), runtime_of(run.experiment.setups[name]).setup)
        found[name] = Priced(table, LatencyModel.of(table, bench=f"hwnas bench {run.experiment.name}"))
    return found


def cheap_scorers(run: Run, setup: str, prices: Mapping[str, Priced]) -> dict[str, Scorer]:
    """Everything about an architecture that needs no training, by metric."""
    price = prices[setup]
    sized = {f"file_kib@{setup}": lambda a: predict_file_bytes(price.table, run.network(a)) / 1024}
    return {
        "params": lambda a: costs(run.network(a)).params,
        "macs": lambda a: costs(run.network(a)).macs,
        f"latency_ms@{setup}": lambda a: price.model.predict_ms(run.network(a)),
        **(sized if price.table.file_bytes else {}),
    }


def check_limits(run: Run, prices: Mapping[str, Priced]) -> None:
    """Refuse a limit that no network meets, before anything is trained.

    Raises:
        ConfigError: none of the smallest, the largest and `PROBES` random networks meets all limits of a tier; it tells
            the range that they reach.
    """
    rng = random.Random(0)
    probes = [run.space.smallest(), run.space.largest(), *(run.space.random(rng) for _ in range(PROBES))]
    for name, config in run.experiment.tiers.items():
        tier = run.tier(name)
        scorers = {
            m: s for m, s in cheap_scorers(run, config.setup, prices).items() if m in {li.metric for li in tier.limits}
        }
        scored = [{metric: scorer(probe) for metric, scorer in scorers.items()} for probe in probes] if scorers else []
        if scored and all(tier.broken(scores) for scores in scored):
            ranges = (
                f"{metric} {min(s[metric] for s in scored):.4g} to {max(s[metric] for s in scored):.4g}"
                for metric in scorers
            )
            raise ConfigError(
                f"no network meets the limits {', '.join(map(str, tier.limits))}",
                where=f"tier `{name}`",
                allowed=f"Reachable ({len(probes):,} networks looked at): {'; '.join(ranges)}",
                do="Loosen a limit, or give the space smaller options",
            )


def search_run(
    run: Run, trained: Trained, prices: Mapping[str, Priced], narrator: Narrator, *, trials: int | None = None
) -> list[Searched]:
    """Search every tier, time its front again and write it; accuracies are shared between tiers."""
    proxy = inherited(run, trained)
    with run.timed("search"):
        store = ScoreStore.open(run.folder / "scores.jsonl")
        for notice in store.notices:
            narrator.say(notice)
        searched = [_search_tier(run, name, proxy, prices, store, narrator, trials) for name in run.experiment.tiers]
    with run.timed("timing the fronts"):
        return [_timed_again(run, tier, narrator) for tier in searched]


def inherited(run: Run, trained: Trained) -> InheritedAccuracy:
    """The accuracy score of a run: inherited from its supernet, on validation images."""
    from hwnas.proxies.inherited import InheritedAccuracy
    from hwnas.supernet import calibration_images

    dataset, config = run.dataset.without_test(), run.experiment.accuracy
    calibration = calibration_images(
        dataset, count=config.calibration_batches, batch_size=config.batch_size, seed=run.experiment.seed
    )
    split = dataset.validation if config.images is None else dataset.validation.first(config.images)
    return InheritedAccuracy(trained.supernet, run.network, tuple(calibration), split, trained.weights)


def _search_tier(
    run: Run,
    name: str,
    proxy: InheritedAccuracy,
    prices: Mapping[str, Priced],
    store: ScoreStore,
    narrator: Narrator,
    trials: int | None,
) -> Searched:
    tier, config = run.tier(name), run.experiment.search
    scorers: dict[str, Scorer] = {**cheap_scorers(run, run.experiment.tiers[name].setup, prices), ACCURACY: proxy}
    producers = {ACCURACY: proxy.producer}
    study = _open_study(run, name, proxy, prices)
    for notice in study.notices:
        narrator.say(notice)
    with narrator.bar(f"searching {name}") as bar:

        def show(progress: Progress) -> None:
            best = "" if progress.best is None else f", best {progress.best:.1%}"
            text = f"front {progress.front_size}, hypervolume {progress.hypervolume:.4g}{best}"
            bar.update(progress.trials, progress.total, text)

        finished = study.run(lambda a: evaluate(a, scorers, tier, store, producers), trials or config.trials, show)
    evaluations = study.evaluations
    return Searched(tier, finished, evaluations, tuple(tier_front(evaluations, tier, _origins(tier))))


def _open_study(run: Run, name: str, proxy: InheritedAccuracy, prices: Mapping[str, Priced]) -> Study:
    tier, config = run.tier(name), run.experiment.search
    plan = Plan(
        run.space,
        tier,
        config.sampler,
        config.population,
        run.experiment.seed,
        {ACCURACY: proxy.producer, tier.objectives[1].metric: prices[run.experiment.tiers[name].setup].digest},
        first=(run.space.smallest(), run.space.largest()),
    )
    storage = config.storage or run.folder / f"study-{tier.name}.log"
    return open_study(plan, storage, name=f"{run.experiment.name}-{tier.name}")


def _origins(tier: Tier) -> dict[str, str]:
    latency = tier.objectives[1].metric
    size = latency.replace("latency_ms", "file_kib")
    return {ACCURACY: "measured", latency: "predicted", size: "predicted", "params": "derived", "macs": "derived"}


def _timed_again(run: Run, searched: Searched, narrator: Narrator) -> Searched:
    """Time the front's networks as whole files, and rank it by what was measured."""
    name, latency = searched.tier.name, searched.tier.objectives[1].metric
    setup = run.experiment.tiers[name].setup
    runtime = runtime_of(run.experiment.setups[setup])
    networks = [run.network(point.architecture) for point in searched.front]
    path = run.folder / "latency" / f"{setup}-front.jsonl"
    table = fill(
        runtime,
        path,
        run.experiment.timing,
        run.folder / "artifacts",
        narrator,
        f"timing the {name} front",
        [],
        networks,
    )
    measured = {
        point.architecture.key: {latency: table.checks[check_key(network)].low_ms}
        for point, network in zip(searched.front, networks, strict=True)
    }
    front = remeasured(searched.front, searched.tier, measured)
    write_front(run.front_path(name), run.front_path(name).with_suffix(".csv"), front)
    return Searched(searched.tier, searched.finished, searched.evaluations, tuple(front))
