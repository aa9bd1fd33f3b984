"""`hwnas bench`: latency tables are measured, packed for boards, looked over, joined and imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import RUNS, CommandGroup, Json, Runs, Settings, SpaceReference, edited, refuse_settings
from hwnas.cli.printing import print_result
from hwnas.cli.verbosity import with_verbosity
from hwnas.console import Terminal
from hwnas.errors import ConfigError
from hwnas.words import counted

if TYPE_CHECKING:
    from hwnas.commands.bench import BenchResult

TIMING = "EXPERIMENT|SPACE"
"""The command of `hwnas bench` that has no name of its own."""


class _Bench(CommandGroup):
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
    rich_markup_mode=None,
    subcommand_metavar="pack|lint|merge|import ...",
    help="Kits for boards; tables that are there already, as files.",
)


Cores = Annotated[str | None, typer.Option(help="Cores to keep to: big, little, 0,1 or 4-7; any if left out.")]
ValidationNetworks = Annotated[
    int | None, typer.Option("--networks", min=0, help="Whole networks to time beside the operators; 20 if left out.")
]
Energy = Annotated[str | None, typer.Option(help="Measure energy too, with: auto, rapl, hwmon, iio, nvml or command.")]
EnergyCommand = Annotated[str | None, typer.Option(help="A command, on the board if there is one, that prints watts.")]
Host = Annotated[
    list[str] | None,
    typer.Option(help="Time on this board: pi@raspberrypi, a name in ~/.ssh/config, adb:SERIAL. May be repeated."),
]
Wait = Annotated[float | None, typer.Option(min=0, help="Seconds to wait for a busy device; half an hour if left out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what is missing and how long it will take.")]


@bench_app.command(TIMING, hidden=True)
@with_verbosity
def bench(
    target: Annotated[str, typer.Argument(metavar="EXPERIMENT|SPACE", help="An experiment; with --runtime a space.")],
    runtime: Annotated[str | None, typer.Option(help="Runtime to time a space with, such as tflite.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the set-up; 1 if left out.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch of the set-up; 1 if left out.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision of the set-up; fp32 if left out.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="cpu or cuda; cpu if left out.")] = None,
    cores: Cores = None,
    energy: Energy = None,
    energy_command: EnergyCommand = None,
    memory: Annotated[bool | None, typer.Option("--memory", help="Measure the memory of whole networks too.")] = None,
    validation_networks: ValidationNetworks = None,
    table: Annotated[Path | None, typer.Option(help="Table file to write or to continue.")] = None,
    host: Host = None,
    python: Annotated[str | None, typer.Option(help="The Python on the boards; python3 if left out.")] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="A file for ssh instead of ~/.ssh/config.")] = None,
    wait: Wait = None,
    dry_run: DryRun = False,
    runs: Runs = RUNS,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Time every operator that can occur; rows that are there are not measured again."""
    from hwnas import pipeline

    options = {
        "threads": threads,
        "batch": batch,
        "precision": precision,
        "accelerator": accelerator,
        "cores": cores,
        "energy": energy,
        "energy_command": energy_command,
        "memory": memory,
        "table": table,
        "validation_networks": validation_networks,
        "host": host,
        "python": python,
        "ssh_config": ssh_config,
        "wait": wait,
    }
    requested = {name: value for name, value in options.items() if value is not None}
    if runtime is not None:
        refuse_settings(settings, f"`{target}`", where="hwnas bench")
        tables = _time_space(target, runtime, requested, dry_run=dry_run)
    else:
        _refuse_set_up(target, requested)
        tables = pipeline.bench(edited(target, settings), runs=runs, dry_run=dry_run, reporter=Terminal())
    lines = [
        f"{result.table}: {_holds(result.rows, result.checks)}" + (_lacking(result) if dry_run else "")
        for result in tables
    ]
    print_result([vars(result) for result in tables], as_json, lines)


def _time_space(target: str, runtime: str, requested: Mapping[str, Any], *, dry_run: bool) -> Sequence[BenchResult]:
    """Time a space on the one set-up that options name, here or on boards."""
    from hwnas import pipeline
    from hwnas.config import TimingConfig

    setup, named = dict(requested), {"accelerator": None, "precision": "fp32", "threads": 1, "cores": None, **requested}
    path = _table_path(target, runtime, named["accelerator"], named["precision"], named["threads"], named["cores"])
    setup.setdefault("table", path)
    if (timeout_s := setup.pop("wait", None)) is not None:
        setup["timing"] = TimingConfig(device_lock_timeout_s=timeout_s)
    if "host" in requested:
        setup |= {"hosts": setup.pop("host"), "own_names": "table" not in requested}
        if (command := setup.pop("energy_command", None)) is not None:
            setup["energy"] = {"sensor": requested.get("energy", "command"), "command": command}
        return pipeline.bench_hosts(target, runtime=runtime, **setup, dry_run=dry_run, reporter=Terminal())
    if not requested.keys().isdisjoint(("python", "ssh_config")):
        raise ConfigError(
            "--python and --ssh-config stand without --host",
            where="hwnas bench",
            allowed="They say how a board is reached",
            do="Add --host, or leave them out",
        )
    return [pipeline.bench_space(target, runtime=runtime, **setup, dry_run=dry_run, reporter=Terminal())]


