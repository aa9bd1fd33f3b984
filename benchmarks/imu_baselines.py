"""Baselines of experiments/imu.yaml: a random forest on statistics of the same windows, and the published figure.

    python benchmarks/imu_baselines.py [--run runs/imu] [--output docs/results/imu_baselines.json]

Two protocols. On the experiment's own split, the forest learns from the people that train the supernet and is tested
on the same two people. In five folds by person, two people each, as Burns et al. judged theirs
(arXiv:1802.01489v1, ten people: 87.3 %, by a random forest, the best of four methods), it is fitted five times. With
`--run`, the pick `best` of the edge's front is trained alone in each fold, by the experiment's recipe and seed. No
choice was made by these figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from _results import publish, stamped
from sklearn.ensemble import RandomForestClassifier

from hwnas.data import Dataset, Split, Stored
from hwnas.io.resources import shipped_folder
from hwnas.search.fronts import read_front
from hwnas.supernet import quality
from hwnas.supernet.training.standalone import train_standalone
from hwnas.workspace.training.supernets import recipe_of
from hwnas.workspace.workspace import open_run

PUBLISHED = {"top1": 0.873, "of": "random forest, 5 folds by person, 10 people", "source": "arXiv:1802.01489v1"}
DATA = shipped_folder("experiments") / "data" / "imu.py"


def statistics(windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean, deviation, extremes, quartiles, energy, sign changes and mean step of each axis, and correlations."""
    quartiles = np.quantile(windows, [0.25, 0.5, 0.75], axis=2)
    steps = np.diff(windows, axis=2)
    centred = windows - windows.mean(2, keepdims=True)
    crossings = (np.diff(np.signbit(centred), axis=2) != 0).mean(2)
    scaled = centred / (windows.std(2, keepdims=True) + 1e-9)
    pairs = np.triu_indices(windows.shape[1], 1)
    correlations = (np.einsum("nat,nbt->nab", scaled, scaled) / windows.shape[2])[:, pairs[0], pairs[1]]
    columns = [windows.mean(2), windows.std(2), windows.min(2), windows.max(2), *quartiles]
    columns += [np.square(windows).mean(2), np.abs(steps).mean(2), crossings, correlations]
    return np.concatenate(columns, axis=1)


def forest_top1(train: tuple[Any, Any], test: tuple[Any, Any]) -> float:
    forest = RandomForestClassifier(500, random_state=0).fit(statistics(train[0]), train[1])
    return float((forest.predict(statistics(test[0])) == test[1]).mean())


def folds(people: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Masks of the tested windows: two people a fold, in the order of their numbers."""
    for pair in np.sort(np.unique(people)).reshape(5, 2):
        yield np.isin(people, pair)


def imu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("imu", DATA)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fold(inputs: Any, labels: Any, tested: Any) -> Dataset:
    """All windows as a data set whose test split is `tested`, normalised by the others."""
    mean, std = (torch.from_numpy(of(inputs[~tested], (0, 2)))[:, None] for of in (np.mean, np.std))
    stored = Stored(torch.from_numpy(inputs))

    def part(mask: Any) -> Split:
        rows = np.flatnonzero(mask)
        return Split(stored, torch.from_numpy(rows), torch.from_numpy(labels[rows]), mean, std)

    return Dataset("imu", imu().CLASSES, part(~tested), part(tested), part(tested))


def trained_top1(run_folder: Path, data: Dataset) -> float:
    """Top-1 on the test split of the edge's `best`, trained alone on the training split."""
    run = open_run(run_folder)
    architecture = next(p for p in read_front(run.paths.front("edge")) if "best" in p.picks).architecture
    network = run.network(architecture)
    module = train_standalone(network, data.without_test(), recipe_of(run), seed=run.experiment.seed)
    return quality(module, network, data.test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of experiments/imu.yaml, whose pick is trained in each fold")
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    args = parser.parse_args()
    start = time.process_time()
    module = imu()
    split = {name: part for name, part in module.load().items() if name != "class_names"}
    both = tuple(np.concatenate([split["train"][k], split["validation"][k]]) for k in (0, 1))
    inputs, labels, people = module.windows(module.recordings())
    forests = [forest_top1((inputs[~t], labels[~t]), (inputs[t], labels[t])) for t in folds(people)]
    result: dict[str, Any] = {
        "windows": {name: len(part[1]) for name, part in split.items()},
        "forest_test_top1": round(forest_top1(split["train"], split["test"]), 4),
        "forest_test_top1_of_train_and_validation": round(forest_top1((both[0], both[1]), split["test"]), 4),
        "forest_folds_top1": [round(value, 4) for value in forests],
        "forest_folds_mean": round(float(np.mean(forests)), 4),
        "published": PUBLISHED,
    }
    if args.run:
        own = [trained_top1(args.run, fold(inputs, labels, tested)) for tested in folds(people)]
        result |= {
            "network_folds_top1": [round(v, 4) for v in own],
            "network_folds_mean": round(float(np.mean(own)), 4),
        }
    publish(stamped({**result, "processor_seconds": round(time.process_time() - start)}), args.output)


if __name__ == "__main__":
    main()
