"""Packing a kit: model files are made, and put into one archive with the code that times them. Desk side."""

from __future__ import annotations

import ast
import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from hwnas import __version__
from hwnas.boards.archive import KIT_MANIFEST, KitManifest, Member, checksum
from hwnas.errors import ConfigError, ExportError, HwnasError, RunError, reason
from hwnas.io.atomic import why_unwritable, write_atomic
from hwnas.io.checksum import sha256_of
from hwnas.latency.building.table_builder import REFERENCE_JOB, Exports, MeasureJob, first_line, job_files
from hwnas.measure.energy import SENSORS
from hwnas.measure.energy.meter import EnergyProtocol
from hwnas.measure.events import Progress, no_progress
from hwnas.measure.timing import Timing
from hwnas.registry import distribution_of
from hwnas.runtimes import RUNTIMES, Setup, runtime_spec
from hwnas.words import brief, listed

PACKAGE = Path(__file__).resolve().parents[1]
ENTRIES = ("boards/start.py", "measure/worker.py")
"""Files that run on a board, together with all that they import."""
SHEBANG = b"#!/usr/bin/env python3\n"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member: equal contents make equal kits."""


@brief
@dataclass(frozen=True)
class PackedKit:
    """A kit after packing."""

    path: Path
    files: int
    """Number of model files in it."""
    bytes: int
    unpacked_bytes: int
    """Bytes that the model files take on a board."""


@dataclass(frozen=True)
class KitContents:
    """A kit without its jobs: set-up, protocol, table."""

    setup: Setup
    """The board's set-up; fields that only the board knows are empty."""
    exports: Exports
    timing: Timing
    table: str
    """Name of the file that the board writes."""
    space: tuple[str, str] | None = None
    """Name and reference of the space that it is for."""
    energy: EnergyProtocol | None = None
    """Protocol by which energy is measured there; None if it is not."""
    memory: bool = False
    """True if the memory of networks is measured there as well."""


def refuse_runtime(runtime: str) -> None:
    """Refuse a runtime that no kit can be packed for.

    Raises:
        ConfigError: the runtime needs more than a board has, or its code is another distribution's.
    """
    spec = runtime_spec(runtime)
    if spec.requirement is not None and runtime in RUNTIMES.own:
        return
    why = "" if runtime in RUNTIMES.own else f", which {distribution_of(RUNTIMES.installed[runtime])} adds"
    raise ConfigError(
        f"no kit can be packed for runtime `{runtime}`{why}",
        where="set-up",
        allowed=f"A kit holds code of hwnas alone: on a board run {', '.join(packable())}",
        do="Use one of them",
    )


def refuse_sensor(energy: EnergyProtocol | None) -> None:
    """Refuse a sensor of another distribution, whose code no kit holds.

    Raises:
        ConfigError: it is such a sensor.
    """
    if energy is not None and energy.sensor not in ("auto", *SENSORS.own):
        raise ConfigError(
            f"no kit can be packed for the sensor `{energy.sensor}`",
            where="set-up: energy",
            allowed=f"A kit holds code of hwnas alone: on a board read {', '.join(SENSORS.own)}",
            do="Use one of them",
        )


def packable() -> list[str]:
    """Return the runtimes that a kit can be packed for."""
    return [name for name, spec in RUNTIMES.own.items() if spec.requirement is not None]


def refuse_output(path: Path) -> None:
    """Refuse a kit that cannot be written, before any work is done for it.

    Raises:
        RunError: it is a folder, or nothing can be written there.
    """
    if why := why_unwritable(path):
        raise _unwritten(path, why)


def _unwritten(path: Path, why: str) -> RunError:
    return RunError(
        f"the kit cannot be written ({why})",
        where=str(path),
        allowed="A kit is a file in a folder that can be written, on a disk with room",
        do="Name another file, or free the disk",
    )


