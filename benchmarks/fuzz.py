"""Bad input, most of it valid but for one thing, for the commands that read it: no traceback, no hang, nothing damaged.

    python benchmarks/fuzz.py --inputs 10000 --seed 1 --out docs/results/fuzz.json     # twenty minutes on two cores
    python benchmarks/fuzz.py --inputs 500 --keep faults --workers 1
    python benchmarks/fuzz.py --only 1234 --keep faults     # one input again, its folder kept
    python benchmarks/fuzz.py --profile bundles --inputs 2500 --out docs/results/fuzz_bundles.json

Experiments, spaces, architectures, latency tables, every file of a run's folder, bundles, kits, data and published
numbers are made, by a tiny run, and then changed in one thing: a value of another kind, a key twice or not at all, a
cut, a bit, depth, digits, NaN. Each is given to commands that read it, in worker processes, by the entry of the
command line. A fault is an exception that ends in a traceback; more than 20 s; a file that was changed by a command
that only reads; an error without its four parts or with words of Python in it; a success that tells of NaN, infinity
or negative times; of bundles, a file that is written outside the folder. Faults are grouped by what raised them and
where; `--keep` keeps an example of each.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import _fuzz_base, _fuzz_work  # noqa: E402
from hwnas.workspace.environment import machine, versions  # noqa: E402

LOST_S = 150
"""A worker that is silent for so long is killed; its own alarm ends each command sooner, where Python is reached."""
EXAMPLES = 3


@dataclass
class Tally:
    """What was seen."""

    inputs: int = 0
    commands: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")

    def add(self, done: dict[str, Any]) -> None:
        """One input's outcomes."""
        self.inputs += 1
        self.by_kind[done["kind"]] += 1
        for command in done["commands"]:
            self.commands += 1
            self.by_code[str(command["code"])] += 1
            self.slowest = max(
                self.slowest, (command["seconds"], f"{done['number']}: {' '.join(command['argv'])[:100]}")
            )
        for fault in done["faults"]:
            signature = f"{fault['kind']}: {fault['signature']}"
            self.counts[signature] += 1
            examples = self.faults.setdefault(signature, [])
            if len(examples) < EXAMPLES:
                examples.append({name: done[name] for name in ("number", "kind", "file", "what")} | fault)


class Worker:
    """A process that tries inputs, one after the other."""

    def __init__(self, base: Path, seed: int, profile: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_fuzz_work.work, args=(theirs, base, seed, profile), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.silent_s = 0.0

    def give(self, number: int) -> None:
        self.pipe.send(number)
        self.number, self.silent_s = number, 0.0

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _lost(number: int, kind: str, signature: str) -> dict[str, Any]:
    fault = {"kind": kind, "signature": signature, "seen": f"--only {number} tries it again", "argv": []}
    return {"number": number, "kind": "unknown", "file": "", "what": "", "commands": [], "faults": [fault]}


def outcomes(numbers: Iterator[int], base: Path, seed: int, workers: int, profile: str) -> Iterator[dict[str, Any]]:
    """What became of each input; a worker that hangs or dies is replaced."""
    crew = [Worker(base, seed, profile) for _ in range(workers)]
    for worker in crew:
        if (number := next(numbers, None)) is not None:
            worker.give(number)
    while busy := [worker for worker in crew if worker.number is not None]:
        begun = time.monotonic()
        ready: list[Connection] = wait([worker.pipe for worker in busy], timeout=1)  # type: ignore[assignment]
        waited = min(time.monotonic() - begun, 2.0)  # longer if all are stopped for a while
        for worker in busy:
            assert worker.number is not None
            worker.silent_s += waited
            if worker.pipe in ready:
                try:
                    yield worker.pipe.recv()
                except EOFError:
                    worker.process.join(5)
                    yield _lost(worker.number, "died", f"the process died, exit code {worker.process.exitcode}")
                    crew[crew.index(worker)] = worker = _replaced(worker, base, seed, profile)
            elif worker.silent_s > LOST_S:
                yield _lost(worker.number, "hang", "a hang that no signal ends")
                crew[crew.index(worker)] = worker = _replaced(worker, base, seed, profile)
            else:
                continue
            worker.number = None
            if (number := next(numbers, None)) is not None:
                worker.give(number)
    for worker in crew:
        worker.end()


def _replaced(worker: Worker, base: Path, seed: int, profile: str) -> Worker:
    worker.end()
    return Worker(base, seed, profile)


def report_of(tally: Tally, seed: int, seconds: float, profile: str) -> dict[str, Any]:
    """The result as it is kept."""
    return {
        "benchmark": "fuzz",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine()),
        "versions": versions(),
        "seed": seed,
        "profile": profile,
        "inputs": tally.inputs,
        "commands": tally.commands,
        "seconds": round(seconds),
        "by_kind": dict(sorted(tally.by_kind.items())),
        "by_exit_code": dict(sorted(tally.by_code.items())),
        "slowest_s": round(tally.slowest[0], 2),
        "slowest": tally.slowest[1],
        "faults": tally.counts.total(),
        "distinct_faults": [
            {"signature": signature, "count": count, "examples": [e["number"] for e in tally.faults[signature]]}
            for signature, count in tally.counts.most_common()
        ],
    }


