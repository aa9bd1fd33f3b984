"""Latencies of a bundle's files taken again, beside each other and in one sitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError, reason
from hwnas.export.manifest import ListedFile, Manifest
from hwnas.measure.events import no_progress
from hwnas.measure.session import time_files
from hwnas.measure.timing import LOW, Measurement, Timing
from hwnas.runtimes import Runtime, open_runtime
from hwnas.runtimes.setup import cpu_name
from hwnas.verify.findings import Verification

SITTING = Timing(rounds=60, processes=6)
SLOWER = 1.25
"""Ratio to the exported time beyond which a file is told as slower: in between lies the state of the machine."""
LATENCY_DRAWS, CONFIDENCE = 300, 0.95

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Ratio:
    """One time over another, with the ends of a 95 % interval."""

    ratio: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return it ready for JSON."""
        return asdict(self)


def ratio_of(second: Measurement, first: Measurement, blocks: int) -> Ratio:
    """Return how much slower a file is than another that was timed in the same rounds.

    Rounds of one process share where weights lie in memory, so that the interval draws whole processes.

    Args:
        second: the file that is told.
        first: the file beside which it is told.
        blocks: processes that the rounds are divided among.
    """
    logs = np.log(np.array(second.rounds_ns)) - np.log(np.array(first.rounds_ns))
    return interval(np.array_split(logs, max(blocks, 1)), lambda logs: float(np.median(logs)))


def ratio_to(exported_ms: float, measured: Measurement, blocks: int) -> Ratio:
    """Return a file's low time over one that was measured at another time."""
    logs = np.log(np.array(measured.rounds_ns) / 1e6 / exported_ms)
    return interval(np.array_split(logs, max(blocks, 1)), lambda logs: float(np.quantile(logs, LOW)))


def interval(blocks: Sequence[NDArray[Any]], value: Callable[[NDArray[Any]], float]) -> Ratio:
    """Return a value of all rounds with its interval: processes are drawn, and rounds within them.

    Args:
        blocks: logarithms of ratios, those of each process.
        value: of rounds.
    """
    rng, drawn = np.random.default_rng(0), []
    for _ in range(LATENCY_DRAWS):
        chosen = [blocks[index] for index in rng.integers(len(blocks), size=len(blocks))]
        drawn.append(value(np.concatenate([rng.choice(block, len(block)) for block in chosen])))
    low, high = np.quantile(drawn, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Ratio(*(float(np.exp(one)) for one in (value(np.concatenate(blocks)), low, high)))


def runtime_of_file(manifest: Manifest, entry: Mapping[str, Any]) -> Runtime | None:
    """Return the runtime of a listed file on this machine; None where there is none.

    Raises:
        HwnasError: the runtime cannot be opened.
    """
    words = str(entry["runtime"]).split()
    if not words or str(manifest.content["setup"].get("accelerator", "cpu")) != "cpu":
        return None
    threads = int(manifest.content["setup"].get("threads", 1))
    precision = "int8" if entry["precision"] == "mixed" else str(entry["precision"])
    return open_runtime(words[0], threads=threads, precision=precision, batch=int(entry["batch"]))


def time_bundles(
    sides: Sequence[tuple[Path, Manifest]],
    names: Sequence[str],
    result: Verification,
    *,
    timing: Timing = SITTING,
    progress: Progress = no_progress,
) -> dict[str, list[Measurement]]:
    """Time files of one name of one bundle or of several, those of one runtime in shared rounds.

    Args:
        sides: folders with their manifests.
        names: of the files.
        result: gets findings on files that no runtime here takes.
        timing: the protocol.
        progress: is told how far it is.

    Returns:
        By name, a measurement for each side; without files that could not be timed.
    """
    entries = {
        name: [entry for _, manifest in sides for entry in file_entries(manifest) if entry["name"] == name]
        for name in names
    }
    groups: dict[str, tuple[Runtime, list[str]]] = {}
    for name, listed in entries.items():
        try:
            runtime = runtime_of_file(sides[0][1], listed[0])
        except (HwnasError, KeyError, TypeError, ValueError) as error:
            why = error.met if isinstance(error, HwnasError) else reason(error)
            result.find("runtime_missing", f"{name} is not timed: {why}", sides[0][0] / name)
            continue
        if runtime is not None:
            groups.setdefault(str(runtime.setup.as_dict()), (runtime, []))[1].append(name)
    timed: dict[str, list[Measurement]] = {}
    for runtime, members in groups.values():
        files = [folder / name for name in members for folder, _ in sides]
        sitting = time_files(files, runtime, timing, progress=progress)
        for index, why in sitting.failed.items():
            result.find("file_refused", f"{files[index].name} cannot be timed: {why}", files[index])
        for number, name in enumerate(members):
            places = range(number * len(sides), (number + 1) * len(sides))
            if all(index in sitting.measured for index in places):
                timed[name] = [sitting.measured[index] for index in places]
    return timed


def file_entries(manifest: Manifest) -> list[Mapping[str, Any]]:
    """Return the entries of all model files, as the manifest has them."""
    return [file for model in manifest.content["models"] for file in model["files"]]


def check_latency(
    folder: Path,
    manifest: Manifest,
    result: Verification,
    *,
    timing: Timing = SITTING,
    progress: Progress = no_progress,
) -> None:
    """Time the files again and compare with the manifest, if this is the machine that it names."""
    files = {file.name: file for file in manifest.files if (folder / file.name).is_file()}
    timed = time_bundles([(folder, manifest)], list(files), result, timing=timing, progress=progress)
    numbers = {}
    exported_on = str((manifest.content.get("machine") or {}).get("processor", ""))
    if timed and exported_on != (here := cpu_name()):
        result.find("other_machine", f"it was exported on `{exported_on}`, this is `{here}`", folder)
    for name, (measured,) in timed.items():
        numbers[name] = {
            "low_ms": measured.low_ms,
            "median_ms": measured.median_ms,
            "manifest_ms": files[name].latency_ms,
        }
        if exported_on == cpu_name():
            numbers[name] |= _against_manifest(folder, files[name], measured, timing, result)
    result.measured["latency"] = numbers
    result.checked.append(f"latency of {', '.join(numbers) or 'no file'}")


def _against_manifest(
    folder: Path, file: ListedFile, measured: Measurement, timing: Timing, result: Verification
) -> dict[str, float]:
    if not file.latency_ms:
        return {}
    ratio = ratio_to(file.latency_ms, measured, timing.processes)
    if ratio.low > SLOWER:
        result.find(
            "slower_than_exported",
            f"{file.name} takes {measured.low_ms:.4g} ms, {file.latency_ms:.4g} ms when it was exported "
            f"(ratio {ratio.ratio:.2f}, {ratio.low:.2f} to {ratio.high:.2f})",
            folder / file.name,
        )
    return ratio.as_dict()