def pack_kit(
    path: Path,
    contents: KitContents,
    jobs: Sequence[MeasureJob],
    *,
    artifacts: Path,
    progress: Progress = no_progress,
) -> PackedKit:
    """Write a kit of these jobs, and of the reference that all tables are timed with. Without jobs it only looks at a
    board.

    Model files are kept in `artifacts`, and used again.

    Raises:
        ExportError: a job's file cannot be made; all of them are listed.
        ConfigError: no kit can be packed for the runtime.
        RunError: the kit cannot be written.
    """
    setup, energy = contents.setup, contents.energy
    refuse_runtime(setup.runtime)
    refuse_sensor(energy)
    refuse_output(path)
    every = [REFERENCE_JOB, *jobs] if jobs else []
    made = job_files(every, setup, contents.exports, artifacts, progress)
    _refuse_failures(path, every, made)
    files = {f"files/{file.name}": file for file in made if isinstance(file, Path)}
    packed = [
        Member(job.target.name, f"files/{file.name}", file.stat().st_size, job.line)
        for job, file in zip(every, made, strict=True)
        if isinstance(file, Path)
    ]
    code = board_code()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in code.items()}
    digests |= {name: sha256_of(file) for name, file in files.items()}
    manifest = KitManifest(
        __version__,
        setup.as_dict(),
        asdict(contents.timing),
        contents.table,
        packed[1:],
        next(iter(packed), None),
        contents.space or (),
        None if energy is None else asdict(energy),
        contents.memory,
        digests,
    )
    _write(path, manifest.encoded(), code, files)
    return PackedKit(path, len(files), path.stat().st_size, sum(file.stat().st_size for file in files.values()))


def board_code() -> Mapping[str, bytes]:
    """Return the files of this package that run on a board, by their place in a kit: `ENTRIES` and what they import."""
    todo, paths = [PACKAGE / "__init__.py", *(PACKAGE / entry for entry in ENTRIES)], set[Path]()
    while todo:
        path = todo.pop()
        if path not in paths:
            paths.add(path)
            todo += [file for module in _imported(path) for file in _files_of(module)]
    code = {str(path.relative_to(PACKAGE.parent)): path.read_bytes() for path in sorted(paths)}
    return {"__main__.py": (PACKAGE / ENTRIES[0]).read_bytes(), **code}


def _imported(path: Path) -> Iterator[str]:
    """Yield modules of this package that a file imports when it runs, and those in its tables of "module:attribute"."""
    todo: list[ast.AST] = [ast.parse(path.read_bytes())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.parent.name == "runtimes":
            yield node.value.partition(":")[0]
        todo += ast.iter_child_nodes(node)


def _files_of(module: str) -> Iterator[Path]:
    """Yield a module's file and those of its packages; nothing for other packages' modules and for attributes."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return
    for count in range(1, len(parts) + 1):
        stem = PACKAGE.parent.joinpath(*parts[:count])
        yield from (file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file())


def _refuse_failures(path: Path, jobs: Sequence[MeasureJob], made: Sequence[Path | HwnasError]) -> None:
    failures = [
        f"{job.target.name}: {first_line(file)}"
        for job, file in zip(jobs, made, strict=True)
        if isinstance(file, HwnasError)
    ]
    if failures:
        raise ExportError(
            f"{len(failures)} of {len(jobs)} files cannot be made: {listed(failures)}",
            where=str(path),
            allowed="Every operator of the space must become a file of the kit",
            do="Change these operators, or pack for another runtime",
        )


def _write(path: Path, manifest: bytes, code: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    def write(file: BinaryIO) -> None:
        os.fchmod(file.fileno(), 0o755)
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = checksum(manifest)
            for name, content in _members(manifest, code, files):
                archive.writestr(_info(name), content)

    try:
        write_atomic(path, write)
    except OSError as error:
        raise _unwritten(path, reason(error)) from error


def _members(manifest: bytes, code: Mapping[str, bytes], files: Mapping[str, Path]) -> Iterable[tuple[str, bytes]]:
    yield from code.items()
    yield KIT_MANIFEST, manifest
    for name, file in files.items():
        yield name, file.read_bytes()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info
