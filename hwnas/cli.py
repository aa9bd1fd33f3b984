"""The command line: reads arguments, calls one function of the pipeline, prints what it returns."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from hwnas import __version__
from hwnas.errors import ConfigError, DataError, HwnasError, RunError, SpaceError
from hwnas.terminal import Terminal, show_error

app = typer.Typer(
    name="hwnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds neural networks that are Pareto-best on the hardware they will run on.",
    epilog="Start with: hwnas init my_project && cd my_project && hwnas run quickstart.yaml",
)

Reference = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="An experiment's YAML file, the name of a shipped one, or a run's folder."
    ),
]
SpaceReference = Annotated[
    str, typer.Argument(metavar="SPACE", help="A space's YAML file, the name of a shipped one, or file.py:function.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that runs are kept in.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="Trials for each tier, instead of the experiment's number.")
]
RUNS = Path("runs")
TIMING = "EXPERIMENT|SPACE"
"""The command of `hwnas bench` that has no name of its own."""
INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to put it; created if missing.")], as_json: Json = False
) -> None:
    """Copy a working experiment and its space into a folder of your own."""
    from hwnas.shipped import copy_starter

    written = copy_starter(folder)
    _print({"written": written}, as_json, [f"wrote {path}" for path in written])


@app.command()
def run(experiment: Reference, runs: Runs = RUNS, trials: Trials = None, as_json: Json = False) -> None:
    """Do all of it: latency tables, training, search, files, report. The same command resumes."""
    from hwnas import pipeline

    outcome = pipeline.run(experiment, runs=runs, trials=trials, narrator=Terminal())
    if not as_json:
        _show_fronts(experiment, runs)
    lines = [f"{path.parent}: model files and manifest" for path in outcome.manifests] + [f"report: {outcome.report}"]
    found = {
        "folder": outcome.folder,
        "report": outcome.report,
        "manifests": outcome.manifests,
        "tiers": {tier.tier.name: _searched(tier) for tier in outcome.tiers},
    }
    _print(found, as_json, lines)


@app.command()
def train(experiment: Reference, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Train the experiment's supernet, or continue where training stopped."""
    from hwnas import pipeline

    history = pipeline.train(experiment, runs=runs, narrator=Terminal())
    last = history[-1]
    scores = f"validation accuracy smallest {last.smallest:.1%}, largest {last.largest:.1%}"
    _print([vars(epoch) for epoch in history], as_json, [f"epoch {last.epoch}: loss {last.loss:.3f}, {scores}"])


class _Bench(TyperGroup):
    """`hwnas bench WORD ...`: WORD is one of the commands, else what is to be timed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [TIMING, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == TIMING else name), command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        timing = self.commands[TIMING]
        with timing.make_context(ctx.command_path, [], resilient_parsing=True) as inner:
            timing.format_help(inner, formatter)
        super().format_help(ctx, formatter)


bench_app = typer.Typer(
    cls=_Bench,
    no_args_is_help=True,
    rich_markup_mode="rich",
    subcommand_metavar="pack|lint|merge|import ...",
    help="Kits for boards; tables that are there already, as files.",
)
app.add_typer(
    bench_app,
    name="bench",
    short_help="Time every operator that can occur, here or on boards; lint, merge and import tables.",
)


@bench_app.command(TIMING, hidden=True)
def bench(
    target: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|SPACE", help="An experiment, or with --runtime a space.")
    ],
    runtime: Annotated[
        str | None, typer.Option(help="onnxruntime, tflite or pytorch: time a space on one set-up.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the set-up; 1 if left out.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch of the set-up; 1 if left out.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision of the set-up; fp32 if left out.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="cpu or cuda; cpu if left out.")] = None,
    cores: Annotated[
        str | None, typer.Option(help="Cores to keep to: big, little, or numbers such as 0,1; any if left out.")
    ] = None,
    checks: Annotated[
        int | None, typer.Option(min=0, help="Whole networks to time beside the operators; 20 if left out.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Table file to write or to continue.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what is missing and how long it will take.")
    ] = False,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Time every operator that can occur; rows that are there are not measured again."""
    from hwnas import pipeline

    given = {
        "threads": threads, "batch": batch, "precision": precision, "accelerator": accelerator, "cores": cores,
        "checks": checks, "table": table,
    }  # fmt: skip
    if runtime is not None:
        setup: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        setup.setdefault("table", _table_path(target, runtime, accelerator, precision or "fp32", threads or 1, cores))
        tables = [pipeline.bench_space(target, runtime=runtime, **setup, dry_run=dry_run, narrator=Terminal())]
    elif unused := [f"--{name}" for name, value in given.items() if value is not None]:
        raise ConfigError(
            f"{unused[0]} stands without --runtime",
            where="hwnas bench",
            allowed="An experiment names its set-ups itself; with --runtime, a space is timed on one set-up",
            do=f"Add --runtime, or leave out {' and '.join(unused)}",
        )
    else:
        tables = pipeline.bench(target, runs=runs, dry_run=dry_run, narrator=Terminal())
    lines = [
        f"{found.table}: {found.rows} rows, {found.checks} checks" + (_lacking(found) if dry_run else "")
        for found in tables
    ]
    _print([vars(found) for found in tables], as_json, lines)


