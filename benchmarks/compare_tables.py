"""How often two tables of one machine are told apart that are alike, and how often a slow-down is found.

    python benchmarks/compare_tables.py --tables 14      # ten minutes; writes to docs/results/

Tables of one space are built one after the other and compared in pairs, as they are and with all rows of the second
made slower or faster by a share. Tables that lie in `--folder` are kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped

from hwnas import pipeline
from hwnas.console import Terminal
from hwnas.latency.tables.comparison import TableComparison, compare_tables
from hwnas.measure.table import LatencyTable, read_table
from hwnas.measure.timing import REFERENCE_CONDITION, Measurement

ROOT = Path(__file__).resolve().parent.parent
DISTURBED = 1.2
"""Ratio of the reference to its low time from which a round counts as disturbed."""


def scaled(table: LatencyTable, factor: float) -> LatencyTable:
    """The same table with rows that take so many times as long; the reference stays."""
    rows = {
        key: Measurement(tuple(factor * ns for ns in row.rounds_ns), row.conditions) for key, row in table.rows.items()
    }
    return dataclasses.replace(table, rows=rows)


def disturbed(table: LatencyTable) -> float:
    """Share of rounds in which the reference was slow."""
    reference = np.concatenate([row.conditions[REFERENCE_CONDITION] for row in table.rows.values()])
    return float(np.mean(reference > DISTURBED * np.quantile(reference, 0.02)))


def summary(compared: list[TableComparison]) -> dict[str, Any]:
    """Verdicts, and how far ratios and intervals reach."""
    return {
        "pairs": len(compared),
        "verdicts": Counter(one.verdict for one in compared),
        "largest_log_ratio": max(abs(float(np.log(one.ratio))) for one in compared),
        "median_interval": float(np.median([one.high - one.low for one in compared])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="imu")
    parser.add_argument("--tables", type=int, default=14)
    parser.add_argument("--share", type=float, default=0.03, help="by which rows are made slower or faster")
    parser.add_argument("--steady", type=float, default=0.5, help="least share of undisturbed rounds in a steady table")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "compare_tables")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "compare_tables.json")
    arguments = parser.parse_args()
    tables = []
    for number in range(1, arguments.tables + 1):
        path = arguments.folder / f"t{number}.jsonl"
        if not path.exists():
            pipeline.bench_space(
                arguments.space, runtime="onnxruntime", table=path, validation_networks=6, reporter=Terminal()
            )
        tables.append(read_table(path))
    shares = [disturbed(table) for table in tables]
    result: dict[str, Any] = {"space": arguments.space, "rows": len(tables[0].rows), "disturbed_rounds": shares}
    steady = [table for table, share in zip(tables, shares, strict=True) if share <= 1 - arguments.steady]
    for name, known in (("all", tables), ("steady", steady)):
        pairs = list(itertools.combinations(known, 2))
        result[name] = {
            label: summary([compare_tables(one, scaled(other, factor)) for one, other in pairs])
            for label, factor in (
                ("as they are", 1.0),
                (f"{arguments.share:.0%} slower", 1 + arguments.share),
                (f"{arguments.share:.0%} faster", 1 / (1 + arguments.share)),
            )
        }
    publish(stamped(result), arguments.output)


if __name__ == "__main__":
    main()
