"""Training-free scores of all networks of NAS-Bench-201, in one file, as features for what predicts and searches.

    python benchmarks/nb201_training_free.py [--proxies params macs meco ...] [--cache FOLDER] [--out FILE.npz]

No data set is looked at: images are noise, and all networks see the same weights' seed and the same noise. The 15,625
strings are 5,425 networks, which are scored once. It goes proxy by proxy and goes on where it was stopped, by
`--cache`; `--processes 2` shares the networks out. What is scored so far is written after each proxy.

It prints the origin, and as `results` how well each column ranks the strings by test accuracy, as
`nb201_proxies.py --json` tells it, and how well the default ensemble of columns does.

The file holds, in the order of NAS-Bench-201's API:
    arch        the 15,625 strings
    NAME        float64 for each string, NaN where there is no score; a column for each proxy
    origin      JSON: for each column its producer (definition, seed, batch, resolution), networks, no_score (reason ->
                networks) and ms (median of processor time); and command, date, machine, versions
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import multiprocessing
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nb201_networks import Cache, Published, distinct, read_published
from nb201_proxies import judged

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES, EnsembleMember
from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, training_free_scorer
from hwnas.space import Architecture
from hwnas.workspace.environment import machine, versions

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HWNAS_DATA", HERE.parents[1] / "shared/data"))
SPACE, SEED = "nas_bench_201", 0
MEMBERS: Mapping[str, EnsembleMember] = {  # column -> proxy, at resolutions that make 5,425 networks cheap
    "params": EnsembleMember("params"),
    "macs": EnsembleMember("macs"),
    "meco": EnsembleMember("meco", resolution=32),
    "swap": EnsembleMember("swap", resolution=8),
    "expressivity": EnsembleMember("expressivity", batch=32, resolution=8),
    "synflow": EnsembleMember("synflow", resolution=8),
    "naswot": EnsembleMember("naswot", resolution=8),
    "l2_norm": EnsembleMember("l2_norm"),
}


def scorer_of(member: EnsembleMember, published: Published) -> TrainingFree:
    """The data-free scorer of a column."""
    return training_free_scorer(
        member.name, published.lower, None, seed=SEED, batch=member.batch, resolution=member.resolution
    )


def share(networks: Sequence[Architecture], scorer: TrainingFree, folder: Path, of: tuple[int, int]) -> None:
    """Score every so many-th network into the cache."""
    cache = Cache(folder / f"{of[0]}of{of[1]}", SPACE, scorer)
    for number, architecture in enumerate(networks[of[0] :: of[1]], 1):
        cache.score(architecture)
        if number % 200 == 0:
            print(f"{datetime.now(UTC):%H:%M:%S} {scorer.name}: {number} networks of share {of[0]}", file=sys.stderr)


def column_of(
    networks: Mapping[Architecture, list[int]], scorer: TrainingFree, folder: Path, processes: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """The finished column and its origin."""
    caches = [Cache(folder / f"{i}of{processes}", SPACE, scorer) for i in range(processes)]
    values, entries = np.full(sum(map(len, networks.values())), np.nan), []
    for number, (architecture, rows) in enumerate(networks.items()):
        entry = caches[number % processes].score(architecture)
        entries.append(entry)
        if entry["score"] is not None:
            values[rows] = entry["score"]
    none = Counter(entry["reason"] for entry in entries if entry["score"] is None)
    ms = round(statistics.median(entry["ms"] for entry in entries), 1)
    return values, {"producer": scorer.producer, "networks": len(entries), "no_score": dict(none), "ms": ms}


def write(out: Path, published: Published, columns: Mapping[str, tuple[np.ndarray, dict[str, Any]]]) -> dict[str, Any]:
    """The file, with the columns that are finished; and their origin."""
    origin = {
        "command": shlex.join(["python", "benchmarks/nb201_training_free.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "columns": {name: told for name, (_, told) in columns.items()},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: values for name, (values, _) in columns.items()}
    np.savez_compressed(out, arch=np.array(published.arch), origin=np.array(json.dumps(origin)), **arrays)
    return origin


def ranked(published: Published, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How well each column ranks all strings, and the default ensemble where its members are there."""
    scores = {name: [None if np.isnan(v) else float(v) for v in values] for name, values in columns.items()}
    members = [member.name for member in ENSEMBLES["ensemble"].members]
    if scores.keys() >= set(members):
        scores["ensemble"] = rank_sums(ENSEMBLES["ensemble"], [scores[name] for name in members])
    return {name: judged(published.accuracy.tolist(), column) for name, column in scores.items()}


def main() -> None:
    """Score column by column."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", nargs="+", choices=MEMBERS, default=list(MEMBERS))
    parser.add_argument(
        "--accuracy", type=Path, default=DATA / "accuracy/nasbench201_cifar10.npz", help="for the order"
    )
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "data/nb201_training_free.npz")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    published = read_published(asked.accuracy, "test_cifar10")
    networks = dict(distinct(published, range(len(published.arch))))
    columns: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    for column in asked.proxies:
        scorer = scorer_of(MEMBERS[column], published)
        one = partial(share, list(networks), scorer, asked.cache)
        with multiprocessing.get_context("fork").Pool(asked.processes) as pool:
            pool.map(one, [(index, asked.processes) for index in range(asked.processes)])
        columns[column] = column_of(networks, scorer, asked.cache, asked.processes)
        origin = write(asked.out, published, columns)
        print(f"{datetime.now(UTC):%H:%M:%S} {column}: {columns[column][1]}", file=sys.stderr)
    results = ranked(published, {name: values for name, (values, _) in columns.items()})
    print(json.dumps({**origin, "results": results}, indent=1))


if __name__ == "__main__":
    main()
