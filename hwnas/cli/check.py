"""`hwnas check`, `compare`, `verify` and `sign`: tables and bundles checked, alone and side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import RUNS, Json, Runs, refuse_options
from hwnas.cli.printing import print_result
from hwnas.console import Terminal, show_error
from hwnas.errors import ConfigError, HwnasError

if TYPE_CHECKING:
    from hwnas.verify.findings import Verification


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
    from hwnas.console.results import show_check

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
    from hwnas.console.results import show_comparison

    compared = pipeline.compare(first, second, runs=runs)
    if out is not None:
        pipeline.write_comparison(compared, (first, second), out)
    if as_json:
        print_result(compared.as_dict(), True, [])
    else:
        show_comparison(compared)
        print_result(None, False, [] if out is None else [f"wrote {out}"])
    raise typer.Exit(1 if getattr(compared, "verdict", None) == "slower" else 0)


CANNOT_BE_CHECKED = 2

Bundle = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, a run, or the folder of a deployment.")
]


def verify(
    bundle: Bundle,
    data: Annotated[
        Path | None, typer.Option(help="An .npz archive of raw inputs and targets: the quality is computed again.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="An earlier bundle: fail where this one is worse.")] = None,
    against_python: Annotated[
        str | None,
        typer.Option(help="Another Python on this machine: fail where its runtime is worse than this one's."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Public key, in PEM, of who signed the bundle.")] = None,
    host: Annotated[str | None, typer.Option(help="Run the files on a board, such as pi@board.")] = None,
    python: Annotated[str | None, typer.Option(help="Python on the board; python3 if left out.")] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="File that ssh reads instead of ~/.ssh/config.")] = None,
    latency: Annotated[bool, typer.Option(help="Time the files as well.")] = True,
    max_drop: Annotated[float, typer.Option(min=0, help="By how much the quality may be worse.")] = 0.005,
    max_slowdown: Annotated[float, typer.Option(min=0, help="Share by which a call may take longer.")] = 0.05,
    max_growth: Annotated[float, typer.Option(min=0, help="Share by which a file may be larger.")] = 0.01,
    scenario: Annotated[
        str | None,
        typer.Option(help="Load instead: single_stream, multi_stream, server, offline, sustained (by MLPerf's terms)."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Of load, for each file; 10 if left out.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Queries a second of the scenario server.")] = None,
    model: Annotated[str | None, typer.Option(help="Of --scenario: one file of the bundle.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Check a bundle again: files, signature, self-test, quality, latency; exit code 1 if something is wrong.

    Exit code 2 if it cannot be checked at all. It needs no PyTorch.
    """
    try:
        if scenario is not None:
            compared = {"--against": against, "--against-python": against_python}
            reached = {"--host": host, "--python": python, "--ssh-config": ssh_config}
            others = {"--data": data, **compared, "--key": key, **reached}
            refuse_options(others, "with --scenario", "Load is put on the files of one bundle, here")
            _load(bundle, scenario, model, seconds or 10.0, rate, runs, as_json)
            return
        of_load = {"--model": model, "--seconds": seconds, "--rate": rate}
        refuse_options(of_load, "without --scenario", "They say how a bundle is put under load")
        results = _verified(
            bundle,
            data=data,
            against=against,
            against_python=against_python,
            key=key,
            board=(host, python, ssh_config),
            latency=latency,
            limits=(max_drop, max_slowdown, max_growth),
            runs=runs,
        )
    except HwnasError as error:
        show_error(error)
        raise typer.Exit(CANNOT_BE_CHECKED) from error
    from hwnas.report.comparisons.verifications import verification_lines

    ok = all(one.ok for one in results)
    documents = [one.as_dict() for one in results]
    findings = [{"bundle": one["bundle"], **finding} for one in documents for finding in one["findings"]]
    document = {"ok": ok, "findings": findings, "bundles": documents}
    print_result(document, as_json, [line for one in results for line in verification_lines(one)])
    raise typer.Exit(0 if ok else 1)


def _verified(
    bundle: str,
    *,
    board: tuple[str | None, str | None, Path | None],
    limits: tuple[float, float, float],
    **options: Any,
) -> list[Verification]:
    from hwnas import pipeline
    from hwnas.verify.gate import GateLimits

    (host, python, ssh_config), opened = board, None
    sides = {"--host": host, "--against": options["against"], "--against-python": options["against_python"]}
    if len(several := [name for name, value in sides.items() if value is not None]) > 1:
        raise ConfigError(
            f"{' and '.join(several)} exclude each other",
            where="hwnas verify",
            allowed="On this machine two bundles are compared, or two runtimes; a board runs one bundle",
            do="Leave one of them out",
        )
    if host is None:
        reached = {"--python": python, "--ssh-config": ssh_config}
        refuse_options(reached, "without --host", "They say how a board is reached")
    else:
        from hwnas.boards.host import open_host

        opened = open_host(host, ssh_config=ssh_config)
    return pipeline.verify(bundle, host=opened, python=python or "python3", limits=GateLimits(*limits), **options)


def _load(
    bundle: str, scenario: str, model: str | None, seconds: float, rate: float | None, runs: Path, as_json: bool
) -> None:
    from hwnas import pipeline
    from hwnas.report.comparisons.verifications import load_lines

    results = pipeline.put_under_load(bundle, scenario, model=model, seconds=seconds, rate=rate, runs=runs)
    print_result(results, as_json, list(load_lines(results)))


def sign(
    bundle: Bundle,
    key: Annotated[Path, typer.Option(help="Private key in PEM, on an elliptic curve.")],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Sign a bundle with a key of yours, offline: `hwnas verify --key` then refuses any changed byte."""
    from hwnas import pipeline

    paths = [str(path) for path in pipeline.sign(bundle, key, runs=runs)]
    print_result({"signatures": paths}, as_json, [f"wrote {path}" for path in paths])
