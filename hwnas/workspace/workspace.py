"""An experiment with its space and its folder, opened once and passed to the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.accuracy import AccuracySource, accuracy_metric, check_training_free, source_of
from hwnas.config import Experiment
from hwnas.errors import ConfigError
from hwnas.export import check_input
from hwnas.network import Network, bound_task, first_shape, lower
from hwnas.opened.build import opened_build
from hwnas.report.units import Units
from hwnas.selection import check_rule
from hwnas.space import AnySpace, Architecture
from hwnas.tasks import Task
from hwnas.user_code import plugin_files
from hwnas.words import brief
from hwnas.workspace.datasets import check_augmentation
from hwnas.workspace.links import link_of
from hwnas.workspace.objectives import Objectives, check_limited, check_precisions
from hwnas.workspace.paths import RunPaths
from hwnas.workspace.progress import Reporter
from hwnas.workspace.published import PublishedTables
from hwnas.workspace.references import as_begun, check_references, experiment_of, on_command_line
from hwnas.workspace.spaces import check_opened, split_reference, task_in, unchecked_space
from hwnas.workspace.training.importance import order_channels, stored_order

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.population import Codebook


@brief
@dataclass(frozen=True)
class Workspace:
    """An experiment with its space, and the folder that holds its results."""

    experiment: Experiment
    space: AnySpace
    space_file: Path
    folder: Path
    base: Path
    """Folder, beside the current one, that relative paths in the experiment begin at: that of its file."""
    cli_ref: str
    """Reference of the run on a command line: the experiment as given, and the folder of runs if not the default."""

    @cached_property
    def source(self) -> AccuracySource:
        """Source of accuracies.

        Raises:
            ConfigError: there is no such source, or a limit is on a metric that it does not provide.
        """
        config, where = self.experiment.accuracy, f"experiment `{self.experiment.name}`"
        source = source_of(config.source, where=f"{where}: accuracy.source")
        if config.quantity is not None:
            source = source.giving(config.quantity, self.space.task, where=f"{where}: accuracy.quantity")
        if source.data and self.experiment.data is None:
            raise ConfigError(
                f"`{config.source}` looks at data, but none is named",
                where=where,
                allowed="A source that needs no data is a table, a training-free score or a function of yours",
                do="Add `data`, or use another `accuracy.source`",
            )
        if source.opened:
            opened_build(self.space)
        for name, tier in self.experiment.tiers.items():
            check_limited(tier.limits, source, config.source, self.space.task, where=f"{where}: tiers.{name}.limits")
        return source

    @cached_property
    def task(self) -> Task:
        """Task of the space's networks, with the shapes of the smallest one."""
        return bound_task(self.space)

    @cached_property
    def units(self) -> Units:
        """Texts of values of the task's metrics and of all quantities."""
        return Units(self.space.task.metrics)

    def command(self, verb: str) -> str:
        """Return the command line of a command on this run, for messages."""
        return f"hwnas {verb} {self.cli_ref}"

    @property
    def accuracy(self) -> str:
        """The metric of accuracy, such as `top1@inherited`; of a user's function, with its name after the @."""
        return accuracy_metric(self.experiment.accuracy.source, self.source.quantity(self.space.task))

    @cached_property
    def objectives(self) -> Objectives:
        """Objectives and limits of the tiers."""
        return Objectives(
            self.experiment, self.accuracy, self.source.goal(self.space.task), tuple(self.space.task.metrics)
        )

    @cached_property
    def paths(self) -> RunPaths:
        """Paths in the folder, and of files that the experiment names."""
        return RunPaths(self.folder, self.base, {name: setup.table for name, setup in self.experiment.setups.items()})

    @cached_property
    def published(self) -> PublishedTables:
        """Latencies that the experiment takes from files."""
        return PublishedTables(self.space, self.paths, self.experiment.setups)

    @cached_property
    def network(self) -> Callable[[Architecture], Network]:
        """Function from architecture to network, with a cache."""
        return lru_cache(maxsize=100_000)(partial(lower, self.space))

    @cached_property
    def dataset(self) -> Dataset:
        """The data with its test split; only the final report may touch that."""
        from hwnas.workspace.datasets import load_dataset

        return load_dataset(self.experiment, self.space, self.paths)

    @cached_property
    def codebook(self) -> Codebook:
        """Codebook, for many architectures at once."""
        from hwnas.population import codebook_of

        return codebook_of(self.space)


def check_picks(run: Workspace, rules: Sequence[str], *, where: str) -> None:
    """Refuse a rule that cannot pick from the front of every tier.

    Raises:
        ConfigError: it names what is no objective of a tier, or is no rule.
    """
    for tier, rule in product(run.experiment.tiers, rules):
        check_rule(rule, run.objectives.tier(tier).objectives, where=f"{where}, tier `{tier}`")


def open_run(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    reporter: Reporter | None = None,
    before: Callable[[Workspace], object] = lambda run: None,
) -> Workspace:
    """Return the run of an experiment; nothing is written.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.
        before: checks of the command's other input, made before PyTorch is imported to build the space's operators.

    Returns:
        The experiment with its space, its folder and what the folder holds.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid.

    Example:
        >>> from hwnas import pipeline
        >>> run = pipeline.open_run("mini.yaml")
        >>> run.folder.as_posix(), run.space.name
        ('runs/mini', 'few')
    """
    reference_path, (path, experiment) = Path(reference), experiment_of(reference)
    inside = path == reference_path / "experiment.yaml"
    base = path.parent / Path(experiment.base or "").expanduser()
    plugins = plugin_files(experiment.plugins, base=path.parent, where=str(path))
    named = experiment.space
    # a run's own space counts, even where the current folder holds one of that name
    if inside and isinstance(named, str) and (path.parent / split_reference(named)[0]).is_file():
        named = str(path.parent / named)
    task = task_in(experiment, base=path.parent, where=str(path))
    space, space_file = unchecked_space(named, base=path.parent, plugins=plugins, task=task)
    folder = reference_path if inside else runs / experiment.name
    experiment = as_begun(experiment, folder / "experiment.yaml")
    called = on_command_line(reference) + ("" if inside or runs == Path("runs") else f" --runs {runs}")
    run = Workspace(experiment, space, space_file, folder, base, called)
    run.source  # noqa: B018 - a source that is not there is told before any work
    if (drawn := experiment.search.zero_cost_init) is not None:
        check_training_free(drawn.proxies, where=f"experiment `{experiment.name}`: search.zero_cost_init")
    check_picks(run, experiment.export.picks, where=f"experiment `{experiment.name}`: export.picks")
    check_references(experiment, base)
    check_precisions(experiment)
    check_augmentation(experiment, space)
    for name, setup in experiment.setups.items():
        where = f"experiment `{experiment.name}`: setups.{name}"
        check_input(setup.precision, first_shape(space), where=where)
    for name, pair in experiment.pairs.items():
        link_of(pair.link, experiment, base, where=f"experiment `{experiment.name}`: pairs.{name}.link")
    before(run)
    run = replace(run, space=stored_order(space, run.paths.importance))
    check_opened(run.space, space_file, reporter)
    return replace(run, space=order_channels(run.space, experiment, lambda: run.dataset, reporter))
