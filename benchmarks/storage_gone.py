"""Two processes search one study in a database that is stopped for a minute meanwhile, as by a power cut.

    python benchmarks/storage_gone.py --database postgresql --json     # three minutes; writes to docs/results/
    python benchmarks/storage_gone.py --database mariadb --seconds 5 --out /tmp

A score takes 0.1 s. What is asked: both processes end as if nothing had happened, every trial is told once, both write
the same front, and `hwnas doctor` finds nothing in either folder. The server is Debian's, started by this script.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from hwnas import pipeline
from hwnas.search.fronts import read_front
from hwnas.search.storage.backends import open_storage
from hwnas.space import read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.databases import DATABASES, Database  # noqa: E402  # how a server is started is known there

SPACE = """\
name: wide
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8, 12, 16], kernel: [1, 3]}
  - {name: s1, op: conv, depth: [1, 2], width: [8, 12, 16, 24], kernel: [1, 3]}
  - {name: s2, op: conv, depth: [1, 2], width: [8, 12, 16, 24], kernel: [1, 3]}
  - {name: head, op: classifier}
"""
SCORE = """\
import time


def score(architecture, network):
    time.sleep(0.1)
    return sum(map(ord, architecture.key)) % 997 / 997
"""
SEARCH = "import sys; from hwnas.cli import main; sys.argv[0] = 'hwnas'; main()"


def written(folder: Path, url: str, trials: int) -> Path:
    """An experiment on published latencies, with a slow score of the script's own."""
    (folder / "space.yaml").write_text(SPACE)
    (folder / "score.py").write_text(SCORE)
    space, rng, keys = read_space(folder / "space.yaml"), random.Random(0), set[str]()
    while len(keys) < space.count:
        keys.add(space.random(rng).key)
    rows = [f"{key},{100 + sum(map(ord, key)) % 400}" for key in sorted(keys)]
    (folder / "table.csv").write_text("\n".join(["key,us", *rows]) + "\n")
    latencies = {"file": "table.csv", "key": "key", "column": "us", "unit": "us"}
    experiment = {
        "name": "gone", "space": "space.yaml", "accuracy": {"source": "score.py:score"},
        "setups": {"board": {"runtime": "published", "latencies": latencies}}, "tiers": {"edge": {"setup": "board"}},
        "search": {"trials": trials, "sampler": "random", "storage": url},
    }  # fmt: skip
    (folder / "gone.yaml").write_text(yaml.safe_dump(experiment))
    return folder / "gone.yaml"


def told(url: str) -> list[str]:
    """The keys of the trials that were told, as the storage has them."""
    backend, _ = open_storage(url)
    studies = [study for study in backend.get_all_studies() if study.study_name.startswith("gone-")]
    trials = [trial for study in studies for trial in backend.get_all_trials(study._study_id, deepcopy=False)]
    return [trial.user_attrs["key"] for trial in trials if "scores" in trial.user_attrs]


def gone(server: Database, folder: Path, trials: int, seconds: float) -> dict[str, Any]:
    """Search, stop the server when a quarter of the trials are told, start it again, wait for the ends."""
    experiment, begin = written(folder, server.url, trials), time.monotonic()
    command = [sys.executable, "-c", SEARCH, "search", str(experiment), "--runs"]
    runs = [folder / name for name in ("one", "two")]
    searches = [
        subprocess.Popen([*command, str(path)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for path in runs
    ]
    try:
        while len(told(server.url)) < trials / 4:
            assert all(process.poll() is None for process in searches), [p.communicate() for p in searches]
            time.sleep(1)
        server.stop()
        stopped = time.monotonic()
        time.sleep(seconds)
        alive = [process.poll() is None for process in searches]
        server.start()
        back = time.monotonic()
        said = [process.communicate(timeout=600) for process in searches]
    finally:
        for process in searches:
            process.kill()
    keys = Counter(told(server.url))
    fronts = [{point.architecture.key for point in read_front(path / "gone/fronts/edge.json")} for path in runs]
    return {
        "trials": trials, "stopped_after_s": round(stopped - begin, 1), "away_s": round(back - stopped, 1),
        "alive_meanwhile": alive, "exit_codes": [process.returncode for process in searches],
        "said": [err.strip().splitlines()[-3:] for _, err in said],
        "ended_s_after_it_was_back": round(time.monotonic() - back, 1),
        "told": keys.total(), "told_twice": sum(count > 1 for count in keys.values()),
        "fronts_equal": fronts[0] == fronts[1], "front": len(fronts[0]),
        "doctor": [[vars(found) for found in pipeline.doctor(path / "gone").issues] for path in runs],
    }  # fmt: skip


def main() -> None:
    """Print, and write with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=list(DATABASES), default="postgresql")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the server is away")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="write storage_gone_DATABASE.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwnas-") as database, tempfile.TemporaryDirectory() as folder:
        server = DATABASES[given.database](Path(database))
        server.start()
        try:
            found = gone(server, Path(folder), given.trials, given.seconds)
        finally:
            server.stop()
    print(json.dumps(found, indent=1))
    if given.json:
        told_of = {
            "machine": machine(),
            "versions": versions(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        path = given.out / f"storage_gone_{given.database}.json"
        path.write_text(json.dumps({"database": given.database, **found, **told_of}, indent=1) + "\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
