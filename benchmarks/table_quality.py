"""How long tables take to build, how far they can be trusted, and whether a second one agrees.

    python benchmarks/table_quality.py              # an hour, alone on the machine; writes to docs/results/
    python benchmarks/table_quality.py --setups onnxruntime-fp32-1t --networks 60
    python benchmarks/table_quality.py --again      # later: second tables, and whether they agree
    python benchmarks/table_quality.py --space imu --setups onnxruntime-fp32-1t tflite-fp32-1t --networks 48 \\
        --folder runs/imu_quality --out docs/results/table_quality_imu.json

For a space, by default once-for-all's MobileNetV3 at 224, on each set-up: `hwnas bench` with 20 checks, timed, and
`hwnas check` on networks that the table has not seen, in two sittings. Tables and checks that lie in `--folder` are
kept, so a stopped benchmark continues. `--again` builds a second table, and compares its rows with those of the
first, as they are and corrected for drift by the reference operator.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hwnas import pipeline
from hwnas.console import Terminal
from hwnas.measure.drift import drift_factors, reference_ns
from hwnas.measure.table import LatencyTable, read_table
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SETUPS = (
    "onnxruntime-fp32-1t", "onnxruntime-fp32-2t", "onnxruntime-int8-1t", "tflite-fp32-1t", "tflite-int8-1t",
    "pytorch-fp32-1t",
)  # fmt: skip


def build(space: str, name: str, path: Path) -> dict[str, Any]:
    """Build a table unless it is there; seconds are known only where this call built all of it."""
    runtime, precision, threads = re.fullmatch(r"(\w+)-(\w+)-(\d+)t", name).groups()  # type: ignore[union-attr]
    begin, whole = time.monotonic(), not path.exists()
    pipeline.bench_space(
        space, runtime=runtime, precision=precision, threads=int(threads), table=path, reporter=Terminal()
    )
    facts_path = path.with_suffix(".built.json")
    if whole:
        facts_path.write_text(json.dumps({"seconds": round(time.monotonic() - begin)}))
    table = read_table(path)
    facts = json.loads(facts_path.read_text()) if facts_path.exists() else {"seconds": None}
    rows = list(table.rows.values())
    return {
        "setup": table.setup.as_dict(),
        "rows": len(table.rows),
        "checks": len(table.checks),
        "built_at": rows[0].conditions["at"],
        **facts,
        "retaken": int(sum(row.conditions["retaken"] for row in rows)),
        "median_spread": round(float(np.median([row.spread or 0.0 for row in rows])), 4),
    }


def checked(path: Path, networks: int, artifacts: Path) -> dict[str, Any]:
    """The check of a table, unless its outcome is there."""
    outcome = path.with_suffix(".check.json")
    if not outcome.exists():
        found = pipeline.check(path, networks=networks, artifacts=artifacts, reporter=Terminal())
        outcome.write_text(json.dumps(found.as_dict(), indent=1))
    raw = json.loads(outcome.read_text())
    return {key: value for key, value in raw.items() if key not in ("networks_detail", "setup", "table")}


def agreement(first: LatencyTable, second: LatencyTable) -> dict[str, Any]:
    """Ratios of the rows that two tables share, second over first."""
    keys = [key for key in first.rows if key in second.rows]
    pairs = [(first.rows[key], second.rows[key]) for key in keys]
    usual = reference_ns(first.rows.values())
    factors = [drift_factors([table.rows[key] for key in keys], usual) for table in (first, second)]
    plain = np.array([later.low_ms / early.low_ms for early, later in pairs])
    corrected = plain * np.array(factors[1]) / np.array(factors[0])
    return {
        "rows": len(keys),
        "first_at": pairs[0][0].conditions["at"],
        "second_at": pairs[0][1].conditions["at"],
        **{name: _spread_of(ratios) for name, ratios in (("corrected", corrected), ("as timed", plain))},
    }


def _spread_of(ratios: np.ndarray) -> dict[str, float]:
    return {
        "median_ratio": round(float(np.median(ratios)), 4),
        "within_2": round(float(np.mean(np.abs(ratios - 1) <= 0.02)), 4),
        "within_5": round(float(np.mean(np.abs(ratios - 1) <= 0.05)), 4),
        "within_10": round(float(np.mean(np.abs(ratios - 1) <= 0.10)), 4),
        "worst": round(float(np.abs(ratios - 1).max()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="ofa_mobilenet_v3_224")
    parser.add_argument("--setups", nargs="+", default=SETUPS, choices=SETUPS)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--again", action="store_true", help="compare second tables with the first ones")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "table_quality")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "table_quality.json")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    told = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"setups": {}, "again": {}}
    told |= {"space": arguments.space, "machine": machine(), "versions": versions()}
    told["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    for name in arguments.setups:
        path = arguments.folder / f"{name}.jsonl"
        facts = build(arguments.space, name, path)
        if arguments.again:
            later = path.with_name(f"{name}-again.jsonl")
            build(arguments.space, name, later)
            told["again"][name] = agreement(read_table(path), read_table(later))
        else:
            runtime, precision, _ = name.split("-")
            files = arguments.folder / f"{runtime}-{precision}-files"
            told["setups"][name] = facts | {"check": checked(path, arguments.networks, files)}
        arguments.out.write_text(json.dumps(told, indent=1) + "\n")
        print(name, json.dumps(told["again" if arguments.again else "setups"][name], indent=1))


if __name__ == "__main__":
    main()
