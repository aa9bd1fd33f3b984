"""A run's folder, opened to look at what it holds."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.commands.report import read_facts, report
from hwnas.errors import ConfigError, did_you_mean
from hwnas.measure.table import LatencyTable, read_table
from hwnas.problem.fronts.loading import LoadedFront, load_front
from hwnas.problem.fronts.origins import origins_of
from hwnas.problem.studies import study_evaluations
from hwnas.report.facts import ReportFacts, TierFacts
from hwnas.results.charts import Framed, Front, History
from hwnas.rows import Rows
from hwnas.search.evaluate import Evaluation, evaluation_rows
from hwnas.search.fronts import front_rows
from hwnas.words import counted
from hwnas.workspace import workspace as workspaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwnas.workspace.workspace import Workspace


class StudyResults(Framed):
    """All networks that a tier's search tried, in order."""

    def __init__(self, tier: str, evaluations: tuple[Evaluation, ...], rows: Rows) -> None:
        super().__init__(f"Study of {tier}: {counted(len(evaluations), 'trial')}", lambda: rows)
        self.evaluations = evaluations

    def __len__(self) -> int:
        return len(self.evaluations)


class RunResults:
    """The results that a run left in its folder; only `report` writes. What charts need is loaded for the first one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.folder = workspace, workspace.folder

    def __repr__(self) -> str:
        config = self.workspace.experiment
        return f"RunResults({str(self.folder)[-80:]!r}, tiers: {', '.join(config.tiers)[:60]})"

    @cached_property
    def fronts(self) -> Mapping[str, Front]:
        """The front of each tier, by the tier's name."""
        return {name: self._front(load_front(self.workspace, name)) for name in self.workspace.experiment.tiers}

    def table(self, setup: str | None = None) -> LatencyTable:
        """Return the latency table of a set-up; of the only one, if it is left out.

        Raises:
            ConfigError: there is no such set-up.
            TableError: its table was not measured yet, or is damaged.
        """
        return read_table(self.workspace.paths.table(self._known("set-up", setup, self.workspace.experiment.setups)))

    def study(self, tier: str | None = None) -> StudyResults:
        """Return all that was tried for a tier; for the only one, if it is left out.

        Raises:
            ConfigError: there is no such tier.
            RunError: it was not searched yet.
        """
        name, run = self._known("tier", tier, self.workspace.experiment.tiers), self.workspace
        front = load_front(run, name)
        known = () if front.conditions is None else study_evaluations(run, name, front.conditions.study)
        evaluations = known or front.evaluations
        origins = origins_of(run, front.tier, front.source.origin)
        return StudyResults(name, evaluations, evaluation_rows(evaluations, origins))

    @property
    def history(self) -> History:
        """The supernet's epochs, and the hypervolume after each trial."""
        return History(lambda: self._facts)

    def report(self) -> Path:
        """Write report.html again, and return its path."""
        return report(self.folder)

    @cached_property
    def _facts(self) -> ReportFacts:
        return read_facts(self.workspace)

    def _front(self, loaded: LoadedFront) -> Front:
        return Front(loaded, partial(front_rows, loaded.points), partial(self._tier, loaded))

    def _tier(self, loaded: LoadedFront) -> tuple[TierFacts, int]:
        tiers = enumerate(self._facts.tiers)
        return next((t, index) for index, t in tiers if (t.name, t.front_source) == (loaded.tier.name, loaded.by))

    def _known(self, what: str, name: str | None, names: Mapping[str, object]) -> str:
        if name is None and len(names) == 1:
            return next(iter(names))
        if name not in names:
            raise ConfigError(
                f"the run has {counted(len(names), what)}, and none is named"
                if name is None
                else f"there is no {what} `{name}`",
                where=str(self.folder),
                allowed=f"Known: {', '.join(names)}" if name is None else did_you_mean(name, names),
                do=f"Name a {what} of the experiment",
            )
        return str(name)


def open_run(reference: str | Path, *, runs: Path = Path("runs")) -> RunResults:
    """Return the results of a run: its folder, the experiment's file, or the name of a shipped one.

    Raises:
        ConfigError, SpaceError: there is no such run, or its experiment or its space is invalid.
    """
    return RunResults(workspaces.open_run(reference, runs=runs))
