"""How well a run's accuracies rank networks: a sample of them trained alone, under the same budget."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas import __version__
from hwnas.commands.report_tiers import summary
from hwnas.io.atomic import write_file
from hwnas.network import costs
from hwnas.pareto import Objective, Tier
from hwnas.problem.accuracy import accuracy_context, accuracy_of
from hwnas.quantities import Metric
from hwnas.report import units
from hwnas.report.validation.fidelity import Budget, Fidelity, RankedNetwork
from hwnas.report.validation.fidelity_page import write_fidelity_page
from hwnas.search.evaluate import evaluate
from hwnas.search.score_store import Score, ScoreStore
from hwnas.search.successive_halving import sample_initial
from hwnas.space import Architecture
from hwnas.words import brief
from hwnas.workspace.elapsed import adding_elapsed
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Bar, Reporter, default_reporter
from hwnas.workspace.training.supernets import check_trained, recipe_of, supernet_of
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.accuracy.trained import TrainedAccuracy
    from hwnas.workspace.training.supernets import Trained


@brief
@dataclass(frozen=True)
class FidelityReport:
    """Result of a fidelity study, and the files that hold it."""

    fidelity: Fidelity
    json: Path
    page: Path


def fidelity(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    networks: int = 24,
    epochs: int | None = None,
    reporter: Reporter | None = None,
) -> FidelityReport:
    """Train a random sample of networks alone and compare their accuracies with those that the search uses for them.

    Scores are kept one by one: the same command continues, and with more networks it adds to what is there. Test images
    are not looked at.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        networks: number of networks in the sample.
        epochs: of each training; those of the supernet if left out.
        reporter: receives messages and progress; silent if left out.

    Returns:
        Rank correlations with intervals, and the paths of the JSON and the page.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.
        RunError: the supernet was not trained yet.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.fidelity("mini.yaml", networks=2, epochs=1).page.name
        'fidelity.html'
    """
    run, reporter = open_run(reference, runs=runs, before=check_trained), default_reporter(reporter)
    from hwnas.accuracy.trained import standalone

    with locked(run), adding_elapsed(run.paths.elapsed, "fidelity"):
        trained = supernet_of(run, reporter)
        ingredients = accuracy_context(run, trained)
        settings = replace(ingredients.settings, source="standalone", epochs=epochs)
        lone = standalone(replace(ingredients, settings=settings))
        sample = sample_initial(run.space, networks, run.experiment.seed, lambda architecture: True)
        if len(sample) < networks:
            reporter.info(f"only {len(sample)} unlike networks were found in the space, {networks} were asked for")
        store = ScoreStore.open(run.paths.scores)
        for notice in store.notices:
            reporter.info(notice)
        result = _compared(run, trained, lone, sample, store, reporter)
        paths = run.folder / "fidelity.json", run.folder / "fidelity.html"
        content = {
            **result.as_dict(),
            "machine": machine(),
            "versions": versions(),
            "hwnas": __version__,
            "date": units.now(),
        }
        write_file(paths[0], json.dumps(content, indent=1, allow_nan=False) + "\n")
        page = write_fidelity_page(result, paths[1], hwnas_version=__version__, created_at=units.now())
    return FidelityReport(result, paths[0], page)


def _compared(
    run: Workspace,
    trained: Trained | None,
    lone: TrainedAccuracy,
    sample: Sequence[Architecture],
    store: ScoreStore,
    reporter: Reporter,
) -> Fidelity:
    """Score the sample both ways, cheap before dear."""
    score, quality, goal = accuracy_of(run, trained), run.task.quality, run.source.goal(run.task)
    standalone = str(Metric(quality.name, "alone"))
    goals = Objective(run.accuracy, goal), Objective(standalone, quality.goal)
    tier, producers = Tier("fidelity", goals), {run.accuracy: score.producer, standalone: lone.producer}
    ranked: list[RankedNetwork] = []
    failed: dict[str, str] = {}
    with reporter.bar("training networks alone") as bar:
        for number, architecture in enumerate(sample):
            lone_with_bar = replace(lone, on_epoch=_teller(bar, number, len(sample), ranked))
            evaluation = evaluate(
                architecture, {run.accuracy: score, standalone: lone_with_bar}, tier, store, producers
            )
            if evaluation.failed is not None:
                failed[architecture.key] = evaluation.failed
            else:
                stored = store.get(architecture, standalone, lone.producer)
                scored = store.get(architecture, run.accuracy, score.producer)
                assert stored is not None
                assert scored is not None
                ranked.append(_ranked(run, architecture, scored, stored))
            bar.update(number + 1, len(sample), _left(ranked, len(sample) - number - 1))
    together = None
    if trained is not None and run.source.supernet:
        seconds = sum(epoch.seconds for epoch in trained.history)
        together = Budget(len(trained.history), len(lone.dataset.train), _a_step(run), seconds)
    return Fidelity(
        run=run.experiment.name,
        space=run.space.name,
        metric=run.accuracy,
        goal=goal,
        task=run.task,
        data=run.dataset.name,
        seed=run.experiment.seed,
        samples=len(lone.split),
        together=together,
        alone=Budget(lone.recipe.epochs, len(lone.dataset.train), len(ranked), sum(n.seconds for n in ranked)),
        networks=tuple(ranked),
        failed=failed,
    )


def _a_step(run: Workspace) -> int:
    """Return the number of networks that the supernet's last steps trained."""
    from hwnas.supernet.strategies import Step, open_strategy

    recipe = recipe_of(run)
    last = Step(recipe.epochs, recipe.epochs, 1, 1, 0.0)
    return len(open_strategy(run.space, recipe, base=run.base)(last, random.Random(0)))


def _ranked(run: Workspace, architecture: Architecture, score: Score, alone: Score) -> RankedNetwork:
    total = costs(run.network(architecture))
    assert score.value is not None
    assert alone.value is not None
    values, errors = (score.value, alone.value, alone.elapsed_s), (score.error, alone.error)
    return RankedNetwork(architecture.key, summary(architecture), total.params, total.macs, *values, *errors)


def _teller(bar: Bar, number: int, total: int, ranked: Sequence[RankedNetwork]) -> Callable[[int, int], None]:
    """Return a callback that shows the epochs of a network that is being trained on a bar."""

    def told(epoch: int, epochs: int) -> None:
        bar.update(number + epoch / epochs, total, _left(ranked, total - number - epoch / epochs))

    return told


def _left(ranked: Sequence[RankedNetwork], networks: float) -> str:
    """Return the time that this number of networks will take, estimated from those that were trained."""
    if not ranked or networks <= 0:
        return ""
    return f"about {units.seconds(networks * sum(n.seconds for n in ranked) / len(ranked))} left"
