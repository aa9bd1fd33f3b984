"""A run: an experiment, its space and its folder, opened once and passed to the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.accuracy import AccuracySource, check_training_free, source_of
from hwnas.config import Experiment, dump_experiment
from hwnas.errors import ConfigError, RunError, did_you_mean, reason
from hwnas.io.atomic import abandoned_parts, write_atomic
from hwnas.io.locks import RunLock
from hwnas.io.regular import read_regular
from hwnas.io.resources import find_file
from hwnas.io.storage_url import mode_of
from hwnas.io.yaml import dump_yaml, read_yaml
from hwnas.network import Network, lower
from hwnas.pareto import Limit, Objective, Tier
from hwnas.registry import plugin_files
from hwnas.search.fronts import write_text
from hwnas.selection import check_rule
from hwnas.space import AnySpace, Architecture, FunctionSpace, Space
from hwnas.tabular import TableMetric, Wanted, read_metric
from hwnas.tabular.rows import Names
from hwnas.workspace.elapsed import adding_elapsed, read_elapsed
from hwnas.workspace.progress import Reporter
from hwnas.workspace.references import experiment_of
from hwnas.workspace.spaces import open_space, split_reference

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.population import Codebook

DERIVED = ("params", "macs", "activation_kib")
"""Metrics that an architecture alone decides."""
BESIDE_LATENCY = ("energy_mj", "peak_mb")
"""Quantities of a set-up that are predicted beside latency where a tier asks for them."""


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
            source = replace(source, kind="score" if config.quantity == "score" else "quality")
        if source.data and self.experiment.data is None:
            raise ConfigError(
                f"`{config.source}` looks at images, but no data is named",
                where=where,
                allowed="A source that needs no images is a table, a training-free score or a function of yours",
                do="Add `data`, or use another `accuracy.source`",
            )
        limited = next((n for n, tier in self.experiment.tiers.items() if tier.limits.top1 is not None), None)
        if limited is not None and source.quantity(self.space.task) != "top1":
            raise ConfigError(
                f"`top1` is limited, but `{config.source}` gives a score and no accuracy",
                where=f"{where}: tiers.{limited}.limits",
                allowed="A score has no unit, only its order counts",
                do="Leave the limit out, or use a source of accuracy such as `inherited`",
            )
        return source

    def command(self, verb: str) -> str:
        """Return the command line of a command on this run, for messages."""
        return f"hwnas {verb} {self.cli_ref}"

    @property
    def accuracy(self) -> str:
        """The metric of accuracy, such as `top1@inherited`; of a user's function, with its name after the @."""
        return f"{self.source.quantity(self.space.task)}@{self.experiment.accuracy.source.rpartition(':')[2]}"

    @property
    def train_folder(self) -> Path:
        """Folder of the supernet's checkpoints."""
        return self.folder / "train"

    def table_path(self, setup: str) -> Path:
        """Return the latency table of a set-up: the experiment's choice, else one in the run's folder.

        The choice is a file, from here or from `base`, else a shipped table, else a file that is still to be made.
        """
        chosen = self.experiment.setups[setup].table
        if chosen is None:
            return self.folder / "latency" / f"{setup}.jsonl"
        try:
            return find_file(chosen, "latency_tables", self.base)
        except ConfigError:
            return Path(chosen).expanduser()

    def front_table_path(self, setup: str) -> Path:
        """Return the table of the set-up's fronts, timed as whole networks."""
        return self.folder / "latency" / f"{setup}-front.jsonl"

    def front_path(self, tier: str) -> Path:
        """Return the file of a tier's front."""
        return self.folder / "fronts" / f"{tier}.json"

    def tier(self, name: str, *, measured: bool = False) -> Tier:
        """Return a tier's objectives and limits over metrics.

        A limit with a confidence is on that quantile of the predicted latency; once `measured`, the latency itself is.
        """
        config = self.experiment.tiers[name]
        latency, size = f"latency_ms@{config.setup}", f"file_kib@{config.setup}"
        confidence = None if measured else config.limits.confidence
        limited = latency if confidence is None else quantile_metric(latency, confidence)
        others = {name: f"{name}@{config.setup}" for name in BESIDE_LATENCY}
        metrics = {"latency_ms": limited, "file_kib": size, **others, **{plain: plain for plain in DERIVED}}
        bounds = {field: getattr(config.limits, field) for field in metrics}
        limits = [Limit(metrics[field], bound) for field, bound in bounds.items() if bound is not None]
        if config.limits.top1 is not None:
            limits.append(Limit(self.accuracy, config.limits.top1, "least"))
        costs = (Objective(f"{quantity}@{config.setup}", "min") for quantity in config.minimise)
        return Tier(name, (Objective(self.accuracy, self.source.goal(self.space.task)), *costs), tuple(limits))

    def is_live(self, tier: str) -> bool:
        """Return whether a tier's candidates are timed during the search."""
        return self.experiment.tiers[tier].measure == "live"

    def is_published(self, tier: str) -> bool:
        """Return whether a tier's latencies are those of a file."""
        return self.experiment.setups[self.experiment.tiers[tier].setup].latencies is not None

    def published(self, setup: str) -> TableMetric:
        """Return the latencies that a file holds of a set-up, in milliseconds.

        Raises:
            DataError: the file cannot be used.
        """
        config = self.experiment.setups[setup].latencies
        assert config is not None
        wanted = Wanted(self.resolve_path(config.file), config.column, config.key, config.unit, config.rows)
        return self._columns(wanted)

    def resolve_path(self, file: str) -> Path:
        """Return a file that the experiment names: from the current folder, else from the experiment's own."""
        path = Path(file).expanduser()
        return path if path.exists() else self.base / path

    @cached_property
    def _columns(self) -> Callable[[Wanted], TableMetric]:
        return cache(lambda wanted: read_metric(wanted, self.architecture_reader))

    @cached_property
    def architecture_reader(self) -> Names:
        """Reader of the architectures that files name, each read once."""
        return Names(self.space)

    def needs_table(self, setup: str) -> bool:
        """Return whether the set-up's table is needed: a tier predicts from it, or no tier uses it at all."""
        if self.experiment.setups[setup].latencies is not None:
            return False
        tiers = [tier for tier in self.experiment.tiers.values() if tier.setup == setup]
        return not tiers or any(tier.measure == "table" for tier in tiers)

    def uses_quantity(self, setup: str, quantity: str) -> bool:
        """Return whether a tier of the set-up limits a quantity, such as `energy_mj`, or minimises it."""
        return any(
            quantity in tier.minimise or getattr(tier.limits, quantity) is not None
            for tier in self.experiment.tiers.values()
            if tier.setup == setup
        )

    @cached_property
    def network(self) -> _LoweringCache:
        """Function from architecture to network, with a cache."""
        return _LoweringCache(self.space)

    @cached_property
    def codebook(self) -> Codebook:
        """Codebook, for many architectures at once."""
        from hwnas.population import codebook_of

        return codebook_of(self.space)

    @cached_property
    def dataset(self) -> Dataset:
        """The data with its test split; only the final report may touch that."""
        from hwnas.data import load_data

        known = self.space.task.augmentations
        if (augment := self.experiment.train.augment) not in known:
            raise ConfigError(
                f"`augment` is {augment!r}",
                where=f"experiment `{self.experiment.name}`: train",
                allowed=did_you_mean(augment, known),
                do="Use a known augmentation",
            )
        if self.experiment.data is None:
            raise ConfigError(
                "no data is named",
                where=f"experiment `{self.experiment.name}`",
                allowed="Training and exporting need images; a search does where its accuracies do",
                do="Add `data`",
            )
        dataset = load_data(self.experiment.data, seed=self.experiment.seed, base=self.base, task=self.space.task)
        for end in (self.space.smallest(), self.space.largest()):
            task = self.network(end).task
            task.check_data(dataset.shape, dataset.width, where=f"experiment `{self.experiment.name}`")
        return dataset

    def stage_timer(self, stage: str) -> AbstractContextManager[None]:
        """Add the seconds of a `with` block to `elapsed.json`, under the stage's name."""
        return adding_elapsed(self.folder / "elapsed.json", stage)

    @property
    def elapsed(self) -> dict[str, float]:
        """Seconds by stage, over all processes that worked on the run.

        Raises:
            RunError: the file that keeps them is damaged.
        """
        return read_elapsed(self.folder / "elapsed.json")

    @contextmanager
    def locked(self, lock: RunLock | None = None) -> Iterator[Workspace]:
        """Lock the folder and write the resolved experiment and the space there.

        The only process in the folder removes partial files that killed processes left.
        """
        with lock or RunLock(self.folder) as acquired:
            try:
                if not acquired.shared:
                    for part in abandoned_parts(self.folder, unheld=True):
                        part.unlink(missing_ok=True)
                self._keep_space()
            except OSError as error:
                raise RunError(
                    f"the run folder cannot be made ready ({reason(error)})",
                    where=str(error.filename or self.folder),
                    allowed="The folder must be writable and the disk not full",
                    do="Correct that and run the same command again",
                ) from error
            mode = mode_of(self.experiment.search.storage)
            write_text(self.folder / "experiment.yaml", dump_experiment(self.resolved), mode=mode)
            yield self

    @property
    def kept_space(self) -> Path:
        """The folder's copy of the space."""
        return self.folder / f"space{self.space_file.suffix}"

    def _keep_space(self) -> None:
        """Copy the space's file and its plugins into the folder; a copied space names the copied plugins."""
        kept = self.kept_space
        if kept.exists() and kept.samefile(self.space_file):
            return
        for plugin, name in zip(self.space.plugins, self._plugin_names, strict=True):
            _copy(plugin.path, self.folder / name)
        if isinstance(self.space, Space) and self.space.plugins:
            raw = {**read_yaml(self.space_file), "plugins": self._plugin_names}
            write_text(kept, dump_yaml(raw))
        else:
            _copy(self.space_file, kept)

    @property
    def _plugin_names(self) -> list[str]:
        """Paths of the space's plugins in the folder, each in a separate folder because two may have the same name."""
        folder = self.folder.resolve()
        return [
            str(plugin.path.relative_to(folder))
            if plugin.path.is_relative_to(folder)
            else f"plugins/{number}/{plugin.path.name}"
            for number, plugin in enumerate(self.space.plugins, 1)
        ]

    @property
    def resolved(self) -> Experiment:
        """The experiment that is kept in the folder: it means the same when it is read from there."""
        name = f"space{self.space_file.suffix}"
        space = name if not isinstance(self.space, FunctionSpace) else f"{name}:{self.space.name}"
        setups = {
            name: setup.model_copy(update={"table": str(self.table_path(name).absolute())} if setup.table else {})
            for name, setup in self.experiment.setups.items()
        }
        plugins = tuple(self._plugin_names)
        update = {"space": space, "plugins": plugins, "setups": setups, "base": str(self.base.absolute())}
        return self.experiment.model_copy(update=update)


