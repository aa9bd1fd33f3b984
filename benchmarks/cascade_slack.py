"""What a cascade's threshold costs: the best that each deferral score could do, and the slack of the guarantee.

    python benchmarks/cascade_slack.py runs/cifar10_pair --edge KEY --output docs/results/cascade_slack.json

Of the pair of the most accurate network of either front, by the answers that planning keeps. `least_asked`: the
smallest share of requests that closes 95 % of the gap between edge and cloud, the threshold being chosen on the very
samples that it is judged on, so that no rule can promise as much. `learned on logits` and `boosted` are deferral
heads that see all logits of the edge. `certified`: what is asked and closed where thresholds are certified by more or
fewer samples, each alone or as one of m cascades that share delta; means over draws of calibration samples, above
half of them with replacement.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from hwnas.collaborate.cascades import Pair, cascade_curve
from hwnas.collaborate.guarantee import certify_threshold, fixed_thresholds
from hwnas.problem.plans.samples import MOST_SAMPLES, HeldOutSamples
from hwnas.problem.plans.sides import Side, open_sides
from hwnas.search.fronts import FrontPoint
from hwnas.supernet.torch_file import read_torch
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import open_run

Floats = NDArray[np.float64]
CLOSED, DELTA, DRAWS = 0.95, 0.05, 20
CALIBRATION, SHARING, EPSILONS = (1000, 2000, 4000, 5000), (1, 20, 400), (0.01, 0.02)


def best(samples: HeldOutSamples, side: Side) -> FrontPoint:
    """Return the network of a front that answers most setting samples right."""
    rows = samples.parts.setting
    return max(side.points.values(), key=lambda one: samples.whole(side, one.architecture).scores[rows].mean())


def logits_of(folder: Path, key: str) -> Floats:
    """Return the outputs of a whole network that planning kept."""
    [path] = [one for one in (folder / "plans" / "answers").glob(f"{key}-*") if len(one.name.split("-")) == 3]
    logits: Floats = read_torch(path).numpy().astype(float)
    return logits


def heads(logits: Floats, pair: Pair) -> dict[str, Floats]:
    """Return confidences by deferral heads that see all logits, fitted to setting samples."""
    rows, own = pair.parts.setting, np.stack(list(pair.edge.confidences.values()), axis=1)
    kinds = np.eye(logits.shape[1])[logits.argmax(axis=1)]
    features = np.concatenate([-np.log(1 - own + 1e-4), np.sort(logits, axis=1), kinds], axis=1)
    features = (features - features[rows].mean(axis=0)) / (features[rows].std(axis=0) + 1e-6)
    models: dict[str, Any] = {
        "learned on logits": LogisticRegression(C=0.1, max_iter=2000),
        "boosted": HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, max_leaf_nodes=8, random_state=0),
    }
    return {
        name: model.fit(features[rows], pair.keeps[rows]).predict_proba(features)[:, 1]
        for name, model in models.items()
    }


def least_asked(confidence: Floats, pair: Pair, rows: NDArray[np.intp]) -> float:
    """Return the least share of requests that closes so much of the gap, if the threshold is known."""
    edge, cloud = pair.edge.scores[rows], pair.cloud.scores[rows]
    curve = cascade_curve(confidence[rows], edge, cloud)
    fit = curve.accuracy >= cloud.mean() - (1 - CLOSED) * (cloud.mean() - edge.mean())
    return float(curve.escalated[np.flatnonzero(fit)[-1]])


def certified(confidence: Floats, pair: Pair, rows: NDArray[np.intp]) -> list[dict[str, float]]:
    """Return what is asked and closed for each number of calibration samples and of cascades."""
    rng, losses, told = np.random.default_rng(0), pair.cloud.scores - pair.edge.scores, list[dict[str, float]]()
    edge, cloud = pair.edge.scores[rows], pair.cloud.scores[rows]
    thresholds = fixed_thresholds(confidence[pair.parts.setting])
    for epsilon in EPSILONS:
        for count in CALIBRATION:
            for cascades in SHARING:
                asked, closed = list[float](), list[float]()
                for _ in range(DRAWS):
                    some = rng.choice(rows, count, replace=2 * count > len(rows))
                    bound = certify_threshold(confidence[some], losses[some], thresholds, epsilon, DELTA / cascades)
                    keeps = confidence[rows] >= bound.threshold
                    asked.append(1 - float(keeps.mean()))
                    closed.append(float(np.where(keeps, edge, cloud).mean() - edge.mean()) / (cloud - edge).mean())
                entry = {"epsilon": epsilon, "samples": count, "cascades": cascades}
                told.append({**entry, "asked": float(np.mean(asked)), "closed": float(np.mean(closed))})
    return told


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--edge", metavar="KEY", help="another network of the edge's front")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    trained = supernet_of(run, default_reporter(None))
    assert trained is not None
    samples, sides = HeldOutSamples(run, trained, MOST_SAMPLES), open_sides(run)
    points = [best(samples, side) for side in sides]
    if arguments.edge:
        points[0] = sides[0].points[arguments.edge]
    answers = [samples.whole(side, one.architecture) for side, one in zip(sides, points, strict=True)]
    pair, rows = Pair(*answers, samples.parts), np.concatenate([samples.parts.calibration, samples.parts.judging])
    edge, cloud = pair.edge.scores[rows], pair.cloud.scores[rows]
    rules = {**pair.confidences, **heads(logits_of(arguments.run, points[0].architecture.key), pair)}
    result = {
        "edge": {"key": points[0].architecture.key, "accuracy": float(edge.mean())},
        "cloud": {"key": points[1].architecture.key, "accuracy": float(cloud.mean())},
        "samples": len(rows),
        "cloud_alone_right": float((cloud > edge).mean()),
        "edge_alone_right": float((edge > cloud).mean()),
        "error_correlation": float(np.corrcoef(edge, cloud)[0, 1]),
        "share_closed": CLOSED,
        "least_asked": {name: least_asked(values, pair, rows) for name, values in rules.items()},
        "certified_by_margin": certified(rules["margin"], pair, rows),
    }
    publish(stamped(result), arguments.output)


if __name__ == "__main__":
    main()
