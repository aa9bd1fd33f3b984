"""A kit on its board, `python3 kit.pyz`: the files are timed, the table stands beside it; started again it continues.
Board side: Python 3.9 syntax, no numpy at module level."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.boards.archive import Kit, Member, damaged, open_kit
from hwnas.boards.reporter import BoardReporter, JsonReporter, Stopped, TerminalReporter, exclusive, stop_when_alone
from hwnas.boards.requirements import check_requirements
from hwnas.errors import ConfigError, HwnasError, RunError, TableError, nameless, reason
from hwnas.io.fields import FieldError
from hwnas.measure.device_lock import WAIT_S, LockWait
from hwnas.words import listed

if TYPE_CHECKING:
    from hwnas.measure.table import LatencyTable
    from hwnas.measure.timing import Timing
    from hwnas.runtimes import Runtime

STOPPED = 130


def main(path: str, arguments: Sequence[str]) -> int:
    """Run the kit in a file: exit code 0 for done, 1 for a failure, 2 for arguments that cannot be used, 130 if it was
    stopped."""
    options = _parser().parse_args(arguments)
    teller: BoardReporter = JsonReporter() if options.attended else TerminalReporter()
    if options.attended:
        stop_when_alone()
    try:
        _run(open_kit(Path(path)), options, teller)
    except ConfigError as error:
        teller.error(error)
        return 2
    except HwnasError as error:
        teller.error(error)
        return 1
    except OSError as error:  # what no room expected
        teller.error(_refused(error))
        return 1
    except (KeyboardInterrupt, Stopped):
        with suppress(Stopped):
            teller.say("stopped; the same command continues")
        return STOPPED
    return 0


def _refused(error: OSError) -> RunError:
    return RunError(
        f"the system refused ({reason(error)})",
        where=str(error.filename or nameless()),
        allowed="The table's folder can be written, and has room",
        do="Correct that, or name a table with --out",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 kit.pyz",
        description="Times the operators in this file, and writes the table beside it.",
        epilog="What the table holds is not timed again.",
    )
    parser.add_argument("--out", metavar="FILE", help="the table's file; beside the kit if left out")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the runtime, instead of the kit's number")
    parser.add_argument("--cores", metavar="LIST", help="the processors that are used: big, little, 4-7 or 0,2")
    parser.add_argument("--device", metavar="NAME", help="what the board is called; found out if left out")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        default=WAIT_S,
        help="how long to wait where somebody else measures on this board; half an hour if left out",
    )
    parser.add_argument("--list", action="store_true", help="list what is in the kit and what the table lacks of it")
    parser.add_argument("--dry-run", action="store_true", help="only tell the set-up, what is missing and how long")
    parser.add_argument("--attended", action="store_true", help=argparse.SUPPRESS)  # for `hwnas bench --host`
    return parser


def _run(kit: Kit, options: argparse.Namespace, teller: BoardReporter) -> None:
    check_requirements(kit.manifest.setup["runtime"])
    from hwnas.measure.conditions.cores import chosen
    from hwnas.measure.conditions.tree import Tree
    from hwnas.measure.origin import origin_here
    from hwnas.measure.table import LatencyTable, open_table, read_table_of
    from hwnas.measure.timing import Timing
    from hwnas.runtimes import checked_setup, open_setup
    from hwnas.runtimes.setup import Setup

    runtime = open_setup(checked_setup(Setup(**_setup(kit, options))))
    try:
        timing, out = Timing(**kit.manifest.timing), _out(kit, options)
    except TypeError as error:  # a key that no protocol has
        raise damaged(kit.path, "its `timing` is no protocol of measuring") from error
    chosen(runtime.setup.cores, runtime.setup.threads, timing.pin, Tree())  # refused before anything is unpacked
    if options.list or options.dry_run:
        there = read_table_of(out, runtime.setup, origin_here()) if out.exists() else LatencyTable(out, runtime.setup)
        _look(kit, options, there, timing, teller)
        return
    with exclusive(out, teller.patience_s):
        table = open_table(out, runtime.setup, origin_here())
        for notice in table.notices:
            teller.say(notice)
        if table.origin.kind == "emulated":
            teller.say(f"the table is {table.origin}: it shows that the kit runs, no search accepts it")
        _fill(kit, table, runtime, timing, teller, LockWait(options.wait, teller.say))
        if kit.manifest.space:
            table.append_space(*kit.manifest.space)
    teller.done(out, len(table.rows), len(table.checks))


def _setup(kit: Kit, options: argparse.Namespace) -> dict[str, Any]:
    """Return the set-up that the runtime is opened with: the kit's, with the command's options in place of its own, and
    the processor's own name where neither has one."""
    from hwnas.runtimes.setup import cpu_name

    requested = {name: getattr(options, name) for name in ("threads", "cores", "device")}
    wish = {**kit.manifest.setup, **{name: value for name, value in requested.items() if value is not None}}
    device = wish.get("device") or (cpu_name() if wish.get("accelerator", "cpu") == "cpu" else "")
    return {**wish, "device": device, "runtime_version": ""}


