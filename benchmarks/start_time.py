"""How long a command takes to start: `import hwnas`, `hwnas --help`, and `hwnas cost` on a shipped space.

    python benchmarks/start_time.py --json     # a minute; writes to docs/results/

Each is a fresh process, after one that warms the caches of the disk. Told are the medians; processor seconds beside
them depend less on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
GOALS_S = {"import hwnas": 0.15, "hwnas --help": 0.15, "hwnas cost digits": 2.0}
COMMANDS = {
    "python": ["-c", "pass"],
    "import hwnas": ["-c", "import hwnas"],
    "hwnas --help": ["-m", "hwnas.cli", "--help"],
    "hwnas list": ["-m", "hwnas.cli", "list"],
    "hwnas cost digits": ["-m", "hwnas.cli", "cost", "digits"],
    "import torch": ["-c", "import torch"],
}
"""Arguments of Python; the last one is what `cost` would take in addition, were its operators not counted before."""


def seconds_of(arguments: list[str]) -> tuple[float, float]:
    """Seconds on the clock and of processors that a process takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="write docs/results/start_time.json")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name, arguments in COMMANDS.items():
        seconds_of(arguments)
        walls, processors = zip(*(seconds_of(arguments) for _ in range(options.repeats)), strict=True)
        found[name] = {
            "seconds": round(statistics.median(walls), 3),
            "least_seconds": round(min(walls), 3),
            "processor_seconds": round(statistics.median(processors), 3),
        }
        goal = f"; goal: {GOALS_S[name]} s" if name in GOALS_S else ""
        seconds, processors_s = found[name]["seconds"], found[name]["processor_seconds"]
        print(f"{name}: {seconds} s, of processors {processors_s} s{goal}")
    result = {"machine": machine(), "versions": versions(), "goals_seconds": GOALS_S, "commands": found}
    if options.json:
        (ROOT / "docs/results/start_time.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
