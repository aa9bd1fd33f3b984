"""What an attacker gets of the input from what is sent at each cut of a run's networks.

    python benchmarks/reconstruction.py RUN [--output docs/results/reconstruction.json]

The attacker has the head and the training samples, sees the boundary in fp32, and inverts it by ridge regression; the
reconstructions of held-out samples are compared with the inputs. That is a lower bound: attacks by deeper networks find
more. `mean` is what one gets who sees nothing and answers with the mean training input.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import publish, stamped
from _ridge_attack import RidgeAttack, Similarity, similarity

from hwnas.problem.plans.samples import HeldOutSamples
from hwnas.problem.plans.sides import Side, open_sides
from hwnas.search.fronts import FrontPoint
from hwnas.tasks.ends import elements_of
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import open_run

TRAINING_SAMPLES = 3000
JUDGED_SAMPLES = 1000


def of_network(samples: HeldOutSamples, side: Side, point: FrontPoint) -> list[dict[str, Any]]:
    """A row for each cut, from cut 0, where the input itself is sent, on."""
    network, split = samples.run.network(point.architecture), samples.run.dataset.train
    known = split.first(TRAINING_SAMPLES).every()
    seen = samples.inputs[torch.from_numpy(samples.parts.judging[:JUDGED_SAMPLES])]
    own, true = (np.clip((some * split.std + split.mean).numpy(), 0, 1) for some in (known, seen))
    rows = [
        {
            "cut": None,
            "sent": "nothing",
            "elements": 0,
            **entry(similarity(true, np.broadcast_to(own.mean(0), true.shape))),
        }
    ]
    boundaries = (samples.boundaries(side, point.architecture, some) for some in (known, seen))
    for cut, (trained, judged) in enumerate(zip(*boundaries, strict=True)):
        if cut == 0:
            like = similarity(true, true)
        else:
            like = similarity(true, RidgeAttack.fitted(trained.numpy(), own).invert(judged.numpy()))
        sent = "input" if cut == 0 else type(network.operators[cut - 1]).__name__
        rows.append({"cut": cut, "sent": sent, "elements": elements_of(judged.shape[1:]), **entry(like)})
    return rows


def entry(like: Similarity) -> dict[str, Any]:
    """As JSON has it: the ratio of equal inputs, which is infinite, as null."""
    return {
        "exact": like.psnr_db == float("inf"),
        "psnr_db": None if like.psnr_db == float("inf") else like.psnr_db,
        "ssim": like.ssim,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    run = open_run(options.run)
    trained = supernet_of(run, default_reporter(None))
    if trained is None:
        parser.error(f"{run.folder} has no weights: hwnas train {options.run}")
    samples, networks = HeldOutSamples(run, trained, JUDGED_SAMPLES * 2), {}
    for side in open_sides(run):
        points = list(side.points.values())
        scores = [samples.whole(side, one.architecture).scores.mean() for one in points]
        best = points[int(np.argmax(scores))]
        networks[best.architecture.key] = {"tier": side.tier, "cuts": of_network(samples, side, best)}
    publish(stamped({"run": run.experiment.name, "attack": "ridge regression", "networks": networks}), options.output)


if __name__ == "__main__":
    main()
