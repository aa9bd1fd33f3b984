"""Two bundles beside each other, by what their manifests say."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, HwnasError, RunError
from hwnas.export.manifest import MANIFEST, QUALITY, ListedFile, Manifest, damage, read_manifest
from hwnas.quantities import Quantity
from hwnas.report.comparisons.facts import BundleComparison, FileComparison
from hwnas.tasks import task_of


def compare_bundles(first: str, second: str) -> BundleComparison:
    """Compare the manifests of two bundles; no file is run.

    Raises:
        ConfigError: one is no bundle, they have no file of one name, or are judged by different metrics.
        RunError: a manifest or a file is damaged.
    """
    from hwnas.report.units import Units

    one, other = _read(first), _read(second)
    by_name = [{file.name: (model.key, file) for model in side.models for file in model.files} for side in (one, other)]
    shared = [name for name in by_name[0] if name in by_name[1]]
    if not shared:
        raise ConfigError(
            f"files are {', '.join(by_name[0])} in `{first}`, and {', '.join(by_name[1])} in `{second}`",
            where="hwnas compare",
            allowed="Files of one name are compared",
            do="Name bundles that were exported for the same picks and formats",
        )
    qualities = tuple(str(side.content.get("quality", QUALITY)) for side in (one, other))
    if qualities[0] != qualities[1]:
        raise ConfigError(
            f"networks are judged by `{qualities[0]}` in `{first}`, and by `{qualities[1]}` in `{second}`",
            where="hwnas compare",
            allowed="Bundles of one metric are compared",
            do="Name bundles of the same task",
        )
    return BundleComparison(
        tiers=(one.tier, other.tier),
        files=tuple(_compared(name, by_name[0][name], by_name[1][name]) for name in shared),
        only_first=tuple(name for name in by_name[0] if name not in by_name[1]),
        only_second=tuple(name for name in by_name[1] if name not in by_name[0]),
        differences=dict(_differences(one, other)),
        quality=qualities[0],
        units=Units(_metrics(one)),
    )


def _metrics(manifest: Manifest) -> Sequence[Quantity]:
    """Return the metrics of the manifest's task; none of a task that has no name, or is not installed here."""
    entry = manifest.content.get("task") or {}
    name, unit = entry.get("name"), entry.get("options", {}).get("unit")
    if not isinstance(name, str) or ":" in name:
        return ()
    with contextlib.suppress(HwnasError):
        return task_of({"name": name, **({"unit": unit} if unit else {})}, base=Path(), where="manifest").metrics
    return ()


def _read(folder: str) -> Manifest:
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise ConfigError(
            f"`{folder}` is no bundle: it holds no {MANIFEST}",
            where="hwnas compare",
            allowed="Two bundles are compared, each a folder such as runs/NAME/bundle/TIER",
            do="Name two bundles; `hwnas export` writes them",
        )
    manifest = read_manifest(path)
    if wrong := damage(manifest):
        name, fault = next(iter(wrong.items()))
        raise RunError(
            f"{name} of the bundle is damaged: {fault}",
            where=folder,
            allowed="Bundles are compared that are as they were exported",
            do="Export it anew, or copy it again",
        )
    return manifest


def _compared(name: str, first: tuple[str, ListedFile], second: tuple[str, ListedFile]) -> FileComparison:
    (key, one), (other_key, other) = first, second
    return FileComparison(
        name,
        one.sha256 == other.sha256,
        (key, other_key),
        (one.bytes, other.bytes),
        (one.test_quality, other.test_quality),
        (one.latency_ms, other.latency_ms),
    )


def _differences(one: Manifest, other: Manifest) -> list[tuple[str, tuple[Any, Any]]]:
    """Return fields of the set-ups, versions and limits that differ."""
    changed = []
    for part in ("setup", "versions"):
        sides = [dict(side.content.get(part) or {}) for side in (one, other)]
        changed += [
            (f"{part}.{name}", (sides[0].get(name), sides[1].get(name)))
            for name in dict.fromkeys([*sides[0], *sides[1]])
            if sides[0].get(name) != sides[1].get(name)
        ]
    return changed
