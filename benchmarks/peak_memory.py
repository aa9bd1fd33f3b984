"""How well is the peak of a network's memory predicted from twenty others?

    python benchmarks/peak_memory.py [--runtime tflite]      # some minutes; writes to docs/results/

Forty random networks of each space are loaded and run in fresh processes. The model is fitted to the twenty that a
table would hold as checks, and compared with the others; the first ten are measured a second time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.latency.building.quantities import measure_missing_memory
from hwnas.latency.building.table_builder import MeasureContext, jobs_of
from hwnas.latency.memory_model import PeakModel
from hwnas.measure.memory import Memory
from hwnas.measure.table import LatencyTable, check_key
from hwnas.network import Network, lower
from hwnas.pipeline import open_space
from hwnas.runtimes import Runtime, open_runtime
from hwnas.workspace.environment import machine, versions
from hwnas.workspace.measuring.setups import exporters_of, networks_to_validate

ROOT = Path(__file__).resolve().parent.parent
SPACES = ("digits", "cifar10_bottleneck", "ofa_mobilenet_v3_224")
FITTED, UNSEEN, AGAIN = 20, 20, 10


def measured(networks: list[Network], runtime: Runtime, folder: Path) -> dict[Any, Memory]:
    """The peak of each network, by its key."""
    table = LatencyTable(folder / f"{random.random()}.jsonl", runtime.setup)
    assert jobs_of(table, [], networks)
    measure_missing_memory(table, networks, MeasureContext(runtime, exporters_of(runtime.setup), folder))
    return {key: found for key, found in table.memory.items() if key is not None}  # type: ignore[misc]


def study(name: str, runtime: Runtime, folder: Path) -> dict[str, Any]:
    """Errors on one space."""
    space, _ = open_space(name)
    fitted, rng = networks_to_validate(space, FITTED), random.Random(1)
    seen = {check_key(network) for network in fitted}
    unseen: dict[Any, Network] = {}
    while len(unseen) < UNSEEN:
        network = lower(space, space.random(rng))
        if check_key(network) not in seen:
            unseen[check_key(network)] = network
    known = measured(fitted, runtime, folder)
    table = LatencyTable(folder / "fit.jsonl", runtime.setup, memory=dict(known))
    table.checks = dict.fromkeys(known)  # type: ignore[assignment]
    model, truth = PeakModel.of(table), measured(list(unseen.values()), runtime, folder)
    again = measured([unseen[key] for key in list(unseen)[:AGAIN]], runtime, folder)
    estimates = {key: model.predict(network) for key, network in unseen.items()}
    peaks = {key: truth[key].peak_mb for key in unseen}
    return {
        "space": name,
        "runtime": runtime.setup.as_dict(),
        "peak_mb": [min(peaks.values()), statistics.median(peaks.values()), max(peaks.values())],
        "baseline_mb": statistics.median(found.conditions["baseline_mb"] for found in truth.values()),
        "mean_error_mb": statistics.fmean(abs(estimates[key].mb - peaks[key]) for key in peaks),
        "mape": statistics.fmean(abs(estimates[key].mb - peaks[key]) / peaks[key] for key in peaks),
        "again_mape": statistics.fmean(abs(again[key].peak_mb - peaks[key]) / peaks[key] for key in again),
        "coverage_90": statistics.fmean(e.low_mb <= peaks[key] <= e.high_mb for key, e in estimates.items()),
    }


def main() -> None:
    """Study each space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="onnxruntime")
    runtime = open_runtime(parser.parse_args().runtime)
    with tempfile.TemporaryDirectory() as folder:
        found = [study(name, runtime, Path(folder)) for name in SPACES]
    for one in found:
        print({name: value for name, value in one.items() if name != "runtime"}, flush=True)
    out = ROOT / "docs" / "results" / f"peak_memory_{runtime.setup.runtime}.json"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    out.write_text(
        json.dumps({"at": now, "machine": machine(), "versions": versions(), "spaces": found}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
