"""Commands on operators: whether they keep the contract."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.printing import print_result


def certify(
    reference: Annotated[
        str, typer.Argument(metavar="FILE.py[:CLASS]", help="Operators of your own, or the name of a built-in one.")
    ],
    knobs: Annotated[
        list[str] | None,
        typer.Option(help='What to try, as JSON: {"kernel": 3}, or a list of such, the largest first. Repeatable.'),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--input", help="Axes of the input after the channels; if left out 8x8, or what it takes."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold operators to the contract: weights to share, costs, files, table rows. Exit code 1 if a check fails."""
    from hwnas import pipeline

    certificates = pipeline.certify(reference, knobs=knobs or [], sizes=sizes)
    if as_json:
        print_result([dataclasses.asdict(one) | {"passed": one.passed} for one in certificates], True, [])
    else:
        from hwnas.console.results import show_certificates

        show_certificates(certificates)
    raise typer.Exit(0 if all(one.passed for one in certificates) else 1)