def _out(kit: Kit, options: argparse.Namespace) -> Path:
    if options.out:
        return Path(options.out)
    parts = (f"{options.threads}t" if options.threads is not None else "", options.cores or "")
    return kit.path.with_name("-".join([*filter(None, parts), kit.manifest.table]))


def _missing(kit: Kit, table: LatencyTable) -> Mapping[str, list[Member]]:
    """Return the members that the table lacks, by quantity."""
    from hwnas.measure.table_lines import Subject, subject_of

    jobs: list[tuple[Member, Subject]] = []
    for number, job in enumerate(kit.manifest.jobs):
        try:
            jobs.append((job, subject_of(job.line)))
        except FieldError as error:
            raise damaged(kit.path, f"`jobs[{number}].line`: {error}") from error
    return {
        "time": [job for job, _ in jobs if not table.holds(job.line)],
        "energy": [job for job, about in jobs if kit.manifest.energy is not None and about.key not in table.energy],
        "memory": [
            job
            for job, about in jobs
            if kit.manifest.memory and about.kind == "check" and about.key not in table.memory
        ],
    }


def _fill(
    kit: Kit, table: LatencyTable, runtime: Runtime, timing: Timing, teller: BoardReporter, queue: LockWait
) -> None:
    """Measure what the table lacks, and store it; a failed measurement does not cost the others their rows."""
    from hwnas.measure.energy.job import measure_energy
    from hwnas.measure.energy.meter import EnergyProtocol
    from hwnas.measure.memory import measure_memory
    from hwnas.measure.session import measure_in_sessions

    missing = _missing(kit, table)
    wanted = {job.file: job for jobs in missing.values() for job in jobs}
    if not wanted:
        return
    folder = table.path.with_name(f"{table.path.name}.files")
    teller.progress(0, len(wanted), "unpacking")
    if kit.manifest.reference:
        wanted[kit.manifest.reference.file] = kit.manifest.reference
    _check_space(folder, list(wanted.values()))
    files = dict(zip(wanted, kit.extract(list(wanted.values()), folder)))
    first = files[kit.manifest.reference.file] if kit.manifest.reference else None
    failures: list[str] = []

    def store(quantity: str, outcomes: Iterator[tuple[int, Any]], append: Callable[..., None]) -> None:
        for index, outcome in outcomes:
            job = missing[quantity][index]
            if isinstance(outcome, str):
                failures.append(f"{job.name}: {outcome}")
            else:
                append(job.line, outcome, *([job.bytes] if quantity == "time" else []))

    paths = {quantity: [files[job.file] for job in jobs] for quantity, jobs in missing.items()}
    timed = measure_in_sessions(paths["time"], runtime, timing, reference=first, progress=teller.progress, queue=queue)
    store("time", timed, table.append)
    if paths["memory"]:
        peaks = measure_memory(paths["memory"], runtime, progress=teller.progress, queue=queue)
        store("memory", peaks, table.append_memory)
    if paths["energy"]:
        protocol = EnergyProtocol(**(kit.manifest.energy or {}))
        metered = measure_energy(
            paths["energy"], runtime, protocol, pin=timing.pin, progress=teller.progress, queue=queue
        )
        store("energy", metered, table.append_energy)
    shutil.rmtree(folder, ignore_errors=True)
    if failures:
        raise _unmeasured(table, failures)


def _unmeasured(table: LatencyTable, failures: Sequence[str]) -> TableError:
    return TableError(
        f"{len(failures)} could not be measured: {listed(failures)}",
        where=str(table.path),
        allowed=f"Every file of the kit must be run by {table.setup.runtime} {table.setup.runtime_version}",
        do="Try another version of the runtime; what was measured is stored, the same command continues",
    )


def _check_space(folder: Path, wanted: Sequence[Member]) -> None:
    """Refuse to begin if the disk has no room for the files."""
    there = {path.name for path in folder.glob("*")} if folder.is_dir() else set()
    lacking = sum(packed.bytes for packed in wanted if os.path.basename(packed.file) not in there)
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < lacking:
        raise TableError(
            f"the model files take {lacking / 1e6:.1f} MB, {free / 1e6:.1f} MB are free",
            where=str(folder.parent),
            allowed="Model files are taken out of the kit to be timed, and removed afterwards",
            do="Free the disk, or name a table on another one with --out",
        )


def _look(kit: Kit, options: argparse.Namespace, table: LatencyTable, timing: Timing, teller: BoardReporter) -> None:
    by_quantity = _missing(kit, table)
    missing = list({job.file: job for jobs in by_quantity.values() for job in jobs}.values())
    if options.list:
        lacking = {packed.file for packed in missing}
        for job in kit.manifest.jobs:
            teller.say(f"{'missing' if job.file in lacking else 'there':<8} {job.bytes:>12,} bytes  {job.name}")
    samples_s = timing.rounds * (1 + 1 / 8) * timing.min_sample_ms / 1e3
    least_s = len(missing) * (samples_s + max(1, timing.processes) * timing.warm_up_ms / 1e3)
    size = sum(packed.bytes for packed in missing)
    what = f"{len(missing)} of {len(kit.manifest.jobs)} are missing in {table.path}: at least {least_s:.0f} s, "
    teller.looked(table.setup.as_dict(), what + f"{size / 1e6:.1f} MB of model files meanwhile")
