"""The same network behind `hwnas serve` in threads of its own process, and in one and two replicas of Ray Serve.

    python benchmarks/server_ray.py --json      # three minutes, two idle cores; writes to docs/results/

The server is the same in all three: uvicorn takes the requests, with TLS and tokens; Ray has replicas behind it.
Clients ask again at once; the network does almost nothing, so that what Ray takes is seen. Clients share the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._results import publish, stamped
from benchmarks._server_load import ROOT, SHAPE, closed_loop, request_of, served
from hwnas.serve.bundle import read_bundle
from tests.helpers.deployments import write_deployment

RESULTS = ROOT / "docs" / "results" / "server_ray.json"
ENGINES = {"threads": (), "ray_1": ("--engine", "ray"), "ray_2": ("--engine", "ray", "--workers", "2")}
CLIENTS = (1, 4, 16, 64)


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Ask each engine by each number of clients."""
    bundle = write_deployment(folder / "ray", SHAPE)
    model, result = read_bundle(bundle), dict[str, Any]()
    for name, options in ENGINES.items():
        with served(bundle, "--max-queue", "2000", *options) as server:
            request = request_of(model, server.token)
            uvloop.run(closed_loop(server, request, 4, 2))
            for clients in CLIENTS:
                outcome = uvloop.run(closed_loop(server, request, clients, seconds))
                rate = round(len(outcome.latencies) / outcome.seconds)
                entry = {"requests_per_second": rate, "latency_ms": outcome.quantiles()}
                result.setdefault(f"{clients}_clients", {})[name] = entry
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS}")
    asked = parser.parse_args()
    before = [round(one, 2) for one in os.getloadavg()]
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), asked.seconds)
    after = [round(one, 2) for one in os.getloadavg()]
    result = {"machine_load_before": before, **measured, "machine_load_after": after}
    publish(stamped(result), RESULTS if asked.json else None)


if __name__ == "__main__":
    main()
