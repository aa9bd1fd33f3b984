"""Tables filled by boards that are reached from here: a kit is sent, its progress and its table come back."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from hwnas.boards.host import open_host
from hwnas.boards.pack import KitContents, pack_kit
from hwnas.boards.session import BoardSession, ConnectionLost
from hwnas.config import SetupConfig
from hwnas.errors import HwnasError, TableError
from hwnas.latency.building.quantities import missing_jobs
from hwnas.latency.building.table_builder import Exports
from hwnas.measure.device_lock import WAIT_S
from hwnas.measure.energy.meter import EnergyProtocol
from hwnas.measure.origin import MEASURED
from hwnas.measure.table import LatencyTable, read_table
from hwnas.measure.timing import Timing
from hwnas.network import Network
from hwnas.ops import Operator, Shape
from hwnas.runtimes import Setup
from hwnas.workspace.progress import Bar, Reporter

MAX_RECONNECTS = 5
"""Number of times in a row that the connection to a board may break without a new row."""
RECONNECT_PAUSE_S = 3.0
"""Pause between two tries."""


@dataclass(frozen=True)
class BenchRequest:
    """Work that a board or this machine is to time, and the table on this machine that the times go to."""

    config: SetupConfig
    requested: Setup
    """The set-up as far as it is known here."""
    path: Path
    exports: Exports
    operators: Sequence[tuple[Operator, Shape]]
    networks: Sequence[Network]
    space: tuple[str, str] | None = None
    """Name and reference of the space that it is for."""
    energy: EnergyProtocol | None = None
    """Protocol by which energy is measured; None if it is not."""
    memory: bool = False
    """True if the memory of networks is measured as well."""
    wait_s: float = WAIT_S
    """Time to wait for the board while somebody else measures on it."""


def board_table(path: Path, wanted: Setup) -> LatencyTable:
    """Return the table of a board, of a set-up that is known except for the fields that only the board knows.

    Raises:
        TableError: it is damaged, of another set-up, or no processor took its times.
    """
    table = read_table(path)
    known = {name: getattr(table.setup, name) for name in ("device", "runtime_version") if not getattr(wanted, name)}
    if unlike := table.setup.differences(replace(wanted, **known)):
        raise TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then the wanted one)",
            where=str(path),
            allowed="Rows of unlike set-ups never mix",
            do="Name another table, or restore the set-up",
        )
    if table.origin != MEASURED:
        raise TableError(
            f"the table was {table.origin}",
            where=str(path),
            allowed="Only what was measured on the board counts as its timing",
            do="Name another table",
        )
    return table


def fill_on_hosts(
    orders: Sequence[BenchRequest], timing: Timing, artifacts: Path, reporter: Reporter, title: str
) -> list[LatencyTable]:
    """Have boards time what their tables lack, all at once; what was timed is in the tables here, however it ends.

    Raises:
        HwnasError: that of the first board that failed, after the others have finished.
    """
    by_host: dict[str, list[int]] = {}
    for number, order in enumerate(orders):  # two at once on one board would slow each other
        by_host.setdefault(str(order.config.host), []).append(number)
    with reporter.bar(title) as bar, ThreadPoolExecutor(max(1, len(by_host))) as pool:
        parts, packing = _ProgressShare(bar, len(orders)), Lock()  # PyTorch's seed is one for all threads

        def fill_all(numbers: Sequence[int]) -> list[tuple[int, LatencyTable]]:
            return [
                (number, _fill(orders[number], timing, artifacts, partial(parts.update, number), reporter, packing))
                for number in numbers
            ]

        jobs = [pool.submit(fill_all, numbers) for numbers in by_host.values()]
        failures = [error for job in jobs if (error := job.exception()) is not None]
        for error in failures[1:]:
            reporter.info(f"also: {error}")
        filled = dict(pair for job in jobs for pair in job.result())
    return [filled[number] for number in range(len(orders))]


class _ProgressShare:
    """One bar for several boards."""

    def __init__(self, bar: Bar, count: int) -> None:
        self._bar, self._done, self._lock = bar, [0.0] * count, Lock()

    def update(self, number: int, done: float, total: float, text: str) -> None:
        with self._lock:
            self._done[number] = done / total if total else 1.0
            self._bar.update(sum(self._done), len(self._done), text)


def _fill(
    order: BenchRequest, timing: Timing, artifacts: Path, update: partial[None], reporter: Reporter, packing: Lock
) -> LatencyTable:
    host = open_host(str(order.config.host), ssh_config=order.config.ssh_config)
    board = BoardSession(host, _key(order), order.config.python)
    failed = 0
    while True:
        before = _lines(order.path)
        try:
            return _run_on_board(board, order, timing, artifacts, update, reporter, packing)
        except ConnectionLost as error:
            failed = 1 if _lines(order.path) > before else failed + 1
            if error.lasting or failed == MAX_RECONNECTS:
                raise
            reporter.info(f"{error}; trying again")
            time.sleep(RECONNECT_PAUSE_S)
        except HwnasError:
            with suppress(HwnasError):
                board.pull_table(order.path)
            raise


def _run_on_board(
    board: BoardSession,
    order: BenchRequest,
    timing: Timing,
    artifacts: Path,
    update: partial[None],
    reporter: Reporter,
    packing: Lock,
) -> LatencyTable:
    """Run one visit to a board; what it kept from an earlier one is fetched first."""
    if order.path.exists():
        board_table(order.path, order.requested)
    update(0, 1, f"looking at {board.host.name}")
    board.pull_table(order.path)
    table = (
        board_table(order.path, order.requested) if order.path.exists() else LatencyTable(order.path, order.requested)
    )
    jobs = missing_jobs(table, order.operators, order.networks, energy=order.energy is not None, memory=order.memory)
    if not jobs:
        return _finished(board, table, order)
    kit = order.path.with_name(f"{order.path.name}.kit")
    packed = partial(
        pack_kit, kit, kit_contents(order, timing, order.path.name), artifacts=artifacts / order.requested.runtime
    )
    try:
        with packing:
            packed([])
        board.push_kit(kit)
        _refuse_other(board, table, board.run(update, reporter.info, ["--dry-run"])["setup"])
        with packing:
            packed(jobs, progress=lambda done, planned, what: update(done, 2 * planned, what))
        board.push_kit(kit)
    finally:
        kit.unlink(missing_ok=True)
    board.run(
        lambda done, planned, what: update(planned + done, 2 * planned, f"{board.host.name}: {what}"),
        lambda line: reporter.info(f"{board.host.name}: {line}"),
        ["--wait", f"{order.wait_s:g}"],
    )
    board.pull_table(order.path)
    return _finished(board, board_table(order.path, order.requested), order)


def kit_contents(order: BenchRequest, timing: Timing, table: str) -> KitContents:
    """Return what a kit says beside its jobs; `table` is the name of the file that the board writes."""
    return KitContents(order.requested, order.exports, timing, table, order.space, order.energy, order.memory)


def _finished(board: BoardSession, table: LatencyTable, order: BenchRequest) -> LatencyTable:
    """Return the whole table; nothing of it stays on the board."""
    if order.space is not None:
        table.append_space(*order.space)
    board.cleanup()
    return table


def _refuse_other(board: BoardSession, table: LatencyTable, fields: dict[str, object]) -> None:
    """Refuse a board that is not the table's, before anything is timed on it."""
    there = Setup(**fields)  # type: ignore[arg-type]
    if table.rows and (unlike := table.setup.differences(there)):
        raise TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then the board's)",
            where=f"{table.path} / {board.host.name}",
            allowed="Rows of unlike set-ups never mix",
            do="Name another table, or restore the set-up",
        )


def _key(order: BenchRequest) -> str:
    """Return the folder on the board: the same for the same table of the same machine, and unique to that machine."""
    known = json.dumps([platform.node(), str(order.path.absolute()), order.requested.as_dict()])
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", order.path.stem).strip("-.")[:40]
    return f"{stem}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def host_table(table: Path, host: str) -> Path:
    """Return a table's file with the host's name added: each board has a separate table."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", host).strip("-.")
    return table.with_name(f"{table.stem}-{name}{table.suffix}")
