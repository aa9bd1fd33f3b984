"""Model files of a bundle run again: their self-test, and their quality on data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ConfigError
from hwnas.export.manifest import Manifest
from hwnas.export.standalone.inputs import read_arrays
from hwnas.export.standalone.metrics import metric_of
from hwnas.export.standalone.network import (
    RUNTIME_MODULES,
    FailedCall,
    FilePredictor,
    PredictError,
    is_available,
    runtime_version,
)
from hwnas.verify.findings import Verification

Array = NDArray[Any]

SLACK = 1e-9
"""Difference of qualities that is rounding."""
LOW_IS_GOOD = frozenset(("mae", "rmse", "reconstruction_error"))
"""Metrics that are errors; of all others, high is good."""
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, MemoryError)
"""Errors of a manifest or an archive whose parts contradict each other."""


@dataclass(frozen=True)
class RunnableFile:
    """A model file in its runtime."""

    name: str
    predictor: FilePredictor
    exported_quality: float | None
    """Quality on the test samples, as the manifest has it."""


def open_files(folder: Path, manifest: Manifest, result: Verification) -> list[RunnableFile]:
    """Return the model files that can be run here; why others cannot is added to the findings."""
    opened, quality = [], str(manifest.content.get("quality", "top1"))
    for model in manifest.content["models"]:
        for file in model["files"]:
            path = folder / file["name"]
            if file["format"] not in RUNTIME_MODULES:
                result.find("format_not_run", f"{path.name} is of format {file['format']}", path)
            elif not is_available(file):
                names = " or ".join(RUNTIME_MODULES[file["format"]]).replace("_", "-")
                result.find("runtime_missing", f"{path.name} is not run: {names} is not installed", path)
            elif path.is_file():
                try:
                    predictor = FilePredictor(folder, manifest.content, model, file)
                    _compare_runtime(path, file, result)
                    opened.append(RunnableFile(path.name, predictor, file.get(f"test_{quality}")))
                except PredictError as error:
                    result.find("file_refused", f"{path.name}: {error.met}", path)
                except MALFORMED as error:
                    result.find("manifest_damaged", _contradiction(path.name, error), path)
    return opened


def _compare_runtime(path: Path, file: Mapping[str, Any], result: Verification) -> None:
    """Note that a file was exported with another version of the runtime than is here."""
    exported, here = str(file["runtime"]).partition(",")[0].split(), runtime_version(file).split()
    if len(exported) == len(here) == 2 and exported[1] != here[1]:
        result.find("other_runtime", f"{path.name} was run by {' '.join(exported)}, here is {' '.join(here)}", path)


def check_outputs(folder: Path, files: list[RunnableFile], result: Verification) -> None:
    """Compare what files give for the self-test's inputs with what they gave when they were exported."""
    tested = [one for one in files if one.predictor.model.get("selftest")]
    if len(tested) < len(files):
        result.find("selftest_missing", "the bundle has no self-test", folder)
    if not tested:
        return
    path = folder / "selftest.npz"
    try:
        arrays = read_arrays(path)
    except (OSError, *MALFORMED) as error:
        result.find("selftest_damaged", f"the self-test cannot be read ({_first(error)})", path)
        return
    numbers: dict[str, Any] = {}
    for one in tested:
        try:
            apart, allowed = one.predictor.self_test(arrays)
        except (PredictError, *MALFORMED) as error:
            unknown = "step" in str(error) and "unknown" in str(error)
            kind = "preprocessing_unknown" if unknown else "selftest_damaged"
            kind = "file_refused" if isinstance(error, FailedCall) else kind
            result.find(kind, f"{one.name}: {_first(error)}", folder / one.name)
            continue
        numbers[one.name] = {"max_difference": apart, "tolerance": allowed}
        if not apart <= allowed:
            result.find(
                "selftest_differs", f"{one.name} gives other outputs: {apart:.3g} apart, {allowed:.3g} is allowed", path
            )
    result.measured["selftest"] = numbers
    result.checked.append(f"self-test of {', '.join(numbers) or 'no file'}")


