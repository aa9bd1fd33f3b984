"""A new head, or a drift score, for a network of this folder: numpy and one runtime. Python 3.9 syntax.

python adapt.py head data.npz         fits the last layer to labelled samples, writes head.npz
python adapt.py classify data.npz     names the classes of samples, by head.npz if it is there
python adapt.py drift data.npz        says whether samples are unlike those that the network was validated on
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.adapt.board.drift import FEWEST_COMPARED, Drift, drift, sample_numbers
from hwnas.adapt.board.logistic import Fit, Head, fit, matched_rows
from hwnas.export.standalone.network import (
    FilePredictor,
    PredictError,
    input_shape,
    is_available,
    read_manifest,
    runnable,
)
from hwnas.export.standalone.steps import prepared, raw_steps

Array = NDArray[Any]

HEAD_FILE = "head.npz"
SAMPLES_FORM = (
    "`inputs` (N, ...) holds raw samples, channels first, such as bytes of images; `targets` (N,) the names of their "
    "classes, or whole numbers; `class_names` the names that such numbers stand for"
)


@dataclass(frozen=True)
class Samples:
    """Raw samples of an archive.

    Args:
        inputs: (N, ...), channels first.
        names: (N,) classes by name; None without labels.
        classes: names of the classes, in the order of a new head's rows.
        steps_done: number of steps of the preprocessing that were done before.
    """

    inputs: Array
    names: list[str] | None
    classes: tuple[str, ...]
    steps_done: int = 0


def read_samples(path: Path, known: Sequence[str]) -> Samples:
    """Return the samples of an archive; nothing is unpickled.

    Args:
        path: of a `.npz` archive.
        known: classes that numbers stand for where the archive has no names.

    Raises:
        PredictError: it cannot be read, or its arrays do not belong together.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive raises errors of several modules
        raise _refused("the samples cannot be read", path, "Write the archive again, with numpy.savez") from error
    if "inputs" not in arrays or not arrays["inputs"].ndim or not len(arrays["inputs"]):
        raise _refused("there are no `inputs`", path, "Write it with numpy.savez")
    inputs, targets, steps_done = arrays["inputs"], arrays.get("targets"), arrays.get("steps_done", np.array(0))
    if steps_done.ndim or steps_done.dtype.kind not in "iu" or steps_done < 0:
        raise _refused("`steps_done` is no number of steps", path, "Write a whole number, or leave it out")
    done = int(steps_done)
    if inputs.dtype.kind not in "uif" or not np.isfinite(inputs).all():
        raise _refused("`inputs` holds other things than finite numbers", path, "Correct them")
    if targets is None:
        return Samples(inputs, None, tuple(known), done)
    if targets.shape != (len(inputs),):
        problem = f"there are targets of shape {targets.shape} for {len(inputs)} samples"
        raise _refused(problem, path, "Check that the arrays belong together")
    named = tuple(_texts(np.atleast_1d(arrays.get("class_names", np.array(known)))))
    if targets.dtype.kind in "US":
        names = _texts(targets)
        own = set(names)
        return Samples(inputs, names, named if own <= set(named) else tuple(sorted(own)), done)
    if targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= len(named):
        problem = f"`targets` holds other things than numbers from 0 to {len(named) - 1}"
        raise _refused(problem, path, "Add `class_names`, or write the names themselves")
    return Samples(inputs, [named[label] for label in targets.tolist()], named, done)


def _texts(names: Array) -> list[str]:
    """Return names as texts; names in bytes are ASCII."""
    texts: list[str] = names.astype(str).tolist()
    return texts


def _refused(problem: str, path: Path, do: str) -> PredictError:
    return PredictError(problem, str(path), SAMPLES_FORM, do)


