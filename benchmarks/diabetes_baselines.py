"""Baselines of experiments/diabetes.yaml: ridge regression and a random forest on the same patients.

    python benchmarks/diabetes_baselines.py [--output docs/results/diabetes_baselines.json]

Both learn from the training split, or from training and validation together; the ridge's penalty is chosen by
cross-validation within. Test patients are those of the experiment, looked at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hwnas.data import load_data
from hwnas.io.resources import shipped_folder
from hwnas.tasks import open_task


def judged(model: Any, train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    predicted = model.fit(train[0], train[1].ravel()).predict(test[0])
    wanted = test[1].ravel()
    return {
        "r2": round(r2_score(wanted, predicted), 4),
        "mae": round(mean_absolute_error(wanted, predicted), 2),
        "rmse": round(float(np.sqrt(np.square(predicted - wanted).mean())), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    args = parser.parse_args()
    reference = f"{shipped_folder('experiments') / 'data' / 'diabetes.py'}:load"
    data = load_data(reference, seed=0, task=open_task("regression", where="benchmark"))
    split = {
        name: (part.inputs.take(part.indices).numpy(), part.targets.numpy())
        for name, part in {"train": data.train, "validation": data.validation, "test": data.test}.items()
    }
    both = tuple(np.concatenate([split["train"][k], split["validation"][k]]) for k in (0, 1))
    models = {
        "ridge": lambda: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 25))),
        "forest": lambda: RandomForestRegressor(500, min_samples_leaf=5, random_state=0),
    }
    result = {
        "patients": {name: len(part[1]) for name, part in split.items()},
        **{name: judged(make(), split["train"], split["test"]) for name, make in models.items()},
        **{
            f"{name}_of_train_and_validation": judged(make(), (both[0], both[1]), split["test"])
            for name, make in models.items()
        },
    }
    publish(stamped(result), args.output)


if __name__ == "__main__":
    main()
