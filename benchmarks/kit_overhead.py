"""What a board costs beside timing: from a fresh kit to a merged table of 100 rows, over ssh on loopback.

    apt-get install openssh-server
    python benchmarks/kit_overhead.py --json        # two minutes; writes to docs/results/

A server of this program's own listens on loopback. The kit holds 100 operators of once-for-all's MobileNetV3.
It is copied, looked at, run with the usual protocol, fetched and merged. Warming up and samples, those that were taken
again included, are timing, as the rows tell them; all else is overhead: connections, the copy, processes that start and
load files. Run it on a quiet machine: on a busy one these take longer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hwnas.boards.host import open_host
from hwnas.boards.pack import KitContents, pack_kit
from hwnas.boards.session import BoardSession
from hwnas.config import TimingConfig
from hwnas.latency.building.table_builder import jobs_of
from hwnas.latency.tables.merge import merge_tables
from hwnas.measure.table import LatencyTable
from hwnas.measure.timing import NOISY_SHARE, REFERENCE_CONDITION, Measurement, Timing
from hwnas.network import operators_of
from hwnas.runtimes import Setup
from hwnas.workspace.measuring.setups import exporters_of, measurement_protocol
from hwnas.workspace.spaces import open_space
from tests.helpers.sshd import start_server

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "kit_overhead.json"
SPACE, ROWS, LIMIT_S = "ofa_mobilenet_v3_w1.0", 100, 20.0
SETUP = Setup("", "onnxruntime", "")


def timing_seconds(taken: list[Measurement], timing: Timing) -> float:
    """Seconds of warming up and sampling, from the samples themselves."""
    samples_ns = sum(
        (sum(row.rounds_ns) + row.conditions["retaken"] * fmean(row.rounds_ns)) * row.conditions["loops"]
        for row in taken
    )  # fmt: skip
    reference_ns = taken[0].conditions[REFERENCE_CONDITION]
    per_sample_ns = max(fmean(reference_ns), timing.min_sample_ms * 1e6)
    often_ns = per_sample_ns * timing.rounds * -(-len(taken) // NOISY_SHARE)
    return (samples_ns + often_ns) / 1e9 + (len(taken) + 1) * max(1, timing.processes) * timing.warm_up_ms / 1e3


def main() -> None:
    """Serve, pack, visit, merge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    options = parser.parse_args()
    timing = measurement_protocol(TimingConfig(), 0)
    with tempfile.TemporaryDirectory(prefix="hwnas-") as name:
        folder = Path(name)
        server = start_server(folder)
        try:
            result = visited(folder, server.ssh_config, timing)
        finally:
            server.process.terminate()
            server.process.wait()
    print(json.dumps(result, indent=1))
    if options.json:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def visited(folder: Path, ssh_config: Path, timing: Timing) -> dict[str, object]:
    """One visit, its steps timed."""
    kit, path = folder / "kit.pyz", folder / "fetched.jsonl"
    jobs = jobs_of(LatencyTable(path, SETUP), list(operators_of(open_space(SPACE)[0]))[:ROWS], [])
    packed = pack_kit(kit, KitContents(SETUP, exporters_of(SETUP), timing, "t.jsonl"), jobs, artifacts=folder / "made")
    board = BoardSession(open_host("board", ssh_config=ssh_config), "overhead")
    steps, last = dict[str, float](), time.monotonic()

    def step(name: str) -> None:
        nonlocal last
        steps[name], last = round(time.monotonic() - last, 2), time.monotonic()

    board.push_kit(kit)
    step("copy")
    board.run(lambda done, planned, what: None, print, ["--dry-run"])
    step("look")
    board.run(lambda done, planned, what: None, print)
    step("run")
    board.pull_table(path)
    board.cleanup()
    step("fetch")
    table = merge_tables([path], folder / "merged.jsonl").table
    step("merge")
    total_s = sum(steps.values())
    assert table.overhead is not None
    measuring_s = timing_seconds([table.overhead, *table.rows.values()], timing)
    overhead_s = total_s - measuring_s
    return {
        "space": SPACE, "rows": len(table.rows), "kit_bytes": packed.bytes, "setup": table.setup.as_dict(),
        "load_before": os.getloadavg()[0], "steps_s": steps, "total_s": round(total_s, 2),
        "timing_s": round(measuring_s, 2), "overhead_s": round(overhead_s, 2), "limit_s": LIMIT_S,
        "within": overhead_s < LIMIT_S,
        "retaken": sum(row.conditions["retaken"] for row in table.rows.values()),
        "samples": sum(len(row.rounds_ns) for row in table.rows.values()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
