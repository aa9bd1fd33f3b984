"""Latency tables as files: linted, merged, imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.io.resources import find_file
from hwnas.workspace.progress import Reporter, default_reporter

if TYPE_CHECKING:  # operators are imported with these, and PyTorch with them: files are looked for first
    from hwnas.latency.linting.findings import Finding
    from hwnas.latency.merge import Merged
    from hwnas.latency.published import Imported


def lint(tables: Sequence[str | Path], *, format: str | None = None) -> list[Finding]:
    """Return the faults of tables, hwnas's own or published ones: damage, impossible values, copies, noise.

    Args:
        tables: files, or names of shipped tables; copies are looked for across all of them.
        format: the published format of all files; recognised by their content if left out.
    """
    files = [find_file(table, "latency_tables") for table in tables]
    from hwnas.latency.linting.lint import lint_tables

    return lint_tables(files, format)


def merge(tables: Sequence[str | Path], out: Path, *, narrator: Reporter | None = None) -> Merged:
    """Write the union of tables of one set-up to a new file; of anything observed twice the first one stays."""
    files = [find_file(table, "latency_tables") for table in tables]
    from hwnas.latency.merge import merge_tables

    merged = merge_tables(files, out)
    for notice in merged.notices:
        default_reporter(narrator).info(notice)
    return merged


def import_table(
    files: Sequence[str | Path],
    out: Path,
    *,
    format: str,
    source: str | None = None,
    licence: str | None = None,
    drop_bad: bool = False,
    narrator: Reporter | None = None,
    **setup: Any,
) -> Imported:
    """Write a published table as one of hwnas; `setup` are fields of the set-up that the file lacks."""
    paths = [find_file(file, "latency_tables") for file in files]
    from hwnas.latency.published import import_tables

    imported = import_tables(paths, out, format=format, source=source, licence=licence, drop_bad=drop_bad, **setup)
    for notice in imported.notices:
        default_reporter(narrator).info(notice)
    return imported
