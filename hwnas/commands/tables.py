"""Latency tables as files: linted, merged, imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.io.resources import find_file
from hwnas.workspace.progress import Reporter, default_reporter

if TYPE_CHECKING:  # operators are imported with these, and PyTorch with them: files are looked for first
    from hwnas.latency.linting.findings import Finding
    from hwnas.latency.published import Imported
    from hwnas.latency.tables.merge import Merged


def lint(tables: Sequence[str | Path], *, format: str | None = None) -> list[Finding]:
    """Return the faults of tables, hwnas's own or published ones: damage, impossible values, copies, noise.

    Args:
        tables: files, or names of shipped tables; copies are looked for across all of them.
        format: the published format of all files; recognised by their content if left out.

    Returns:
        Findings, each with its rule and place; none for sound tables.

    Raises:
        TableError: a file cannot be read, or is of no known format.
        ConfigError: a file is missing, or there is no such format.

    Example:
        >>> from hwnas import pipeline
        >>> [finding for finding in pipeline.lint(["runs/mini/latency/cpu.jsonl"]) if finding.severity == "error"]
        []
    """
    files = [find_file(table, "latency_tables") for table in tables]
    from hwnas.latency.linting.lint import lint_tables

    return lint_tables(files, format)


def merge(tables: Sequence[str | Path], out: Path, *, reporter: Reporter | None = None) -> Merged:
    """Write the union of tables of one set-up to a new file; of anything observed twice the first one stays.

    Args:
        tables: files, or names of shipped tables.
        out: the new file.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The new table, and how many observations were left out.

    Raises:
        TableError: the tables are damaged or of different set-ups, or the file exists.
        ConfigError: a file is missing.

    Example:
        >>> from pathlib import Path
        >>> from hwnas import pipeline
        >>> len(pipeline.merge(["runs/mini/latency/cpu.jsonl"], Path("all.jsonl")).table.rows)
        6
    """
    files = [find_file(table, "latency_tables") for table in tables]
    from hwnas.latency.tables.merge import merge_tables

    merged = merge_tables(files, out)
    for notice in merged.notices:
        default_reporter(reporter).info(notice)
    return merged


def import_table(
    files: Sequence[str | Path],
    out: Path,
    *,
    format: str,
    source: str | None = None,
    licence: str | None = None,
    drop_bad: bool = False,
    reporter: Reporter | None = None,
    **setup: Any,
) -> Imported:
    """Write a published table as one of hwnas.

    Args:
        files: the published files.
        out: the new table.
        format: a name in `hwnas.latency.published.PUBLISHED_FORMATS`.
        source: publication, in place of the format's own.
        licence: of the files, in place of the format's own.
        drop_bad: leave out values that are no durations, instead of refusing the files.
        reporter: receives messages and progress; silent if left out.
        setup: fields of the set-up that the files lack, such as `device` or `threads`.

    Returns:
        The table, in milliseconds a call, and notices about values that did not become rows.

    Raises:
        TableError: a file is not of the format, a value is no duration, or the new table exists.
        ConfigError: a file is missing, or the format or a field is unknown.

    Example:
        >>> from pathlib import Path
        >>> from hwnas import pipeline
        >>> _ = Path("v100.txt").write_text("{Regular,1,16,56,56,32,3,1,0} 0.05")
        >>> imported = pipeline.import_table(["v100.txt"], Path("v100.jsonl"), format="tinynas", device="V100")
        >>> len(imported.table.rows)
        2
    """
    paths = [find_file(file, "latency_tables") for file in files]
    from hwnas.latency.published import import_tables

    imported = import_tables(paths, out, format=format, source=source, licence=licence, drop_bad=drop_bad, **setup)
    for notice in imported.notices:
        default_reporter(reporter).info(notice)
    return imported