@bench_app.command("pack")
def pack_kit(
    space: SpaceReference,
    out: Annotated[Path, typer.Option("-o", "--out", help="The kit's file, such as kit.pyz.")],
    runtime: Annotated[str, typer.Option(help="onnxruntime or tflite.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the set-up.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Batch of the set-up.")] = 1,
    precision: Annotated[str, typer.Option(help="Precision of the set-up.")] = "fp32",
    accelerator: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    cores: Annotated[str | None, typer.Option(help="The cores that are used: big, little, or 4-7.")] = None,
    device: Annotated[str | None, typer.Option(help="The board's name; found out there if left out.")] = None,
    checks: Annotated[
        int | None, typer.Option(min=0, help="Whole networks to time beside the operators; 20 if left out.")
    ] = None,
    lacking: Annotated[str | None, typer.Option(help="Pack only what this table of the board lacks.")] = None,
    as_json: Json = False,
) -> None:
    """Pack all that a board needs into one file: `python3 kit.pyz` there writes the table, without PyTorch."""
    from hwnas import pipeline

    packed = pipeline.pack(
        space, out, checks=checks, lacking=lacking, runtime=runtime, threads=threads, batch=batch,
        precision=precision, accelerator=accelerator, cores=cores, device=device, narrator=Terminal(),
    )  # fmt: skip
    line = (
        f"{out}: {packed.files} model files, {packed.bytes / 1e6:.1f} MB, {packed.unpacked_bytes / 1e6:.1f} MB unpacked"
    )
    _print(vars(packed), as_json, [line, f"next: copy it to the board, and run there: python3 {out.name}"])