class AdaptableModel:
    """A model file of a bundle with what its head and its statistics are.

    Args:
        folder: of the bundle.
        name: of the file; the first one that a runtime here can run if left out.

    Raises:
        PredictError: there is no such file, it was changed, or no runtime is installed.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        manifest = read_manifest(folder)
        files = [pair for pair in runnable(manifest) if name in (None, pair[1]["name"])]
        if not files:
            known = ", ".join(file["name"] for _, file in runnable(manifest)) or "none"
            raise PredictError(f"there is no file `{name or ''}`", "--model", f"Files: {known}", "Name one of them")
        self.folder = folder
        self.model, self.file = next((pair for pair in files if is_available(pair[1])), files[0])
        self.classes: tuple[str, ...] = tuple(self.model.get("classes", ()))
        self._check_file(self.file["name"], self.file["sha256"])
        self.predictor = FilePredictor(folder, manifest, self.model, self.file)

    def _check_file(self, name: str, sha256: str) -> None:
        try:
            same = hashlib.sha256((self.folder / name).read_bytes()).hexdigest() == sha256
        except OSError:
            same = False
        if not same:
            raise PredictError(
                "the file is gone, or another than the manifest lists",
                str(self.folder / name),
                "A bundle is used as it was exported",
                "Copy the folder again",
            )

    def run(self, samples: Samples) -> tuple[Array, Array | None, Array]:
        """Return outputs, features if the file gives them, and the inputs as the network sees them.

        Raises:
            PredictError: the samples have another number of channels, or of axes.
        """
        inputs, shape = samples.inputs, input_shape(self.file["inputs"][0])
        rank, channels = len(shape) + 1, shape[0]
        if len(self.predictor.facts) > 1:
            raise PredictError(
                "the network takes several inputs", self.file["name"], "A network of one input is adapted", "Take hwnas"
            )
        if inputs.ndim == rank - 1 and channels == 1:
            inputs = inputs[:, None]
        if inputs.ndim != rank or inputs.shape[1] != channels:
            raise PredictError(
                f"samples have shape {tuple(inputs.shape[1:])}",
                "inputs",
                f"The network takes {channels} channels, first of {rank - 1} axes",
                "Prepare them as the training data were; other sizes are resized, other channels are not",
            )
        name, facts = next(iter(self.predictor.facts.items()))
        values = prepared(inputs, facts["steps"][samples.steps_done :])
        if values.shape[2:] != shape[1:]:
            values = prepared(values, [{"step": "resize", "size": shape[1:]}])
        outputs, taken = self.predictor.run({name: values}, len(facts["steps"]))
        seen = prepared(taken[0], facts.get("in_file", []))
        return outputs[0], outputs[1] if "features" in self.model else None, seen

    @property
    def raw_steps(self) -> int:
        """Number of steps that make samples of a data set of raw ones; the rest scales and normalises them."""
        return raw_steps(next(iter(self.predictor.facts.values())))

    def old_head(self) -> Head:
        """Return the last layer as it was exported.

        Raises:
            PredictError: the file gives no features.
        """
        if "features" not in self.model:
            raise PredictError(
                "the model file gives no features",
                str(self.folder / self.file["name"]),
                "A bundle with features has files with a second output, on which a head is fitted",
                "Export it so: hwnas export RUN --set export.features=true",
            )
        return load_head(self.folder / self.model["features"]["head"])


def fit_head(model: AdaptableModel, samples: Samples, where: str) -> Fit:
    """Return a head for labelled samples; classes of the same name begin with the rows that they have.

    Raises:
        PredictError: there are no labels, or the model gives no features.
    """
    old = model.old_head()
    if samples.names is None:
        raise PredictError("the samples have no labels", where, SAMPLES_FORM, "Add `targets`")
    if len(set(samples.names)) < 2:
        raise PredictError(
            "all samples are of one class", where, "A head tells two classes or more apart", "Add samples of others"
        )
    labels = np.asarray([samples.classes.index(name) for name in samples.names])
    _, features, _ = model.run(samples)
    assert features is not None
    return fit(features, labels, matched_rows(old, samples.classes))


def drift_of(model: AdaptableModel, samples: Samples, where: str) -> Drift:
    """Return how far samples are from those that the network was validated on.

    Raises:
        PredictError: they are few, or the bundle has no statistics.
    """
    if not model.model.get("statistics"):
        raise PredictError(
            "the bundle has no statistics",
            str(model.folder),
            "Bundles of this version hold distributions of validation samples, of networks of one input",
            "Export the run again: hwnas export RUN",
        )
    if len(samples.inputs) < FEWEST_COMPARED:
        raise PredictError(
            f"there are {len(samples.inputs)} samples",
            where,
            f"Drift is a difference of distributions: at least {FEWEST_COMPARED} samples tell it",
            "Collect more",
        )
    outputs, features, seen = model.run(samples)
    return drift(sample_numbers(seen, outputs, features, logits=bool(model.classes)), model.model["statistics"])


def save_head(head: Head, path: Path) -> None:
    """Write a head as arrays `weight`, `bias` and `classes`, whole or not at all.

    Raises:
        OSError: the file cannot be written; an earlier one is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:  # a name would get numpy's own ending
            np.savez(
                file,
                weight=head.weight.astype(np.float32),
                bias=head.bias.astype(np.float32),
                classes=np.array(head.classes),
            )
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def load_head(path: Path) -> Head:
    """Return the head in a file.

    Raises:
        PredictError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            head = Head(archive["weight"], archive["bias"], tuple(_texts(archive["classes"])))
        if head.weight.ndim != 2 or not len(head.weight) == len(head.bias) == len(head.classes):
            raise ValueError("its arrays do not belong together")
        return head
    except Exception as error:  # a damaged archive raises errors of several modules
        raise PredictError("the head cannot be read", str(path), "adapt.py head wrote it", "Fit it again") from error


def _head(model: AdaptableModel, arguments: argparse.Namespace) -> dict[str, Any]:
    samples = read_samples(arguments.samples, model.classes)
    result = fit_head(model, samples, str(arguments.samples))
    out = arguments.out or model.folder / HEAD_FILE
    save_head(result.head, out)
    kept = [name for name in result.head.classes if name in model.classes]
    said = "no samples were left to judge it"
    if result.accuracy is not None:
        said = f"accuracy {result.accuracy:.1%} on {result.samples} samples that were held out"
    return {
        "head": str(out),
        "classes": list(result.head.classes),
        "kept": kept,
        "accuracy": result.accuracy,
        "samples": result.samples,
        "lines": [f"{len(result.head.classes)} classes, {len(kept)} of them keep their rows; {said}", f"wrote {out}"],
    }


def _classify(model: AdaptableModel, arguments: argparse.Namespace) -> dict[str, Any]:
    path = arguments.head or model.folder / HEAD_FILE
    outputs, features, _ = model.run(read_samples(arguments.samples, model.classes))
    classes: Sequence[str] = model.classes
    if arguments.head or path.exists():
        head, _old = load_head(path), model.old_head()
        assert features is not None
        outputs, classes = head.logits(features), head.classes
    if not classes or outputs.ndim != 2 or outputs.shape[1] > len(classes):
        raise PredictError(
            "the network names no classes",
            str(model.folder / model.file["name"]),
            "A classifier's samples are named",
            "Take predict.py, which prints what the network gives",
        )
    named = [classes[row] for row in outputs.argmax(1)]
    return {"classes": named, "lines": named}


def _drift(model: AdaptableModel, arguments: argparse.Namespace) -> dict[str, Any]:
    result = drift_of(model, read_samples(arguments.samples, model.classes), str(arguments.samples))
    return {
        "drifted": result.drifted,
        "score": result.score,
        "number": result.number,
        "p_value": result.p_value,
        "samples": result.samples,
        "lines": [result.line()],
    }


VERBS = {"head": _head, "classify": _classify, "drift": _drift}


def main(words: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Run one command; return 0, 1 for samples that drifted, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="adapt.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=list(VERBS))
    parser.add_argument("samples", type=Path, metavar="data.npz")
    parser.add_argument("--model", metavar="FILE", help="a model file of this folder; the first one if left out")
    parser.add_argument("--head", type=Path, help="of classify: a head; head.npz if it is there")
    parser.add_argument("-o", "--out", type=Path, help="of head: the file to write, head.npz if left out")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args(words)
    folder = folder or Path(__file__).resolve().parent
    try:
        model = AdaptableModel(folder, arguments.model)
        result = VERBS[arguments.verb](model, arguments)
    except PredictError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        problem = f"the head cannot be written ({error.strerror or type(error).__name__})"
        allowed = "A head is a file, in a folder that can be written"
        path = arguments.out or folder / HEAD_FILE
        print(PredictError(problem, str(path), allowed, "Name another: -o FILE"), file=sys.stderr)
        return 2
    except ValueError as error:  # an input that does not fit a step
        form = "They are raw, as the training data were"
        print(PredictError(str(error), str(arguments.samples), form, "Give others"), file=sys.stderr)
        return 2
    lines = result.pop("lines")
    print(json.dumps(result) if arguments.json else "\n".join(lines))
    return 1 if result.get("drifted") else 0


if __name__ == "__main__":
    sys.exit(main())
