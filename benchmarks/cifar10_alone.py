"""What a network of a searched run reaches when it is trained alone, under the supernet's own budget.

    python benchmarks/cifar10_alone.py runs/cifar10 --tier edge --pick best

Same images, epochs, batch size, learning rates and augmentation; labels instead of a teacher. Printed beside it: what
the network inherited from the supernet. Test images are looked at here, after the search, and nowhere before.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from _results import publish, stamped

from hwnas.network import costs
from hwnas.search.fronts import read_front
from hwnas.space import Architecture
from hwnas.supernet import calibration_inputs, extract_recalibrated, quality
from hwnas.supernet.training.standalone import train_standalone
from hwnas.workspace.progress import NullReporter
from hwnas.workspace.training.supernets import load_run, recipe_of
from hwnas.workspace.workspace import Workspace, open_run


def picked(run: Workspace, tier: str, pick: str) -> Architecture:
    """A pick of a tier's front, or the largest network of the space."""
    if pick == "largest":
        return run.space.largest()
    return next(point for point in read_front(run.paths.front(tier)) if pick in point.picks).architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/cifar10"))
    parser.add_argument("--tier", default="edge")
    parser.add_argument("--pick", default="best", choices=["best", "knee", "fastest", "largest"])
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    args = parser.parse_args()
    run = open_run(args.run)
    architecture = picked(run, args.tier, args.pick)
    network, recipe, dataset = run.network(architecture), recipe_of(run), run.dataset
    config = run.experiment.accuracy
    images = calibration_inputs(
        dataset, count=config.calibration_batches, batch_size=config.batch_size, seed=run.experiment.seed
    )
    inherited = extract_recalibrated(load_run(run, NullReporter()).supernet, network, images)
    start = time.monotonic()
    alone = train_standalone(
        network,
        dataset.without_test(),
        recipe,
        seed=run.experiment.seed,
        on_epoch=lambda epoch, loss: print(f"epoch {epoch}/{recipe.epochs}: loss {loss:.3f}", flush=True),
    )
    found = {
        "run": run.experiment.name,
        "tier": args.tier if args.pick != "largest" else None,
        "pick": args.pick,
        "key": architecture.key,
        "params": costs(network).params,
        "macs": costs(network).macs,
        "epochs": recipe.epochs,
        **{
            f"{name}_top1_{split}": round(quality(module, network, getattr(dataset, split)), 4)
            for name, module in {"inherited": inherited, "alone": alone}.items()
            for split in ("validation", "test")
        },
        "seconds_alone": round(time.monotonic() - start),
        "threads": torch.get_num_threads(),
    }
    publish(stamped(found), args.output)


if __name__ == "__main__":
    main()