@bench_app.command("lint")
def lint_table(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables, hwnas's own or published ones.")],
    format: Annotated[
        str | None, typer.Option("--format", help="The published format, if it is not told by the content.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for impossible values, damage, copies and noise. Exit code 1 if there are errors, 0 if only warnings."""
    from hwnas import pipeline

    findings = pipeline.lint(tables, format=format)
    errors = sum(found.severity == "error" for found in findings)
    if as_json:
        counted = {"errors": errors, "warnings": len(findings) - errors}
        _print({"tables": tables, **counted, "findings": [vars(found) for found in findings]}, True, [])
    else:
        from hwnas.terminal import show_findings

        show_findings(findings)
    raise typer.Exit(1 if errors else 0)


@bench_app.command("merge")
def merge_table(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables of one set-up.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new table.")],
    as_json: Json = False,
) -> None:
    """Write the union of tables to a new one; of anything observed twice the first observation stays."""
    from hwnas import pipeline

    merged = pipeline.merge(tables, out, narrator=Terminal())
    found = _counts(merged.table) | {"alike": merged.alike, "again": merged.again}
    lines = [f"{out}: {found['rows']} rows, {found['checks']} checks"]
    if merged.alike or merged.again:
        lines.append(
            f"{merged.alike} lines stand in several tables; of {merged.again} further observations the first stays"
        )
    _print(found, as_json, lines)


@bench_app.command("import")
def import_published(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Published files of one set-up; .gz too.")],
    format: Annotated[str, typer.Option("--format", help="ofa, proxyless, tinynas or fbnet.")],
    out: Annotated[Path, typer.Option("-o", "--table", help="The new table.")],
    source: Annotated[str | None, typer.Option(help="Whose the numbers are; the format's authors if left out.")] = None,
    licence: Annotated[str | None, typer.Option(help="What may be done with them.")] = None,
    device: Annotated[str | None, typer.Option(help="What was timed, such as 'Samsung Note 10'.")] = None,
    runtime: Annotated[str | None, typer.Option(help="The runtime that it was timed with.")] = None,
    runtime_version: Annotated[str | None, typer.Option(help="The runtime's version.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the set-up.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision of the set-up.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch of the set-up; other rows are left out.")] = None,
    drop_bad: Annotated[bool, typer.Option("--drop-bad", help="Leave out values that are no durations.")] = False,
    as_json: Json = False,
) -> None:
    """Make a table of published latencies: one value a row, spread unknown, with source and licence."""
    from hwnas import pipeline

    given = {"device": device, "runtime": runtime, "runtime_version": runtime_version, "threads": threads,
             "precision": precision, "batch": batch}  # fmt: skip
    setup = {name: value for name, value in given.items() if value is not None}
    imported = pipeline.import_table(
        files, out, format=format, source=source, licence=licence, drop_bad=drop_bad, narrator=Terminal(), **setup
    )
    origin = imported.table.origin
    found = _counts(imported.table) | {"origin": vars(origin), "notices": imported.notices}
    line = f"{out}: {found['rows']} rows, published by {origin.source}, licence: {origin.licence}"
    _print(found, as_json, [line])


@app.command()
def check(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A latency table of this machine.")],
    networks: Annotated[int, typer.Option(min=1, help="How many unseen networks to draw.")] = 60,
    space: Annotated[str | None, typer.Option(help="Draw from this space, not from those the table names.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other networks.")] = 0,
    device: Annotated[str | None, typer.Option(help="This machine's name, if the set-up gave it one.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="Keep the model files here; thrown away if left out.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots, such as check.html.")] = None,
    as_json: Json = False,
) -> None:
    """How far to trust a table: its error on whole networks that it has not seen.

    They are predicted, timed twice, and shown beside simpler models and the machine's own noise. Errors and shares in
    --json are fractions: a `mape` of 0.015 is 1.5 %. The table is not written to.
    """
    from hwnas import pipeline

    found = pipeline.check(
        table, networks=networks, space=space, seed=seed, device=device, artifacts=artifacts, plot=plot,
        narrator=Terminal(),
    )  # fmt: skip
    if as_json:
        _print(found.as_dict(), True, [])
        return
    from hwnas.terminal import show_check

    show_check(found)
    _print(None, False, [f"wrote {plot}"] if plot else [])


@app.command()
def search(experiment: Reference, runs: Runs = RUNS, trials: Trials = None, as_json: Json = False) -> None:
    """Search the tiers of an experiment that is trained and timed, or continue the search."""
    from hwnas import pipeline

    tiers = pipeline.search(experiment, runs=runs, trials=trials, narrator=Terminal())
    if not as_json:
        _show_fronts(experiment, runs)
    _print({tier.tier.name: _searched(tier) for tier in tiers}, as_json, [])


@app.command()
def export(experiment: Reference, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Write the picks of each front as ONNX and TFLite files, run them and compare them with PyTorch."""
    from hwnas import pipeline

    manifests = pipeline.export(experiment, runs=runs, narrator=Terminal())
    _print(
        {path.parent.name: json.loads(path.read_text()) for path in manifests},
        as_json,
        [f"wrote {path}" for path in manifests],
    )


@app.command()
def report(experiment: Reference, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Write the report of a searched run again."""
    from hwnas import pipeline

    path = pipeline.report(experiment, runs=runs, narrator=Terminal())
    _print({"report": path}, as_json, [f"wrote {path}"])


@app.command()
def cost(
    space: SpaceReference,
    architecture: Annotated[
        str,
        typer.Option(
            help="largest, smallest, random:SEED, a JSON file, or |a string| of the project the space is from."
        ),
    ] = "largest",
    table: Annotated[Path | None, typer.Option(help="A latency table: adds the predicted latency.")] = None,
    missing: Annotated[
        Literal["refuse", "estimate"], typer.Option(help="What becomes of an operator that the table has no row for.")
    ] = "refuse",
    as_json: Json = False,
) -> None:
    """Parameters, MACs, activation bytes and operators of one architecture."""
    from hwnas import pipeline

    found = pipeline.cost(space, architecture, table=table, missing=missing)
    if as_json:
        _print(found, True, [])
    else:
        from hwnas.terminal import show_costs

        show_costs(found)


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="SPACE|RUN", help="A space, or the folder of a searched run.")],
    as_json: Json = False,
) -> None:
    """What a space holds, or the fronts of a run."""
    from hwnas import pipeline

    if (Path(target) / "experiment.yaml").is_file():
        if as_json:
            _print(
                {tier.name: [dataclasses.asdict(p) for p in tier.front] for tier in pipeline.fronts(target)}, True, []
            )
        else:
            _show_fronts(target, RUNS)
        return
    opened, _ = pipeline.open_space(target)
    facts = pipeline.space_facts(opened)
    if as_json:
        _print(facts, True, [])
    else:
        from hwnas.terminal import show_space

        show_space(facts)


def main() -> None:
    """The entry point: exit code 0 for done, 1 for a failure, 2 for input that cannot be used, 130 for Ctrl-C."""
    try:
        app(prog_name="hwnas")
    except (ConfigError, SpaceError, DataError) as error:
        show_error(error)
        sys.exit(2)
    except HwnasError as error:
        show_error(error)
        sys.exit(1)
    except OSError as error:  # what no room expected: a folder where a file should be, a device that is gone
        show_error(
            RunError(
                f"the system refused ({error.strerror or error})",
                where=str(error.filename or "a file"),
                allowed="Files and folders of a run can be read and written",
                do="Correct that and run the same command again",
            )
        )
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("stopped; the same command continues", file=sys.stderr)
        raise


def _lacking(found: Any) -> str:
    if not found.missing and not found.missing_checks:
        return "; nothing is missing"
    seconds = found.seconds
    about = f"about {max(1, round(seconds))} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
    return f"; missing: {found.missing} rows, {found.missing_checks} checks, {about}"


def _table_path(
    space: str, runtime: str, accelerator: str | None, precision: str, threads: int, cores: str | None
) -> Path:
    name = Path(space).name.removesuffix(".yaml").replace(".py:", "-")
    on = "" if accelerator in (None, "cpu") else f"-{accelerator}"
    return Path("latency_tables") / f"{name}-{runtime}{on}-{precision}-{threads}t{f'-{cores}' if cores else ''}.jsonl"


def _counts(table: Any) -> dict[str, Any]:
    return {
        "table": table.path, "setup": table.setup.as_dict(), "rows": len(table.rows), "checks": len(table.checks)
    }  # fmt: skip


def _searched(tier: Any) -> dict[str, Any]:
    return {
        "trials": tier.finished.trials,
        "failed": tier.finished.failed,
        "stopped": tier.finished.stopped,
        "front": [
            {
                "key": p.architecture.key,
                "scores": dict(p.scores),
                "measured": dict(p.measured),
                "kept": p.kept,
                "picks": list(p.picks),
            }
            for p in tier.front
        ],
    }


def _show_fronts(reference: str, runs: Path) -> None:
    from hwnas import pipeline
    from hwnas.terminal import show_fronts

    show_fronts(pipeline.fronts(reference, runs=runs))


def _print(found: Any, as_json: bool, lines: list[str]) -> None:
    if as_json:
        print(json.dumps(found, indent=1, default=str, allow_nan=False))
    for line in [] if as_json else lines:
        print(line)


if __name__ == "__main__":
    main()