def _refuse_set_up(target: str, requested: Mapping[str, Any]) -> None:
    """Refuse a space, and options of a set-up, where no runtime is named."""
    from hwnas.runtimes import RUNTIMES
    from hwnas.workspace.spaces import is_space

    own_names = {"validation_networks": "networks"}
    if unused := [f"--{own_names.get(name, name).replace('_', '-')}" for name in requested]:
        raise ConfigError(
            f"{unused[0]} stands without --runtime",
            where="hwnas bench",
            allowed="An experiment names its set-ups itself; with --runtime, a space is timed on one set-up",
            do=f"Add --runtime, or leave out {' and '.join(unused)}",
        )
    if is_space(target):
        raise ConfigError(
            f"`{target}` is a space, and no runtime is named",
            where="hwnas bench",
            allowed="An experiment names its set-ups itself; a space is timed on the set-up that options name",
            do=f"Add --runtime, one of {', '.join(RUNTIMES)}",
        )


@bench_app.command("pack")
@with_verbosity
def pack_kit(
    space: SpaceReference,
    out: Annotated[Path, typer.Option("-o", "--out", help="The kit's file, such as kit.pyz.")],
    runtime: Annotated[str, typer.Option(help="Runtime on the board, such as onnxruntime or tflite.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of the set-up.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Batch of the set-up.")] = 1,
    precision: Annotated[str, typer.Option(help="Precision of the set-up.")] = "fp32",
    accelerator: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    cores: Cores = None,
    device: Annotated[str | None, typer.Option(help="The board's name; found out there if left out.")] = None,
    validation_networks: ValidationNetworks = None,
    energy: Energy = None,
    energy_command: EnergyCommand = None,
    memory: Annotated[bool, typer.Option("--memory", help="Measure the memory of whole networks too.")] = False,
    lacking: Annotated[str | None, typer.Option(help="Pack only what this table of the board lacks.")] = None,
    as_json: Json = False,
) -> None:
    """Pack all that a board needs into one file: `python3 kit.pyz` there writes the table, without PyTorch."""
    from hwnas import pipeline

    packed = pipeline.pack(
        space,
        out,
        validation_networks=validation_networks,
        lacking=lacking,
        runtime=runtime,
        threads=threads,
        batch=batch,
        precision=precision,
        accelerator=accelerator,
        cores=cores,
        device=device,
        memory=memory,
        energy={"sensor": energy or "command", "command": energy_command or ""} if energy or energy_command else None,
        reporter=Terminal(),
    )
    sizes = f"{packed.bytes / 1e6:.1f} MB, {packed.unpacked_bytes / 1e6:.1f} MB unpacked"
    line = f"{out}: {counted(packed.files, 'model file')}, {sizes}"
    print_result(vars(packed), as_json, [line, f"next: copy it to the board, and run there: python3 {out.name}"])


@bench_app.command("lint")
@with_verbosity
def lint_table(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables, hwnas's own or published ones.")],
    format: Annotated[
        str | None, typer.Option("--format", help="The published format, if it is not told by the content.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Spell out every warning.")] = False,
    as_json: Json = False,
) -> None:
    """Look for impossible values, damage, copies and noise. Exit code 1 if there are errors, 0 if only warnings."""
    from hwnas import pipeline

    findings = pipeline.lint(tables, format=format)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        counted = {"errors": errors, "warnings": len(findings) - errors}
        print_result({"tables": tables, **counted, "findings": [vars(finding) for finding in findings]}, True, [])
    else:
        from hwnas.console.results import show_findings

        show_findings(findings, verbose=verbose)
    raise typer.Exit(1 if errors else 0)


@bench_app.command("merge")
@with_verbosity
def merge_table(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables of one set-up.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new table.")],
    as_json: Json = False,
) -> None:
    """Write the union of tables to a new one; of anything observed twice the first observation stays."""
    from hwnas import pipeline

    merged = pipeline.merge(tables, out, reporter=Terminal())
    result = _counts(merged.table) | {"alike": merged.alike, "again": merged.again}
    lines = [f"{out}: {_holds(result['rows'], result['checks'])}"]
    if merged.alike or merged.again:
        lines.append(
            f"lines that stand in several tables: {merged.alike}; observed again, where the first one stays: "
            f"{merged.again}"
        )
    print_result(result, as_json, lines)


@bench_app.command("import")
@with_verbosity
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

    options = {
        "device": device,
        "runtime": runtime,
        "runtime_version": runtime_version,
        "threads": threads,
        "precision": precision,
        "batch": batch,
    }
    setup = {name: value for name, value in options.items() if value is not None}
    imported = pipeline.import_table(
        files, out, format=format, source=source, licence=licence, drop_bad=drop_bad, reporter=Terminal(), **setup
    )
    origin = imported.table.origin
    result = _counts(imported.table) | {"origin": vars(origin), "notices": imported.notices}
    line = f"{out}: {counted(result['rows'], 'row')}, published by {origin.source}, licence: {origin.licence}"
    print_result(result, as_json, [line])


def _lacking(result: Any) -> str:
    if not result.missing and not result.missing_checks:
        return "; nothing is missing"
    seconds = result.seconds
    about = f"about {max(1, round(seconds))} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
    return f"; missing: {_holds(result.missing, result.missing_checks)}, {about}"


def _holds(rows: int, checks: int) -> str:
    return f"{counted(rows, 'row')}, {counted(checks, 'check')}"


def _table_path(
    space: str, runtime: str, accelerator: str | None, precision: str, threads: int, cores: str | None
) -> Path:
    name = Path(space).name.removesuffix(".yaml").replace(".py:", "-")
    on = "" if accelerator in (None, "cpu") else f"-{accelerator}"
    return Path("latency_tables") / f"{name}-{runtime}{on}-{precision}-{threads}t{f'-{cores}' if cores else ''}.jsonl"


def _counts(table: Any) -> dict[str, Any]:
    return {"table": table.path, "setup": table.setup.as_dict(), "rows": len(table.rows), "checks": len(table.checks)}
