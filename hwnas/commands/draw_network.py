"""The page or the picture of a network, or of two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.commands.cost import cost
from hwnas.commands.picked_network import is_run
from hwnas.errors import ConfigError
from hwnas.io.atomic import write_file
from hwnas.workspace.architectures import check_named

if TYPE_CHECKING:
    from hwnas.latency.rows import Missing
    from hwnas.workspace.progress import Reporter

SUFFIXES = (".html", ".svg")


def check_network_file(path: Path) -> None:
    """Refuse a file's name that is neither a page nor a picture.

    Raises:
        ConfigError: it ends in something else.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"a network cannot be drawn as `{path.suffix or path.name}`",
            where=str(path),
            allowed="It is an .html page with figures and tables, or an .svg file that holds the picture alone",
            do=f"Write -o {path.stem or 'network'}.html",
        )


def draw_network(
    space: str | Path,
    architecture: str = "largest",
    *,
    out: Path,
    beside: str | None = None,
    table: Path | None = None,
    missing: Missing = "error",
    reporter: Reporter | None = None,
) -> dict[str, dict[str, Any]]:
    """Draw an architecture operator by operator, alone or beside another one of its space.

    Args:
        space: as `cost` takes it.
        architecture: as `cost` takes it.
        out: the file, `.html` for a page or `.svg` for the picture alone.
        beside: a second architecture; what differs between the two is marked.
        table: as `cost` takes it.
        missing: as `cost` takes it.
        reporter: receives messages and progress; silent if left out.

    Returns:
        By architecture as it was named, what `cost` returns of it.

    Raises:
        ConfigError, SpaceError: as `cost`; or the file's name ends in something else.
        TableError: the table lacks a row, or cannot be used.
        RunError: the file cannot be written.

    Example:
        >>> from hwnas import pipeline
        >>> from pathlib import Path
        >>> list(pipeline.draw_network("space.yaml", "largest", beside="smallest", out=Path("two.html")))
        ['largest', 'smallest']
    """
    from hwnas.report import units
    from hwnas.report.networks.facts import OperatorFacts
    from hwnas.report.networks.page import network_page
    from hwnas.report.networks.picture import network_picture

    check_network_file(out)
    if not is_run(space):
        check_named(architecture if beside is None else beside)
    names = [architecture] if beside in (None, architecture) else [architecture, str(beside)]
    documents = {name: cost(space, name, table=table, missing=missing, reporter=reporter) for name in names}
    if out.suffix == ".svg":
        networks = {name: tuple(map(OperatorFacts.of, one["operators"])) for name, one in documents.items()}
        content: str = network_picture(next(iter(documents.values()))["space"], networks)
    else:
        now = units.now()
        content = network_page(documents, hwnas_version=__version__, created_at=now)
    write_file(out, content, what="picture of the network", do="Write it elsewhere")
    return documents
