"""Searches on digits, one a split: accuracies of all networks on validation and on test images, kept in a folder."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import torch

from hwnas.data import load_data
from hwnas.io.atomic import write_file
from hwnas.io.resources import find_file
from hwnas.network import costs, lower
from hwnas.pareto import Limit, Objective, Tier
from hwnas.search.evaluate import evaluate
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture, read_space
from hwnas.supernet import Recipe, Supernet, calibration_inputs, extract_recalibrated, quality, train

TRIALS, EPOCHS = 150, 12
ACCURACY, COST, PARAMS = "top1@inherited", "macs", "params"
TIER = Tier("edge", (Objective(ACCURACY, "max"), Objective(COST, "min")), (Limit(PARAMS, 30_000),))
RECIPE = Recipe(epochs=EPOCHS, batch_size=64, learning_rate=0.1, weight_decay=5e-4, augment="shift", warm_up_epochs=0.5)


def searched(split: int, folder: Path) -> dict[str, Any]:
    """What the search of a split evaluated; read from the folder if it is there, else made."""
    path = folder / f"digits-{split}.json"
    if not path.exists():
        write_file(path, json.dumps(_searched(split)) + "\n")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def _searched(split: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    space = read_space(find_file("digits", "search_spaces"))
    data = load_data({"name": "digits", "validation": 0.2}, seed=split)
    supernet = Supernet(space, seed=split)
    with tempfile.TemporaryDirectory() as weights:
        train(supernet, space, data.without_test(), RECIPE, Path(weights), seed=split)
    images = calibration_inputs(data, count=RECIPE.calibration_batches, batch_size=RECIPE.batch_size, seed=split)
    tests = dict[str, float]()

    def accuracy(architecture: Architecture) -> float:
        network = lower(space, architecture)
        module = extract_recalibrated(supernet, network, images)
        tests[architecture.key] = quality(module, network, data.test)
        return quality(module, network, data.validation)

    scorers = {
        PARAMS: lambda architecture: float(costs(lower(space, architecture)).params),
        COST: lambda architecture: float(costs(lower(space, architecture)).macs),
        ACCURACY: accuracy,
    }
    first = (space.smallest(), space.largest(), space.random(random.Random(split)))
    study = open_study(StudySpec(space, TIER, "tpe", seed=split, first=first))
    study.run(lambda architecture: evaluate(architecture, scorers, TIER), TRIALS)
    scored = [one for one in study.evaluations if ACCURACY in one.scores]
    return {
        "validation_images": len(data.validation),
        "test_images": len(data.test),
        "architectures": [one.architecture.as_dict() for one in scored],
        "scores": [dict(one.scores) for one in scored],
        "test": [tests[one.architecture.key] for one in scored],
    }
