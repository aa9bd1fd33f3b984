"""A new head, or a drift score, for a network of this folder: numpy and one runtime. Python 3.9 syntax.

    python adapt.py head data.npz         fits the last layer to labelled samples, writes head.npz
    python adapt.py classify data.npz     names the classes of samples, by head.npz if it is there
    python adapt.py drift data.npz        says whether samples are unlike those that the network was validated on
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from hwnas.adapt.board.drift import LEAST_SAMPLES, Drift, drift, sample_numbers
from hwnas.adapt.board.logistic import Fit, Head, fit, matched_rows
from hwnas.adapt.board.model import AdaptError, Model, open_model, read_document

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
    """

    inputs: Any
    names: Optional[list[str]]
    classes: tuple[str, ...]


def read_samples(path: Path, known: Sequence[str]) -> Samples:
    """Return the samples of an archive; nothing is unpickled.

    Args:
        path: of a `.npz` archive.
        known: classes that numbers stand for where the archive has no names.

    Raises:
        AdaptError: it cannot be read, or its arrays do not belong together.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("inputs", "targets", "class_names") if name in archive}
    except (OSError, ValueError, EOFError) as error:
        raise AdaptError("the samples cannot be read (%s)" % error, str(path), SAMPLES_FORM, "Write the archive again")
    if "inputs" not in arrays or not len(arrays["inputs"]):
        raise AdaptError("there are no `inputs`", str(path), SAMPLES_FORM, "Write it with numpy.savez")
    inputs, targets = arrays["inputs"], arrays.get("targets")
    if targets is None:
        return Samples(inputs, None, tuple(known))
    if targets.shape != (len(inputs),):
        problem = "there are targets of shape %s for %d samples" % (targets.shape, len(inputs))
        raise AdaptError(problem, str(path), SAMPLES_FORM, "Check that the arrays belong together")
    named = tuple(map(str, arrays.get("class_names", np.array(known)).tolist()))
    if targets.dtype.kind in "US":
        names = list(map(str, targets.tolist()))
        own = set(names)
        return Samples(inputs, names, named if own <= set(named) else tuple(sorted(own)))
    if targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= len(named):
        problem = "`targets` holds other things than numbers from 0 to %d" % (len(named) - 1)
        raise AdaptError(problem, str(path), SAMPLES_FORM, "Add `class_names`, or write the names themselves")
    return Samples(inputs, [named[label] for label in targets.tolist()], named)


def fit_head(model: Model, samples: Samples, where: str) -> Fit:
    """Return a head for labelled samples; classes of the same name begin with the rows that they have.

    Raises:
        AdaptError: there are no labels, or the model gives no features.
    """
    if samples.names is None:
        raise AdaptError("the samples have no labels", where, SAMPLES_FORM, "Add `targets`")
    if len(set(samples.names)) < 2:
        raise AdaptError(
            "all samples are of one class", where, "A head tells two classes or more apart", "Add samples of others"
        )
    old = model.old_head()
    labels = np.asarray([samples.classes.index(name) for name in samples.names])
    _, features = model.run(samples.inputs)
    return fit(features, labels, matched_rows(old, samples.classes))


def drift_of(model: Model, samples: Samples, where: str) -> Drift:
    """Return how far samples are from those that the network was validated on.

    Raises:
        AdaptError: they are few, or the bundle has no statistics.
    """
    if not model.statistics:
        raise AdaptError(
            "the bundle has no statistics",
            str(model.path.parent),
            "Bundles of this version hold distributions of validation samples",
            "Export the run again: hwnas export RUN",
        )
    if len(samples.inputs) < LEAST_SAMPLES:
        raise AdaptError(
            "there are %d samples" % len(samples.inputs),
            where,
            "Drift is a difference of distributions: at least %d samples tell it" % LEAST_SAMPLES,
            "Collect more",
        )
    inputs = model.prepared(samples.inputs)
    outputs, features = model.call(inputs)
    return drift(sample_numbers(inputs, outputs, features, logits=bool(model.classes)), model.statistics)


def save_head(head: Head, path: Path) -> None:
    """Write a head as arrays `weight`, `bias` and `classes`."""
    np.savez(
        path,
        weight=head.weight.astype(np.float32),
        bias=head.bias.astype(np.float32),
        classes=np.array(head.classes),
    )


def load_head(path: Path) -> Head:
    """Return the head in a file.

    Raises:
        AdaptError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Head(archive["weight"], archive["bias"], tuple(map(str, archive["classes"].tolist())))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise AdaptError(
            "the head cannot be read (%s)" % error, str(path), "adapt.py head wrote it", "Fit it again"
        ) from error


def _head(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    samples = read_samples(arguments.samples, model.classes)
    result = fit_head(model, samples, str(arguments.samples))
    out = arguments.out or model.path.parent / HEAD_FILE
    save_head(result.head, out)
    kept = [name for name in result.head.classes if name in model.classes]
    said = "no samples were left to judge it"
    if result.accuracy is not None:
        said = "accuracy %.1f%% on %d samples that were held out" % (100 * result.accuracy, result.samples)
    return {
        "head": str(out),
        "classes": list(result.head.classes),
        "kept": kept,
        "accuracy": result.accuracy,
        "samples": result.samples,
        "lines": [
            "%d classes, %d of them keep their rows; %s" % (len(result.head.classes), len(kept), said),
            "wrote %s" % out,
        ],
    }


def _classify(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    path = arguments.head or model.path.parent / HEAD_FILE
    outputs, features = model.run(read_samples(arguments.samples, model.classes).inputs)
    classes: Sequence[str] = model.classes
    if arguments.head or path.exists():
        head = load_head(path)
        model.old_head()
        outputs, classes = head.logits(features), head.classes
    named = [classes[place] for place in outputs.argmax(1)]
    return {"classes": named, "lines": named}


def _drift(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
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


def main(words: Optional[Sequence[str]] = None, folder: Optional[Path] = None) -> int:
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
        model = open_model(folder, read_document(folder), arguments.model)
        result = VERBS[arguments.verb](model, arguments)
    except AdaptError as error:
        print(error, file=sys.stderr)
        return 2
    lines = result.pop("lines")
    print(json.dumps(result) if arguments.json else "\n".join(lines))
    return 1 if result.get("drifted") else 0


if __name__ == "__main__":
    sys.exit(main())
