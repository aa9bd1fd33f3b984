"""Baselines of experiments/bearing_anomaly.yaml on the same simulated windows: no network, healthy windows alone.

    python benchmarks/bearing_baselines.py [--output docs/results/bearing_baselines.json]

The score of a window is its mean squared deviation from the healthy ones in standard deviations of each band, its
squared error after a principal component analysis with so many components as an autoencoder's code has, or that of an
isolation forest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from hwnas.io.resources import shipped_folder
from hwnas.user_code import named


def principal(healthy: Any, tested: Any, components: int) -> Any:
    analysis = PCA(components, random_state=0).fit(healthy)
    return np.square(tested - analysis.inverse_transform(analysis.transform(tested))).mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    args = parser.parse_args()
    data = named("data/bearing_anomaly.py:load", base=shipped_folder("experiments"), where="benchmark")()
    (healthy, _), (tested, labels) = data["train"], data["test"]
    mean, std = healthy.mean(0), healthy.std(0)
    healthy, tested = (healthy - mean) / std, (tested - mean) / std
    scores = {"squared_deviation": np.square(tested).mean(1)}
    scores |= {f"pca_{count}": principal(healthy, tested, count) for count in (4, 8, 16)}
    scores["isolation_forest"] = -IsolationForest(random_state=0).fit(healthy).score_samples(tested)
    result: dict[str, Any] = {f"auroc_{name}": round(float(roc_auc_score(labels, s)), 4) for name, s in scores.items()}
    publish(stamped({**result, "windows": len(labels)}), args.output)


if __name__ == "__main__":
    main()
