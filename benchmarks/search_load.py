"""What a search of many trials costs to keep, open, examine and report: seconds, memory, bytes a trial.

    python benchmarks/search_load.py --json                        # a quarter of an hour; writes to docs/results/
    python benchmarks/search_load.py --trials 10000 --out /tmp

`hwnas search` tries so many random networks of a space with 17 choices; accuracies and latencies are made up and read
from a file, so that nothing but the keeping is timed. Each act is a process of its own: Optuna reading the journal and
nothing else (the floor), three more trials, `hwnas doctor`, `hwnas report`. Beside the journal's bytes a trial stand
those of Optuna's own study with the same choices and two values.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage

from hwnas.search.genome import Genome
from hwnas.space import Choice, Space, Value, read_space
from hwnas.workspace.environment import machine, versions

ROOT = Path(__file__).resolve().parent.parent
SPACE = {
    "name": "load", "input": {"channels": 1, "resolution": 8}, "classes": 10,
    "stages": [
        *({"name": f"s{n}", "op": "conv", "depth": 1, "width": [8, 16], "kernel": [1, 3]} for n in range(8)),
        {"name": "last", "op": "conv", "depth": 1, "width": [8, 16], "kernel": 1},
        {"name": "head", "op": "classifier"},
    ],
}  # fmt: skip
EXPERIMENT = {
    "name": "load", "space": "space.yaml",
    "accuracy": {"source": "table", "file": "table.csv", "key": "key", "column": "top1"},
    "setups": {
        "board": {
            "runtime": "published", "latencies": {"file": "table.csv", "key": "key", "column": "ms", "unit": "ms"},
        }
    },
    "tiers": {"edge": {"setup": "board", "limits": {"latency_ms": 0.8}}},
    "search": {"sampler": "random"},
}  # fmt: skip
FLOOR = """
import sys
from optuna.storages.journal import JournalFileBackend, JournalStorage
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
print(len(storage.get_all_trials(0, deepcopy=False)))
"""
HWNAS = "from hwnas.cli import main; main()"
WRITE = f"import os; os.fsync = lambda descriptor: None; {HWNAS}"
"""The run is only made by this; to wait for the disk at each of 100,000 trials takes half an hour."""


def written(folder: Path) -> Path:
    """The experiment, its space, and a row for each network of that."""
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE), encoding="utf-8")
    space = read_space(folder / "space.yaml")
    assert isinstance(space, Space)
    lines = ["key,top1,ms"]
    for values in itertools.product(*(choice.options for choice in space.choices)):
        picked = dict(zip((choice.name for choice in space.choices), values, strict=True))

        def pick(choice: Choice, picked: dict[str, Value] = picked) -> Value:
            return picked[choice.name]

        key = space.sample(pick).key
        drawn = hashlib.sha256(key.encode()).digest()
        lines.append(f"{key},{drawn[0] / 512 + drawn[1] / 131072:.6f},{drawn[2] / 256 + drawn[3] / 65536:.6f}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "load.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    return path


def cost(*arguments: str, folder: Path) -> dict[str, float]:
    """Seconds, those of the processor, and the most memory of a Python process."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[1:]} ended with {process.returncode}")
    found = {
        "seconds": round(time.monotonic() - start, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }
    print(f"{' '.join(arguments[1:])[:60]}: {found}", flush=True)
    return found


def optunas_bytes(folder: Path, trials: int = 200) -> dict[str, int]:
    """Bytes a trial of Optuna's own journal, with the same choices and two values: asked and told, or added whole."""
    genes = Genome(read_space(folder / "space.yaml")).distributions
    found = {}
    for way in ("asked and told", "added whole"):
        path = folder / f"optuna {way}.log"
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
        before = path.stat().st_size
        for number in range(trials):
            values = [number / 7, number / 13]
            if way == "added whole":
                params = {name: gene.to_external_repr(0) for name, gene in genes.items()}
                study.add_trial(optuna.create_trial(params=params, distributions=genes, values=values))
            else:
                study.tell(study.ask(genes), values)
        found[way] = round((path.stat().st_size - before) / trials)
    return found


def load(folder: Path, trials: int) -> dict[str, Any]:
    """All acts on a run of so many trials."""
    experiment = written(folder)
    commands = {
        "search": f"search {experiment} --trials {trials}",
        "three more trials": f"search {experiment} --trials {trials + 3}",
        "doctor": f"doctor {experiment}",
        "report": f"report {experiment}",
    }
    log = folder / "runs/load/study-edge.log"
    costs = {"search": cost(WRITE, *commands["search"].split(), folder=folder)}
    costs["Optuna opens the journal"] = cost(FLOOR, str(log), folder=folder)
    costs |= {name: cost(HWNAS, *commands[name].split(), folder=folder) for name in list(commands)[1:]}
    return {
        "trials": trials,
        "costs": costs,
        "journal_bytes_a_trial": round(log.stat().st_size / (trials + 3)),
        "optuna_bytes_a_trial": optunas_bytes(folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which is kept")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for trials in asked.trials:
        with tempfile.TemporaryDirectory() as thrown_away:
            folder = Path(thrown_away) if asked.keep is None else asked.keep / str(trials)
            folder.mkdir(parents=True, exist_ok=True)
            rows.append(load(folder, trials))
    report = {
        "benchmark": "search_load", "date": datetime.now(UTC).date().isoformat(), "machine": machine(),
        "versions": {**versions(), "optuna": optuna.__version__}, "choices": 17, "runs": rows,
    }  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "search_load.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if asked.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