def quantile_metric(latency: str, confidence: float) -> str:
    """Return the metric of a quantile of the predicted latency, such as `latency_ms@board:p90`."""
    return f"{latency}:p{100 * confidence:g}"


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole; one that is a link is replaced and not written through."""
    if not (target.exists() and target.samefile(source)):
        write_atomic(target, read_regular(source))


class _LoweringCache:
    def __init__(self, space: AnySpace) -> None:
        self.call = lru_cache(maxsize=100_000)(lambda architecture: lower(space, architecture))

    def __call__(self, architecture: Architecture) -> Network:
        return self.call(architecture)


def open_run(reference: str | Path, *, runs: Path = Path("runs"), narrator: Reporter | None = None) -> Workspace:
    """Return the run of an experiment: a file, the name of a shipped one, or a run's folder.

    `narrator` is shown a bar where checking the space takes seconds.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid; nothing was written.
    """
    reference_path, (path, experiment) = Path(reference), experiment_of(reference)
    inside = path == reference_path / "experiment.yaml"
    base = path.parent / Path(experiment.base or "").expanduser()
    # a run's own space counts, even where the current folder holds one of that name
    own = inside and (path.parent / split_reference(experiment.space)[0]).is_file()
    plugins = plugin_files(experiment.plugins, base=path.parent, where=str(path))
    space, space_file = open_space(
        path.parent / experiment.space if own else experiment.space, base=path.parent, plugins=plugins,
        narrator=narrator,
    )  # fmt: skip
    folder = reference_path if inside else runs / experiment.name
    called = str(reference) if inside or runs == Path("runs") else f"{reference} --runs {runs}"
    run = Workspace(experiment, space, space_file, folder, base, called)
    run.source  # noqa: B018 - a source that is not there is told before any work
    if (drawn := experiment.search.training_free) is not None:
        check_training_free(drawn.proxies, where=f"experiment `{experiment.name}`: search.training_free")
    for tier, rule in product(experiment.tiers, experiment.export.picks):
        check_rule(
            rule, run.tier(tier).objectives, where=f"experiment `{experiment.name}`: export.picks, tier `{tier}`"
        )
    return run
