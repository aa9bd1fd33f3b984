"""A regression gate: a bundle against an earlier one, by size, answers, quality and latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.export.manifest import Manifest
from hwnas.measure.events import no_progress
from hwnas.measure.timing import Timing
from hwnas.tasks.metrics.paired import PairedCounts
from hwnas.verify.findings import Verification
from hwnas.verify.latency import SITTING, Progress, ratio_of, time_bundles
from hwnas.verify.outputs import LOW_IS_GOOD, MALFORMED, SLACK, FileAnswers, RunnableFile

Array = NDArray[Any]
QUALITY_DRAWS = 1000
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class GateLimits:
    """How much worse a bundle may be than an earlier one.

    Args:
        drop: of the quality, in its unit; of an accuracy 0.005 is half a point. It counts where it is more than chance.
        slowdown: share by which a call may take longer; it counts where the whole 95 % interval lies beyond.
        growth: share by which a file may be larger.
    """

    drop: float = 0.005
    slowdown: float = 0.05
    growth: float = 0.01


def check_against(
    new: tuple[Path, Manifest],
    old: tuple[Path, Manifest],
    result: Verification,
    *,
    limits: GateLimits,
    timing: Timing | None = SITTING,
    progress: Progress = no_progress,
) -> list[str]:
    """Compare sizes and latencies of the files that two bundles share, and return their names."""
    sides = [
        {file.name: file for file in manifest.files if (folder / file.name).is_file()}
        for folder, manifest in (new, old)
    ]
    names = [name for name in sides[0] if name in sides[1] and sides[0][name].format == sides[1][name].format]
    if not names:
        result.find("files_not_shared", f"it has no file of one name and format with {old[0]}", new[0])
        return []
    numbers: dict[str, dict[str, Any]] = {}
    for name in names:
        growth = sides[0][name].bytes / max(sides[1][name].bytes, 1) - 1
        numbers[name] = {"growth": growth}
        if growth > limits.growth:
            result.find("larger", f"{name} is {growth:.1%} larger, {limits.growth:.1%} is allowed", new[0] / name)
    blocks = 0 if timing is None else timing.processes
    timed = {} if timing is None else time_bundles([new, old], names, result, timing=timing, progress=progress)
    for name, (measured, earlier) in timed.items():
        ratio = ratio_of(measured, earlier, blocks)
        numbers[name]["latency"] = ratio.as_dict()
        if ratio.low > 1 + limits.slowdown:
            result.find(
                "slower",
                f"{name} takes {ratio.ratio:.3f} times as long, {ratio.low:.3f} to {ratio.high:.3f}; "
                f"{1 + limits.slowdown:.3f} is allowed",
                new[0] / name,
            )
    result.measured["against"] = numbers
    result.checked.append(f"size{' and latency' if timed else ''} against {old[0]}: {', '.join(names)}")
    return names


def check_answers(
    folder: Path,
    pairs: Mapping[str, tuple[RunnableFile, RunnableFile]],
    arrays: Mapping[str, Array],
    limits: GateLimits,
    result: Verification,
) -> None:
    """Compare the answers of files of one name, sample by sample.

    Args:
        folder: of the bundle.
        pairs: by name, the file of the bundle and that of the earlier one.
        arrays: raw inputs and targets.
        limits: how much worse the quality may be.
        result: gets findings and numbers.
    """
    for name, (new, old) in pairs.items():
        try:
            sides = FileAnswers.of(new, arrays), FileAnswers.of(old, arrays)
            entry = _paired(name, folder, *sides, limits, result)
        except Exception as error:  # of the metric, the archive or the runtime
            if not isinstance(error, MALFORMED) and not hasattr(error, "met"):
                raise
            result.find("quality_not_compared", f"{name}: {error}".splitlines()[0], folder / name)
            continue
        result.measured.setdefault("against", {}).setdefault(name, {})["quality"] = entry
    result.checked.append(f"answers beside the earlier bundle's: {', '.join(pairs) or 'no file'}")


def _paired(
    name: str, folder: Path, new: FileAnswers, old: FileAnswers, limits: GateLimits, result: Verification
) -> dict[str, Any]:
    quality = str(new.task["quality"])
    sign = 1 if quality in LOW_IS_GOOD else -1
    values = new.quality(), old.quality()
    drop = sign * (values[0] - values[1])
    entry: dict[str, Any] = {"metric": quality, "new": values[0], "old": values[1], "samples": len(new.targets)}
    if new.right is not None and old.right is not None and quality == "top1":
        counts = PairedCounts.of(old.right, new.right)
        entry |= {"only_old_right": counts.lost, "only_new_right": counts.gained, "p": counts.p_value}
        sure = counts.p_value < SIGNIFICANT
    else:
        low, high = _bootstrapped(new, old, sign)
        entry |= {"low": low, "high": high}
        sure = low > 0
    if new.classes is not None and old.classes is not None:
        entry["agreement"] = float((new.classes == old.classes).mean())
        if entry["agreement"] < 1:
            result.find(
                "answers_differ", f"{name} answers {1 - entry['agreement']:.2%} of the samples otherwise", folder / name
            )
    entry["drop"] = drop
    if drop > limits.drop + SLACK and sure:
        result.find(
            "quality_dropped",
            f"{name}: {quality} is {values[0]:.6g}, {values[1]:.6g} before, on {len(new.targets)} samples",
            folder / name,
        )
    return entry


def _bootstrapped(new: FileAnswers, old: FileAnswers, sign: int) -> tuple[float, float]:
    """Return the 95 % interval of how much worse the new answers are, samples drawn for both alike."""
    rng, count = np.random.default_rng(0), len(new.targets)
    drawn = [rng.integers(count, size=count) for _ in range(QUALITY_DRAWS)]
    worse = [sign * (new.quality(chosen) - old.quality(chosen)) for chosen in drawn]
    low, high = np.nanquantile(worse, (SIGNIFICANT / 2, 1 - SIGNIFICANT / 2))
    return float(low), float(high)
