"""The dashboard of Optuna on a run's studies."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

from hwnas.errors import ConfigError, RunError, did_you_mean
from hwnas.lookup import optional
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.workspace import open_run
from hwnas.search.storage import open_storage


def dashboard(
    reference: str | Path,
    *,
    runs: Path = Path("runs"),
    tier: str | None = None,
    host: str = "localhost",
    port: int = 8080,
    narrator: Narrator | None = None,
) -> None:
    """Serve optuna-dashboard on a tier's studies (the first tier's, if none is named) until it is interrupted.

    Raises:
        ConfigError: there is no such tier.
        RunError: the tier was not searched yet, or the port is taken.
        MissingExtra: optuna-dashboard is not installed.
    """
    run = open_run(reference, runs=runs)
    name = tier or next(iter(run.experiment.tiers))
    if name not in run.experiment.tiers:
        raise ConfigError(
            f"there is no tier `{name}`",
            where=f"experiment `{run.experiment.name}`",
            allowed=did_you_mean(name, run.experiment.tiers),
            do="Name one of them",
        )
    storage = run.experiment.search.storage or run.folder / f"study-{name}.log"
    if isinstance(storage, Path) and not storage.exists():
        raise RunError(
            f"tier `{name}` was not searched yet",
            where=str(storage),
            allowed="A search begins the study that is shown",
            do=f"Run `hwnas search {run.experiment.name}` first, or beside it",
        )
    shown = optional("optuna_dashboard", extra="dashboard", why="hwnas dashboard")
    backend, _ = open_storage(storage)
    (narrator or Silent()).say(f"http://{host}:{port} shows tier {name}; Ctrl-C ends it")
    try:
        with warnings.catch_warnings(), suppress(KeyboardInterrupt):
            warnings.simplefilter("ignore")
            shown.run_server(backend, host=host, port=port)
    except OSError as error:
        raise RunError(
            f"nothing can be served here ({error.strerror or error})",
            where=f"{host}:{port}",
            allowed="The address must be this machine's, and the port free",
            do="Name another port: --port 8081",
        ) from error
