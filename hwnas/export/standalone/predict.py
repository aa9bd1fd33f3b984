"""Runs the model files beside it on raw inputs: `python predict.py image.png`. Python 3.9, numpy and one runtime.

`--selftest` compares them with the outputs that they gave when they were exported, `--accuracy data.npz` counts right
answers to raw `inputs` with `targets`. Exit codes: 0 all is well, 1 a file gives other outputs, 2 it cannot be run.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.export.standalone.inputs import READABLE, read_arrays, read_input
from hwnas.export.standalone.network import (
    FilePredictor,
    PredictError,
    is_available,
    named,
    read_manifest,
    runnable,
    runtime_version,
)

Array = NDArray[Any]

FEWEST_CALLS = 5


def _chosen(folder: Path, wanted: str, most: int | None) -> list[FilePredictor]:
    """Return the files that are named, or at most so many of all that can be run here."""
    manifest = read_manifest(folder)
    files = [pair for pair in runnable(manifest) if wanted in ("", pair[1]["name"])]
    if not files:
        known = ", ".join(file["name"] for _, file in runnable(manifest))
        raise PredictError(f"there is no file `{wanted}`", "--model", f"Files: {known}", "Name one of them")
    here = [pair for pair in files if is_available(pair[1])] or files[:1]
    return [FilePredictor(folder, manifest, model, file) for model, file in here[:most]]


def _inputs_of(predictor: FilePredictor, paths: Sequence[str]) -> Iterator[tuple[str, dict[str, Array]]]:
    names = list(predictor.facts)
    for text in paths:
        path = Path(text)
        try:
            if len(names) > 1:
                yield text, named(read_arrays(path), names)
            else:
                facts, channels = predictor.facts[names[0]], predictor.shapes[names[0]][0]
                yield text, {names[0]: read_input(path, facts, predictor.rank(names[0]), channels)}
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PredictError(
                f"the input cannot be read ({why})", text, f"Read are {READABLE}", "Give another"
            ) from error


def _selftest(folder: Path, predictors: Sequence[FilePredictor]) -> Iterator[tuple[dict[str, Any], str]]:
    kept = [one for one in predictors if one.model.get("selftest")]
    if not kept:
        raise PredictError("the bundle has no self-test", str(folder), "It is exported with one", "Export it again")
    arrays = _archive(folder / kept[0].model["selftest"]["file"])
    for one in kept:
        apart, tolerance = one.self_test(arrays)
        entry = {
            "file": one.file["name"],
            "runtime": runtime_version(one.file),
            "max_difference": apart,
            "tolerance": tolerance,
            "ok": apart <= tolerance,
        }
        words = "as exported" if entry["ok"] else "OTHER OUTPUTS THAN WHEN IT WAS EXPORTED"
        yield entry, f"{one.file['name']}: {words} (differs by {apart:.3g}, {tolerance:.3g} is allowed)"


def _accuracy(path: Path, predictors: Sequence[FilePredictor]) -> Iterator[tuple[dict[str, Any], str]]:
    arrays = _archive(path)
    for one in predictors:
        name, value, samples = one.quality(arrays)
        expected = one.file.get(f"test_{name}")
        number = value if math.isfinite(value) else None
        entry = {"file": one.file["name"], "metric": name, "value": number, "samples": samples, "manifest": expected}
        beside = "" if expected is None else f"; the manifest tells {expected:.6g} on the test samples"
        yield entry, f"{one.file['name']}: {name} {value:.6g} of {samples} samples{beside}"


def _timed(predictors: Sequence[FilePredictor], seconds: float) -> Iterator[tuple[dict[str, Any], str]]:
    """Time one call of each file in turn, so that a slow spell of the machine meets all of them."""
    times: dict[str, list[float]] = {one.file["name"]: [] for one in predictors}
    calls = {one.file["name"]: one.call_on_zeros() for one in predictors}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while not all(len(taken) >= FEWEST_CALLS for taken in times.values()) or time.perf_counter() < end:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - begin))
    for name, taken in times.items():
        low, median, high = np.quantile(taken, (0.1, 0.5, 0.9)).tolist()
        entry = {"file": name, "low_ms": low, "median_ms": median, "p90_ms": high, "calls": len(taken)}
        yield entry, f"{name}: {median:.4g} ms a call, {low:.4g} to {high:.4g}"


def _archive(path: Path) -> dict[str, Array]:
    try:
        return read_arrays(path)
    except (OSError, ValueError) as error:
        raise PredictError(
            f"the arrays cannot be read ({error})", str(path), "It is an .npz file without objects", "Write it again"
        ) from error


def _predictions(predictor: FilePredictor, paths: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    for text, inputs in _inputs_of(predictor, paths):
        for number, answer in enumerate(predictor.answers(inputs)):
            where = text if len(next(iter(inputs.values()))) == 1 else f"{text}[{number}]"
            yield {"input": where, **answer}, f"{where}: {_words(answer)}"


def _words(answer: Mapping[str, Any]) -> str:
    if "class" in answer:
        return ", ".join(f"{name} {share:.1%}" for name, share in answer["shares"].items())
    return json.dumps(answer)


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Run the program and return its exit code.

    Args:
        arguments: of the command line.
        folder: of the bundle; this file's own if left out.
    """
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("inputs", nargs="*", help=f"raw inputs: {READABLE}")
    parser.add_argument(
        "--model", default="", help="name of a model file; the first one that can be run here otherwise"
    )
    parser.add_argument("--selftest", action="store_true", help="compare with the outputs when the files were exported")
    parser.add_argument("--accuracy", metavar="DATA.npz", help="count right answers to `inputs` with `targets`")
    parser.add_argument("--time", metavar="SECONDS", type=float, help="time the files, one call after the other")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent if folder is None else folder
    try:
        several = bool(options.selftest or options.accuracy or options.time)
        if not (options.inputs or several):
            raise PredictError("there is no input", "the command line", f"Read are {READABLE}", "Name a file")
        predictors = _chosen(folder, options.model, None if several else 1)
        if options.selftest:
            results = _selftest(folder, predictors)
        elif options.accuracy:
            results = _accuracy(Path(options.accuracy), predictors)
        elif options.time:
            results = _timed(predictors, options.time)
        else:
            results = _predictions(predictors[0], options.inputs)
        bad = False
        for entry, line in results:
            print(json.dumps(entry) if options.json else line)
            bad = bad or entry.get("ok") is False
    except PredictError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError as error:  # an input that does not fit a step
        print(
            PredictError(str(error), "the inputs", "They are raw, as the training data were", "Give others"),
            file=sys.stderr,
        )
        return 2
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError) as error:
        print(
            PredictError(
                f"the manifest or the arrays contradict themselves ({error})",
                str(folder / "manifest.json"),
                "A bundle is used as it was exported",
                "Copy the whole folder again",
            ),
            file=sys.stderr,
        )
        return 2
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
