"""How well are missing rows inferred? On published convolution latencies of a V100, at shares of the rows.

    python benchmarks/v100_missing_rows.py --table ../shared/data/latency/tinynas_v100_conv_fp32.txt.gz --json

A tenth of the rows, drawn once, is what every share is judged by; training rows are drawn from the others (at 0.1
that is 90 % held out). The model is the one behind `missing: estimate` (LogRegressor of
hwnas.latency.imputation.log_regressor). Beside it: linear interpolation of log latency between the nearest
simplices, in log channels and log size, separately for each type, batch, kernel, stride and fusion; the nearest row
outside the hull, the group's median without any.

Keys: `table`, `rows` (valid ones), `dropped` (no result), `test_rows`, `shares`: by share of the rows `train_rows`,
`within_10`, `within_5` and `mape` of the model (shares of the test rows; MAPE as a fraction), `coverage_90` of its 90 %
interval, `linear_within_10`, `linear_within_5`, `linear_mape`, and `seconds` for fitting and predicting.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.imputation.log_regressor import Z90, Described, LogRegressor
from hwnas.latency.imputation.missing_rows import tiles

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
ROW = re.compile(r"\{(\w+),([\d,]+)\}\s+(\S+)")
TYPES = ("Regular", "Depthwise")
PROCESSORS = 80  # streaming multiprocessors of a V100 (NVIDIA, 2017)

Floats = NDArray[np.float64]


def read(path: Path) -> tuple[Floats, Floats]:
    """(rows, 9) type, batch, in channels, height, width, out channels, kernel, stride, fused; and (rows,) ms."""
    keys, ms = [], []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        for number, line in enumerate(file, 1):
            found = ROW.fullmatch(line.strip())
            if not found or found[1] not in TYPES or found[2].count(",") != 7:
                raise SystemExit(f"{path}:{number}: not a row {{type,8 numbers}} ms: {line.strip()[:80]!r}")
            keys.append([TYPES.index(found[1]), *map(int, found[2].split(","))])
            ms.append(float(found[3]))
    return np.array(keys, dtype=float), np.array(ms)


def described(keys: Floats) -> Described:
    """The rows as the regressor wants them, batch included."""
    kind, batch, inputs, height, width, outputs, kernel, stride, fused = keys.T
    depth = np.where(kind == 1, 1, inputs) * kernel**2
    pixels = batch * np.ceil(height / stride) * np.ceil(width / stride)
    macs, weights = pixels * outputs * depth, outputs * depth
    read_, written = batch * inputs * height * width, pixels * outputs
    filled, hints = tiles(pixels, outputs, depth, PROCESSORS)
    tall, wide = np.ceil(height / stride), np.ceil(width / stride)
    winograd = batch * np.ceil(tall / 2) * np.ceil(wide / 2) * 16 * outputs * np.where(kind == 1, 1, inputs)
    work = np.column_stack([np.ones(len(keys)), macs, weights, read_, written, winograd, filled])
    more = np.column_stack([hints, np.log(macs / (weights + read_ + written)), height % 2, height % 4, height % 8])
    logs = np.log(np.column_stack([batch, inputs, height, width / height, outputs, kernel]))
    spots = np.column_stack([logs, stride, fused, kind])
    return Described(spots, work, more, kind.astype(np.intp))


def interpolated(keys: Floats, log_ms: Floats, wanted: Floats) -> Floats:
    """Log latency of the wanted rows, piecewise linear between known ones of the same group."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    group = [0, 1, 6, 7, 8]
    places = {tuple(g): np.flatnonzero((keys[:, group] == g).all(axis=1)) for g in np.unique(wanted[:, group], axis=0)}
    found = np.full(len(wanted), np.median(log_ms))
    for which, known in places.items():
        asked = np.flatnonzero((wanted[:, group] == which).all(axis=1))
        if not len(known):
            continue
        axes = [2, 3] if which[0] == 1 else [2, 3, 5]
        points, values, at = np.log(keys[known][:, axes]), log_ms[known], np.log(wanted[asked][:, axes])
        found[asked] = NearestNDInterpolator(points, values)(at) if len(known) > 1 else values[0]
        spread = points - points.mean(axis=0)
        if len(known) > len(axes) and np.linalg.matrix_rank(spread, tol=1e-6) == len(axes):
            linear = LinearNDInterpolator(points, values)(at)
            found[asked] = np.where(np.isnan(linear), found[asked], linear)
    return found


def errors(log_ms: Floats, truth: Floats, prefix: str = "") -> dict[str, float]:
    relative = np.abs(np.expm1(log_ms - truth))
    values = {"within_10": np.mean(relative <= 0.1), "within_5": np.mean(relative <= 0.05), "mape": relative.mean()}
    return {prefix + name: round(float(value), 4) for name, value in values.items()}


def measure(path: Path, shares: list[float], seed: int) -> dict[str, Any]:
    """All shares of one table."""
    keys, ms = read(path)
    valid = ms > 0
    dropped, keys, ms = int((~valid).sum()), keys[valid], ms[valid]
    rows, order = described(keys), np.random.default_rng(seed).permutation(len(ms))
    test, rest = order[: len(ms) // 10], order[len(ms) // 10 :]
    found = {}
    for share in shares:
        train, start = rest[: round(share * len(ms))], time.monotonic()
        predicted, deviation = LogRegressor.fit(rows[train], ms[train]).predict(rows[test])
        seconds = time.monotonic() - start
        logs, truth = np.log(predicted), np.log(ms[test])
        found[str(share)] = {
            "train_rows": len(train),
            **errors(logs, truth),
            "coverage_90": round(float(np.mean(np.abs(logs - truth) <= Z90 * deviation)), 4),
            **errors(interpolated(keys[train], np.log(ms[train]), keys[test]), truth, "linear_"),
            "seconds": round(seconds, 1),
        }
        print(f"{path.name} {share}: {found[str(share)]}", file=sys.stderr, flush=True)
    return {"table": path.name, "rows": len(ms), "dropped": dropped, "test_rows": len(test), "shares": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = DATA / "latency/tinynas_v100_conv_fp32.txt.gz"
    parser.add_argument("--table", type=Path, default=default, help="a TinyNAS file, may be gzipped")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.1, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, nothing else on stdout")
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    asked = parser.parse_args()
    if not asked.table.is_file():
        raise SystemExit(f"{asked.table}: no such file; name a table with --table")
    if not all(0 < share <= 0.9 for share in asked.shares):
        raise SystemExit("--shares: between 0 and 0.9, for a tenth of the rows is what they are judged by")
    result = measure(asked.table, asked.shares, asked.seed)
    if asked.json or asked.output:
        from hwnas.workspace.environment import machine, versions

        about = {"seed": asked.seed, "machine": dict(machine()), "versions": versions()}
        result |= about | {"date": time.strftime("%Y-%m-%d")}
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n")
    if asked.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{result['table']}: {result['rows']:,} rows, {result['test_rows']:,} of them to judge by")
        print("share of the rows   within 10 %   MAPE   coverage   linear: within 10 %   MAPE")
        for share, of in result["shares"].items():
            print(
                f"{float(share):17.0%}   {of['within_10']:11.1%}   {of['mape']:.3f}   {of['coverage_90']:8.1%}"
                f"   {of['linear_within_10']:19.1%}   {of['linear_mape']:.3f}"
            )


if __name__ == "__main__":
    main()