def read_data(path: Path) -> dict[str, Array]:
    """Return raw inputs and targets of an archive.

    Raises:
        ConfigError: it cannot be read, or has no targets.
    """
    try:
        arrays = read_arrays(path)
        fault = None if "targets" in arrays else f"it holds {', '.join(arrays) or 'nothing'}, and no `targets`"
    except (OSError, *MALFORMED) as error:
        arrays, fault = {}, _first(error)
    if fault is not None:
        raise ConfigError(
            f"the data cannot be used ({fault})",
            where=str(path),
            allowed="It is an .npz archive of raw `inputs` (N, ...), `input:NAME` where there are several, and "
            "`targets`",
            do="Write it with numpy.savez(path, inputs=..., targets=...)",
        )
    return arrays


def check_quality(
    folder: Path, files: list[RunnableFile], arrays: Mapping[str, Array], most_drop: float, result: Verification
) -> None:
    """Compare the quality of files on data with what the manifest tells of the test samples.

    Args:
        folder: of the bundle.
        files: opened.
        arrays: as `read_data` returns them.
        most_drop: by how much the quality may be worse.
        result: gets findings and numbers.
    """
    numbers = {}
    for one, (quality, value, samples) in _qualities(folder, files, arrays, result):
        numbers[one.name] = {"metric": quality, "value": value, "samples": samples, "manifest": one.exported_quality}
        compare_quality(folder / one.name, numbers[one.name], most_drop, result)
    result.measured["quality"] = numbers
    result.checked.append(f"quality of {', '.join(numbers) or 'no file'}")


def compare_quality(path: Path, one: Mapping[str, Any], most_drop: float, result: Verification) -> None:
    """Compare the quality of a file with the manifest's.

    Args:
        path: of the file.
        one: `metric`, `value`, `samples` and `manifest`, the exported quality; either may be None.
        most_drop: by how much the quality may be worse.
        result: gets the finding.
    """
    if one["manifest"] is None:
        return
    value = math.nan if one["value"] is None else one["value"]
    worse = (value - one["manifest"]) * (1 if one["metric"] in LOW_IS_GOOD else -1)
    if not worse <= most_drop + SLACK:
        result.find(
            "quality_lower",
            f"{path.name}: {one['metric']} is {value:.6g} on {one['samples']} samples, {one['manifest']:.6g} before",
            path,
        )


def _qualities(
    folder: Path, files: list[RunnableFile], arrays: Mapping[str, Array], result: Verification
) -> Iterator[tuple[RunnableFile, tuple[str, float, int]]]:
    for one in files:
        try:
            yield one, one.predictor.quality(arrays)
        except PredictError as error:
            result.find("quality_not_compared", f"{one.name}: {error.met}", folder / one.name)
        except MALFORMED as error:
            result.find("quality_not_compared", f"{one.name}: {_first(error)}", folder / one.name)


@dataclass(frozen=True, eq=False)
class FileAnswers:
    """Outputs of one file for data, and their quality on any choice of the samples."""

    outputs: Array
    seen: Array
    """Inputs as the task's metric takes them."""
    targets: Array
    task: Mapping[str, Any]

    @classmethod
    def of(cls, file: RunnableFile, arrays: Mapping[str, Array]) -> FileAnswers:
        """Return the answers of a file to data."""
        outputs, seen = file.predictor.outputs_and_seen(arrays)
        return cls(outputs[0], seen, arrays["targets"], file.predictor.manifest["task"])

    @property
    def right(self) -> Array | None:
        """True where the class is right; None of other tasks."""
        if self.task["name"] != "classification":
            return None
        right: Array = self.outputs.argmax(1) == self.targets
        return right

    @property
    def classes(self) -> Array | None:
        """The classes; None of other tasks."""
        return None if self.right is None else self.outputs.argmax(1)

    def quality(self, chosen: Array | None = None) -> float:
        """Return the task's quality on all samples, or on those at these indices."""
        take = slice(None) if chosen is None else chosen
        metric = metric_of(self.task, self.task["quality"])
        if metric is None:
            raise ValueError(f"`{self.task['quality']}` is unknown to this version")
        with np.errstate(all="ignore"):
            return metric(self.outputs[take], self.targets[take], self.seen[take])


def _contradiction(name: str, error: Exception) -> str:
    return f"the manifest contradicts itself at {name} ({error})"


def _first(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = getattr(error, "met", None) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]