def keep_examples(tally: Tally, keep: Path) -> None:
    """An example of each fault as one file, and a list of all."""
    for signature, examples in tally.faults.items():
        name = re.sub(r"[^A-Za-z0-9_.]+", "-", signature)[:100].strip("-")
        (keep / f"{name}.json").write_text(json.dumps(examples, indent=1) + "\n")
    lines = [f"{count:>5}  {signature}" for signature, count in tally.counts.most_common()]
    (keep / "summary.txt").write_text("\n".join(lines) + "\n")


def _until_stopped(done: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The outcomes up to Ctrl-C, after which what was seen is reported."""
    try:
        yield from done
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=("all", "bundles"), default="all", help="bundles: what ships alone")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--only", type=int, help="try the input of this number alone; with --keep its folder stays")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--base", type=Path, help="where the good input is kept from one call to the next")
    parser.add_argument("--keep", type=Path, help="keep examples of faults in this folder")
    parser.add_argument("--out", type=Path, help="the result's file, such as docs/results/fuzz.json")
    return parser.parse_args()


def main() -> None:
    """Print what was found, and write it with --out. Exit code 1 if there are faults."""
    asked = _asked()
    if asked.keep:
        asked.keep = asked.keep.absolute()
        asked.keep.mkdir(parents=True, exist_ok=True)
    tally, begun = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as scratch:
        parts = ("mini",) if asked.profile == "bundles" else tuple(_fuzz_base.PARTS)
        base = _fuzz_base.make_base((asked.base or Path(scratch) / "base").absolute(), parts)
        if asked.only is not None:
            print(
                json.dumps(
                    _fuzz_work.once(asked.only, asked.seed, base, asked.keep, _fuzz_work.kinds_of(asked.profile)),
                    indent=1,
                )
            )
            return
        numbers = iter(range(asked.first, asked.first + asked.inputs))
        for done in _until_stopped(outcomes(numbers, base, asked.seed, asked.workers, asked.profile)):
            known = set(tally.counts)
            tally.add(done)
            for signature in tally.counts.keys() - known:
                print(f"input {done['number']}: {signature}", file=sys.stderr, flush=True)
            if tally.inputs % 100 == 0:
                if asked.keep:
                    keep_examples(tally, asked.keep)
                rate = tally.inputs / (time.monotonic() - begun)
                print(
                    f"{tally.inputs} inputs, {rate:.1f} a second, {len(tally.counts)} distinct faults",
                    file=sys.stderr,
                    flush=True,
                )
    report = report_of(tally, asked.seed, time.monotonic() - begun, asked.profile)
    print(json.dumps(report, indent=1))
    if asked.keep:
        keep_examples(tally, asked.keep)
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if tally.counts else 0)


if __name__ == "__main__":
    main()
