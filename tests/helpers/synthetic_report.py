"""Synthetic facts for reports: made-up numbers that look like a run's, and say that they are synthetic."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwnas.pareto import Limit, Objective, Tier, front, hypervolume, picks, reference_point
from hwnas.report import (
    CostFacts,
    EpochFacts,
    FileFacts,
    FrontPointFacts,
    ObjectiveFacts,
    Point,
    ReportFacts,
    SpaceFacts,
    TierFacts,
    TrainingFacts,
)
from hwnas.tasks import DEFAULT_TASK


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _points(rng: random.Random, tier: Tier, count: int, per_kmac_ms: float) -> tuple[Point, ...]:
    accuracy, latency = (objective.metric for objective in tier.objectives)
    points = []
    for index in range(count):
        macs = int(10 ** rng.uniform(4.6, 5.8))
        best = 0.985 - 0.09 * (4e4 / macs) ** 0.8
        scores = {
            accuracy: round(best - abs(rng.gauss(0, 0.018)), 4),
            latency: round(per_kmac_ms * macs / 1e3 * rng.uniform(0.8, 1.35) + 0.012, 5),
            "params": float(int(macs / rng.uniform(14, 30))),
        }
        key = _hash(f"{tier.name}{index}")[:12]
        summary = f"depth {rng.randint(1, 2)}+{rng.randint(1, 3)}, width 8/{rng.choice([16, 32])}, kernels 3 5 3"
        points.append(Point(key, scores, tier.broken(scores), summary, int(scores["params"]), macs))
    return tuple(points)


def _front(rng: random.Random, tier: Tier, points: tuple[Point, ...], *, measured: bool) -> tuple[FrontPointFacts, ...]:
    valid = [p for p in points if not p.broken]
    chosen = [valid[i] for i in front([p.scores for p in valid], tier.objectives)]
    if not chosen:
        return ()
    named = picks([p.scores for p in chosen], tier.objectives)
    accuracy, latency = (objective.metric for objective in tier.objectives)
    found = []
    for index, point in enumerate(chosen):
        ms = point.scores[latency]
        words = tuple(pick for pick, place in named.items() if place == index)
        made = FrontPointFacts(
            point.key, point.scores, ms, round(0.95 * ms, 5), round(1.05 * ms, 5), picks=words,
            description=(
                "stem    conv 3x3, 1 to 8", "s1_1    mbconv 3x3, 8 to 16, expand 4",
                "s2_1    mbconv 5x5, 16 to 32, expand 4, stride 2", "head    classifier 32 to 10",
            ),
            params=point.params, macs=point.macs, activation_bytes=4 * 64 * rng.choice([32, 64, 96]),
            test_accuracy=round(point.scores[accuracy] - 0.004, 4) if words else None,
        )  # fmt: skip
        if measured:
            made = replace(
                made, measured_ms=round(ms * rng.gauss(1, 0.035), 5), measured_spread=rng.uniform(0.01, 0.06),
                kept=index % 7 != 4 or bool(words),
            )  # fmt: skip
        found.append(made)
    return tuple(found)


def _files(rng: random.Random, found: tuple[FrontPointFacts, ...]) -> tuple[FileFacts, ...]:
    files = []
    for point in (p for p in found if p.picks):
        for kind, suffix in (("ONNX", "onnx"), ("TFLite", "tflite")):
            name = f"{'-'.join(point.picks)}.{suffix}"
            files.append(FileFacts(
                "-".join(point.picks), kind, name, (point.params or 0) * 4 + 9000, _hash(name),
                rng.uniform(1e-6, 9e-6), 1.0, point.test_accuracy, point.predicted_ms, point.measured_ms,
            ))  # fmt: skip
    return tuple(files)


def synthetic_tier(
    name: str,
    seed: int = 0,
    *,
    count: int = 120,
    per_kmac_ms: float = 0.001,
    limits: tuple[Limit, ...] = (),
    measured: bool = True,
) -> TierFacts:
    """One tier with `count` evaluated points."""
    rng = random.Random(seed)
    accuracy = ObjectiveFacts("top1@inherited", "max", "measured", "359 validation images, inherited weights")
    latency = ObjectiveFacts(f"latency_ms@{name}", "min", "predicted")
    objectives = (Objective(accuracy.metric, "max"), Objective(latency.metric, "min"))
    tier = Tier(name, objectives, limits)
    points = _points(rng, tier, count, per_kmac_ms)
    volumes: list[float] = []
    if points:
        reference = reference_point([p.scores for p in points], objectives)
        volumes = [
            hypervolume([p.scores for p in points[: i + 1] if not p.broken], objectives, reference)
            for i in range(min(count, 300))
        ]
    found = _front(rng, tier, points, measured=measured)
    setup = {"device": "Synthetic CPU, 2 cores", "runtime": "onnxruntime", "runtime_version": "1.32.0", "threads": 1,
             "precision": "fp32", "batch": 1}  # fmt: skip
    return TierFacts(
        name, setup, DEFAULT_TASK, accuracy, latency, limits, points, found, tuple(volumes), _files(rng, found),
        ("Latency model: 24 whole networks as checks, held-out error 1.5 % (synthetic).",),
    )  # fmt: skip


def synthetic_facts(*, count: int = 120, measured: bool = True) -> ReportFacts:
    """Two tiers, edge and cloud, with everything a report can show."""
    edge_limits = (Limit("latency_ms@edge", 0.42), Limit("params", 24_000))
    tiers = (
        synthetic_tier("edge", 1, count=count, limits=edge_limits, measured=measured),
        synthetic_tier(
            "cloud",
            2,
            count=count,
            per_kmac_ms=0.00022,
            limits=(Limit("top1@inherited", 0.88, "least"),),
            measured=measured,
        ),
    )
    epochs = tuple(
        EpochFacts(e, 2.2 * 0.88**e + 0.55, 0.95 - 0.7 * 0.86**e, 0.985 - 0.6 * 0.8**e, 3.1) for e in range(1, 31)
    )
    smallest, largest = CostFacts(2_900, 41_000, 8_192), CostFacts(52_000, 610_000, 49_152)
    return ReportFacts(
        experiment="synthetic",
        title="Synthetic example: digits on edge and cloud",
        created_at="2026-11-23 15:40 UTC",
        hwnas_version="0.1.0",
        machine={"processor": "Synthetic CPU, 2 cores", "memory": "8 GiB", "system": "Linux 6.1"},
        space=SpaceFacts("digits", "hwnas, written for the quickstart", 13_824, 17, smallest, largest),
        tiers=tiers,
        training=TrainingFacts(epochs, DEFAULT_TASK, "digits: 1,078 train, 359 validation, 360 test images"),
        config_yaml="name: synthetic\nspace: digits\ntiers:\n  edge: {latency_ms: 0.42, params: 24000}\n",
        versions={"torch": "2.13.0", "onnxruntime": "1.32.0", "litert": "2.3.0", "optuna": "5.0.0"},
        elapsed={"train": 93.0, "bench": 61.2, "search": 44.0, "re-time": 12.4, "export": 38.5},
    )


ATTACK = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\"'<!--"


def hostile(value: Any, name: str = "") -> Any:
    """The same facts with an attempt to break out of the page in every text that a user can choose."""
    if isinstance(value, str):
        return value if name in ("metric", "goal", "origin", "side", "scores", "broken") else ATTACK + value
    if isinstance(value, Mapping):
        return {key if name == "scores" else ATTACK + key: hostile(item, name) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(hostile(item, name) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value))
        return replace(value, **{field: hostile(getattr(value, field), field) for field in fields})
    return value
