"""The dashboard of Optuna on a run's studies."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError, RunError, did_you_mean, reason
from hwnas.problem.studies import study_storage
from hwnas.registry import optional
from hwnas.search.storage.backends import open_storage
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.references import experiment_of
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState


logger = logging.getLogger(__name__)


def dashboard(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    tier: str | None = None,
    host: str = "localhost",
    port: int = 8080,
    reporter: Reporter | None = None,
) -> None:
    """Serve optuna-dashboard on a tier's studies until it is interrupted.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        runs: folder of run folders.
        tier: the first one if left out.
        host: address that the page is served at.
        port: of that address.
        reporter: receives messages and progress; silent if left out.

    Raises:
        ConfigError: there is no such tier.
        RunError: the tier was not searched yet, or the port is taken.
        MissingExtra: optuna-dashboard is not installed.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.dashboard("mini.yaml", tier="cloud", port=8081)  # returns after Ctrl-C
    """
    _, experiment = experiment_of(reference)
    name = tier or next(iter(experiment.tiers))
    if name not in experiment.tiers:
        raise ConfigError(
            f"there is no tier `{name}`",
            where=f"experiment `{experiment.name}`",
            allowed=did_you_mean(name, experiment.tiers),
            do="Name one of them",
        )
    run = open_run(reference, runs=runs, before=lambda run: _check_begun(run, name))
    storage = study_storage(run, name)
    shown = optional("optuna_dashboard", extra="dashboard", why="hwnas dashboard")
    backend = viewed(open_storage(storage)[0])
    default_reporter(reporter).info(f"http://{host}:{port} shows tier {name}; Ctrl-C ends it")
    try:
        logger.info("serving the studies of tier %s on %s:%d", name, host, port)
        with warnings.catch_warnings(), suppress(KeyboardInterrupt):
            warnings.simplefilter("ignore")
            shown.run_server(backend, host=host, port=port)
    except OSError as error:
        raise RunError(
            f"nothing can be served here ({reason(error)})",
            where=f"{host}:{port}",
            allowed="The address must be this machine's, and the port free",
            do="Name another port: --port 8081",
        ) from error


def viewed(backend: BaseStorage) -> BaseStorage:
    """Return the storage, its trials read from now on as a page can draw them; its content does not change."""
    read = backend.get_all_trials

    def get_all_trials(
        study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        drawn = map(as_drawn, read(study_id, deepcopy))
        return [trial for trial in drawn if states is None or trial.state in states]

    backend.get_all_trials = get_all_trials  # type: ignore[method-assign]  # any kind of storage, and nothing else of it
    return backend


def as_drawn(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as the dashboard draws it.

    It is pruned where a limit ended it before all was scored, infeasible where it is over a limit, its reason first,
    each score an attribute that can be sorted by.
    """
    from optuna.trial import TrialState

    attributes = trial.user_attrs
    if "scores" not in attributes:
        return trial
    drawn = copy.copy(trial)
    if attributes.get("unscored"):
        drawn.state, drawn.values = TrialState.PRUNED, None  # Optuna wants a number for what was never scored
    broken = {"over the limit": ", ".join(attributes["broken"])} if attributes.get("broken") else {}
    failed = {"reason": attributes["reason"]} if "reason" in attributes else {}
    rest = {name: value for name, value in attributes.items() if name not in ("scores", "broken", "unscored", "reason")}
    drawn.user_attrs = {**broken, **failed, **attributes["scores"], **rest}
    drawn.system_attrs = {**trial.system_attrs, "constraints": list(trial.constraints.values())}  # as the page wants it
    return drawn


def _check_begun(run: Workspace, tier: str) -> None:
    storage = study_storage(run, tier)
    if isinstance(storage, Path) and not storage.exists():
        raise RunError(
            f"tier `{tier}` was not searched yet",
            where=str(storage),
            allowed="A search begins the study that is shown",
            do=f"Run `{run.command('search')}` first, or beside it",
        )
