"""Commands on where studies are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.cli.options import RUNS, Reference, Runs, Settings, edited
from hwnas.console import Terminal


def serve_storage(
    url: Annotated[str, typer.Argument(metavar="URL", help="A database, such as postgresql+psycopg://user@host/name.")],
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 13000,
) -> None:
    """Serve a database to many searches, which then name it as `search.storage: grpc://host:port`.

    Whoever reaches the port can read and write the studies: there is no password, so keep it within a network of yours.
    """
    from hwnas import pipeline

    pipeline.serve_storage(url, host=host, port=port, reporter=Terminal())


def dashboard(
    experiment: Reference,
    runs: Runs = RUNS,
    settings: Settings = None,
    tier: Annotated[str | None, typer.Option(help="Which tier's studies; the first one's if left out.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8080,
) -> None:
    """Open Optuna's dashboard on a run, while it is searched or afterwards, until Ctrl-C."""
    from hwnas import pipeline

    pipeline.dashboard(edited(experiment, settings), runs=runs, tier=tier, host=host, port=port, reporter=Terminal())
