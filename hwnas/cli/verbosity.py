"""`-q` and `-v`, which every command takes, and the log that `-v` shows."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer

from hwnas.console import quietly

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
VERBOSITY_OPTIONS = {  # parameter -> annotation and default, added to those of a command that has none of the name
    "quiet": (
        Annotated[
            bool,
            typer.Option("-q", "--quiet", help="Print no notes and no progress: the result and errors alone."),
        ],
        False,
    ),
    "verbose": (
        Annotated[
            int,
            typer.Option(
                "-v",
                "--verbose",
                count=True,
                show_default=False,
                help="Print the log of servers and boards; -vv all of it.",
            ),
        ],
        0,
    ),
}


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes `-q` and `-v` beside its own options."""
    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in VERBOSITY_OPTIONS.items()
        if name not in own.parameters
    ]
    names = {one.name for one in added}

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in names}
        with ExitStack() as during:
            if options.get("quiet"):
                during.enter_context(quietly())
            if level := options.get("verbose"):
                during.enter_context(logged(logging.INFO if level == 1 else logging.DEBUG))
            command(**arguments)

    signature = own.replace(parameters=[*own.parameters.values(), *added])
    run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


@contextmanager
def logged(level: int) -> Iterator[None]:
    """Print the records of hwnas's loggers on standard error, from a level on, while the block runs."""
    logger, handler = logging.getLogger("hwnas"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
