"""Samples that a network is adapted to: a data set as experiments name it, or an archive of raw samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hwnas.adapt.board.adapt import SAMPLES_FORM, read_samples
from hwnas.data import Dataset, Pool, Raw, Source, Split, Stored, load_data
from hwnas.data.dataset import numbers
from hwnas.data.load import Options, split_source
from hwnas.errors import ConfigError, DataError
from hwnas.export.standalone.network import PredictError
from hwnas.export.standalone.steps import prepared
from hwnas.io.regular import read_regular
from hwnas.io.yaml import read_yaml
from hwnas.ops import Shape
from hwnas.tasks import Task
from hwnas.tasks.ends import is_plain, shape_text

DATA_FORM = (
    "A YAML file with a data set as experiments name it (`data: {name: images, path: photos}`), the name of one, or "
    "a .npz archive of raw samples"
)


@dataclass(frozen=True, eq=False)
class NewData:
    """Data to adapt to.

    Args:
        dataset: the samples; without labels every split holds all of them.
        labelled: whether targets are labels.
        spec: the data set as an experiment names it, with the folder that its paths begin at; None of an archive.
    """

    dataset: Dataset
    labelled: bool
    spec: tuple[Any, Path] | None


def data_spec(reference: str) -> tuple[Any, Path]:
    """Return the data set that a file or a name stands for, and the folder that its paths begin at.

    Raises:
        ConfigError: the file cannot be read, or holds none.
    """
    path = Path(reference)
    if path.suffix not in (".yaml", ".yml"):
        if path.exists() and ":" not in reference:
            raise ConfigError(
                f"`{reference}` is neither YAML nor an archive", where="--data", allowed=DATA_FORM, do="Name another"
            )
        return reference, Path.cwd()
    raw = read_yaml(path)
    spec = raw.get("data", raw)
    if not isinstance(spec, dict | str) or not spec:
        raise ConfigError("the file names no data set", where=str(path), allowed=DATA_FORM, do="Write `data: ...`")
    return spec, path.parent


def read_new_data(
    reference: str, *, seed: int, task: Task, known: Sequence[str] = (), steps: Sequence[Mapping[str, Any]] = ()
) -> NewData:
    """Return the data that a reference names.

    Args:
        reference: a YAML file, a name, or an archive of raw samples.
        seed: of the splits.
        task: that reads targets, without shapes.
        known: classes that whole numbers in an archive stand for where it has no names.
        steps: by which raw samples of an archive become those of a data set, such as cropping.

    Raises:
        ConfigError, DataError: there is none, or it cannot be read.
    """
    path = Path(reference)
    if path.suffix == ".npz":
        return _archive(path, seed, task, known, steps)
    spec, base = data_spec(reference)
    return NewData(load_data(spec, seed=seed, base=base, task=task), True, (spec, base))


def _archive(path: Path, seed: int, task: Task, known: Sequence[str], steps: Sequence[Mapping[str, Any]]) -> NewData:
    with as_data_error():
        samples = read_samples(path, known)
    numbers_of = samples.inputs[:, None] if samples.inputs.ndim == 3 else samples.inputs
    try:
        raw = prepared(numbers_of, steps[samples.steps_done :])
    except ValueError as error:
        raise DataError(
            str(error), where=str(path), allowed=SAMPLES_FORM, do="Write them as they are recorded"
        ) from error
    values = torch.from_numpy(raw.astype("uint8") if samples.inputs.dtype == "uint8" else raw)
    if values.dtype not in (torch.uint8, torch.float32):
        values = values.float()
    inputs = Stored(values)
    name = f"{path.name} {hashlib.sha256(read_regular(path)).hexdigest()[:8]}"
    if samples.names is None:
        return NewData(_unlabelled(inputs, name), False, None)
    labels = torch.tensor([samples.classes.index(one) for one in samples.names])
    source = Source(samples.classes, {"train": Pool(inputs, labels, str(path))}, Raw())
    return NewData(split_source(source, Options(), seed=seed, name=name, task=task), True, None)


def _unlabelled(inputs: Stored, name: str) -> Dataset:
    every = torch.arange(len(inputs))
    values = numbers(inputs, every)
    axes = (0, *range(2, values.ndim))
    each = (-1, *(1 for _ in inputs.shape[1:]))
    mean, std = (getattr(values, one)(axes).reshape(each) for one in ("mean", "std"))
    split = Split(inputs, every, torch.zeros(len(every), dtype=torch.int64), mean, std)
    return Dataset(name, (), split, split, split)


class as_data_error:
    """Turn an error of the board's files into one of hwnas."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PredictError):
            raise DataError(error.met, where=error.where, allowed=error.allowed, do=error.do) from error


def check_labels(data: NewData, how: str, reference: str) -> None:
    """Refuse data without labels where labels are needed.

    Raises:
        DataError: it has none.
    """
    if not data.labelled:
        raise DataError(
            "the samples have no labels",
            where=f"--data {reference}",
            allowed=f"`--how {how}` learns from labels; `--how norm` alone and `--watch` need none. {SAMPLES_FORM}",
            do="Add `targets`, or take `--how norm`",
        )


def check_channels(dataset: Dataset, shape: Shape, *, where: str) -> None:
    """Refuse data whose samples have another number of axes or channels than a network takes.

    Raises:
        ConfigError: they do.
    """
    own = dataset.shape
    if not is_plain(own) or not is_plain(shape) or len(own) != len(shape) or own[0] != shape[0]:
        raise ConfigError(
            f"the data has inputs of {shape_text(own)}, the network takes {shape_text(shape)}",
            where=where,
            allowed="Sizes of images and signals are fitted; the number of channels stays",
            do="Bring the data in as many channels (`channels: 1` of images: grey), or train a network for it",
        )
