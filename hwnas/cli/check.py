"""`hwnas check` and `hwnas compare`: how far a latency table can be trusted, and two tables or runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import RUNS, Json, Runs
from hwnas.cli.printing import print_result
from hwnas.console import Terminal


def check(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A latency table of this machine.")],
    networks: Annotated[int, typer.Option(min=1, help="How many unseen networks to draw.")] = 60,
    space: Annotated[str | None, typer.Option(help="Draw from this space, not from those the table names.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other networks.")] = 0,
    device: Annotated[str | None, typer.Option(help="This machine's name, if the set-up gave it one.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="Keep the model files here; thrown away if left out.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots, such as check.html.")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait where somebody else measures on this machine.")
    ] = 1800.0,
    as_json: Json = False,
) -> None:
    """How far to trust a table: its error on whole networks that it has not seen.

    They are predicted, timed twice, and shown beside simpler models and the machine's own noise. Errors and shares in
    --json are fractions: a `mape` of 0.015 is 1.5 %. The table is not written to.
    """
    from hwnas import pipeline

    checked = pipeline.check(
        table,
        networks=networks,
        space=space,
        seed=seed,
        device=device,
        artifacts=artifacts,
        plot=plot,
        wait_s=wait,
        reporter=Terminal(),
    )
    if as_json:
        print_result(checked.as_dict(), True, [])
        return
    from hwnas.console import show_check

    show_check(checked)
    print_result(None, False, [f"wrote {plot}"] if plot else [])


def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A latency table, a run, or a bundle; the one to compare with.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another of the same kind; it is told beside the first.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write a page as well, such as compared.html.")
    ] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Compare two latency tables row by row, the fronts of two runs, or the files of two bundles.

    Of tables: ratios of B's times over A's, their geometric mean with a 95 % interval, and a verdict on B: faster,
    slower, or no difference. Exit code 1 if B is slower.
    """
    from hwnas import pipeline
    from hwnas.console import show_comparison

    compared = pipeline.compare(first, second, runs=runs)
    if out is not None:
        pipeline.write_comparison(compared, (first, second), out)
    if as_json:
        print_result(compared.as_dict(), True, [])
    else:
        show_comparison(compared)
        print_result(None, False, [] if out is None else [f"wrote {out}"])
    raise typer.Exit(1 if getattr(compared, "verdict", None) == "slower" else 0)
