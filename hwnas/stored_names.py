"""Names in stored files, where they differ from those in YAML and Python: what was stored before stays valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRAIN: Mapping[str, str] = {
    "middles": "num_random_subnets",
    "largest_epochs": "warmup_largest_epochs",
    "regularise": "regularize",
    "accumulate": "grad_accumulation_steps",
    "clip_norm": "max_grad_norm",
    "teacher_weight": "distill_weight",
}
"""By the stored name, as in all tables here. These are part of the identity of every training."""
SOURCES: Mapping[str, str] = {"short": "finetuned", "alone": "standalone"}
"""Sources of accuracy. The stored name is the one after the @ of a metric, and that of a folder of weights."""
KEYS: Mapping[str, Mapping[str, str]] = {
    "train": TRAIN,
    "accuracy": {"images": "samples"},
    "export": {"calibration_images": "calibration_samples"},
    "search": {
        "ladder": "successive_halving",
        "start": "warm_start",
        "lease_s": "heartbeat_timeout_s",
        "hours": "max_hours",
        "plateau": "early_stopping",
        "training_free": "zero_cost_init",
    },
    "search.plateau": {"trials": "patience", "gain": "min_delta"},
    "tiers.*": {"minimise": "minimize"},
    "tiers.*.limits": {"confidence": "latency_quantile", "top1_confidence": "quality_confidence"},
    "timing": {
        "checks": "validation_networks",
        "retakes": "max_retries",
        "group": "files_per_session",
        "sample_ms": "min_sample_ms",
        "wait_seconds": "device_lock_timeout_s",
    },
}
"""Keys of an experiment, by the path of their section."""
VALUES: Mapping[str, Mapping[str, str]] = {
    "train.on_divergence": {"halve": "halve_lr"},
    "accuracy.source": SOURCES,
    "search.ladder.score": SOURCES,
    "setups.*.missing": {"refuse": "error"},
}
"""Values of an experiment, by the path of their key."""


def current(value: Any, path: str = "") -> Any:
    """Return a stored experiment, or the section of one at a path, in the names of today."""
    if isinstance(value, Mapping):
        names, below = KEYS.get(path, {}), f"{path}." if path else ""
        return {
            names.get(key, key): current(inner, f"{below}{'*' if path in ('setups', 'tiers') else key}")
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [current(inner, path) for inner in value]
    return VALUES.get(path, {}).get(value, value) if isinstance(value, str) else value


def stored(section: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the section of an experiment at a path, in the names that are stored; sections within it stay."""
    keys = {now: then for then, now in KEYS.get(path, {}).items()}
    raw = {keys.get(key, key): value for key, value in section.items()}
    for key, value in raw.items():
        names = {now: then for then, now in VALUES.get(f"{path}.{key}", {}).items()}
        raw[key] = names.get(value, value) if isinstance(value, str) else value
    return raw


def stored_source(name: str) -> str:
    """Return the stored name of a source of accuracy."""
    return next((then for then, now in SOURCES.items() if now == name), name)
