"""Arrays become the inputs that networks take and the targets that losses take; what cannot is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwnas.data.source import Pool
from hwnas.errors import DataError
from hwnas.tasks import Task

NUMBERS = "{samples} are bytes (uint8), or finite floating-point numbers"
_READINGS = (torch.int8, torch.int16, torch.uint16)
_WHOLE = (torch.int32, torch.int64)


def input_dtype(dtype: torch.dtype, axes: int, task: Task) -> torch.dtype | None:
    """Return the dtype that inputs of `axes` axes are handed out in, None if they cannot be: uint8, float32 or int64.

    Readings of 8 or 16 bits are numbers. Larger whole numbers are what the networks of the task take, or, where these
    are not known, tokens if an input is a list of them.
    """
    if dtype == torch.uint8:
        return torch.uint8
    if dtype in _WHOLE:
        if task.inputs:
            return torch.int64 if "int" in task.inputs[0].dtype else torch.float32
        return torch.int64 if axes == 1 else None
    return torch.float32 if dtype.is_floating_point or dtype in _READINGS else None


def as_inputs(inputs: Tensor, task: Task, where: str) -> Tensor:
    """Return inputs (N, ...) in a dtype and with the axes that networks take; one axis may lack, that of one channel.

    Raises:
        DataError: they are of another kind, or not finite.
    """
    words = task.terms
    dtype = input_dtype(inputs.dtype, inputs.ndim - 1, task) if inputs.ndim > 1 else None
    if dtype is None:
        raise DataError(
            f"{words.samples} are {inputs.dtype} {tuple(inputs.shape)}",
            where=where,
            allowed=NUMBERS.format(samples=words.samples.capitalize()),
            do="Convert them",
        )
    if inputs.is_floating_point() and (bad := int((~inputs.isfinite()).flatten(1).any(dim=1).sum())):
        raise not_finite(bad, len(inputs), words.samples, where)
    return with_channel(inputs.to(dtype), task)


def with_channel(inputs: Tensor, task: Task) -> Tensor:
    """Return inputs with an axis for their one channel, if that is all that they lack of what networks take."""
    wanted = task.inputs[0].shape if task.inputs else ()
    return inputs.unsqueeze(1) if inputs.ndim == len(wanted) > 1 and wanted[0] == 1 else inputs


def not_finite(count: int, of: int, samples: str, where: str) -> DataError:
    """Return the error of inputs or targets that hold NaN or infinity."""
    return DataError(
        f"{count} of {of} {samples} hold NaN or infinity",
        where=where,
        allowed=NUMBERS.format(samples=samples.capitalize()),
        do="Repair or drop them",
    )


def as_tensor(array: NDArray[Any], where: str) -> Tensor:
    """Return an array as a tensor, in the byte order of this machine.

    Raises:
        DataError: it holds no numbers.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf" or size > (2 if kind == "u" else 8):
        raise DataError(
            f"the array is {array.dtype}",
            where=where,
            allowed="Arrays hold numbers of 64 bits or fewer; whole ones without a sign have 8 or 16",
            do="Convert it, by `astype(numpy.float32)` for example",
        )
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def is_number(text: str) -> bool:
    """Return True for a text that Python reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_targets(numbers: NDArray[np.float64], task: Task) -> Tensor:
    """Return numbers (N, K) as targets: in float32, or as labels (N,) if there is one each and the task takes these."""
    targets = torch.from_numpy(numbers.astype(np.float32))
    if numbers.shape[1] > 1 or (numbers % 1 != 0).any():
        return targets
    try:
        task.as_targets(targets, (), where="")
    except DataError:
        return torch.from_numpy(numbers[:, 0].astype(np.int64))
    return targets


def classes_of(texts: Sequence[Any]) -> tuple[str, ...]:
    """Return the classes that texts name: in ascending order, of numbers by value."""
    distinct = set(map(str, texts))
    if all(text.removeprefix("-").isdigit() for text in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def labels_of(texts: Sequence[Any], class_names: tuple[str, ...], where: str) -> Tensor:
    """Return the number of each text among the names of classes.

    Raises:
        DataError: a class is not among those for training.
    """
    number = {name: label for label, name in enumerate(class_names)}
    if unknown := sorted({str(text) for text in texts} - number.keys()):
        raise DataError(
            f"the class `{unknown[0]}` is in one split and not in the training split",
            where=where,
            allowed=f"Classes for training: {', '.join(class_names)}",
            do="Add training samples of it, or remove it",
        )
    return torch.tensor([number[str(text)] for text in texts], dtype=torch.int64)


def with_targets(pool: Pool, task: Task) -> Pool:
    """Return the pool with its targets as the loss takes them.

    Raises:
        DataError: they are of another kind, or not finite.
    """
    targets = task.as_targets(pool.targets, pool.inputs.shape, where=pool.where)
    if targets.is_floating_point() and (bad := int((~targets.isfinite()).reshape(len(targets), -1).any(1).sum())):
        raise not_finite(bad, len(targets), "targets", pool.where)
    return replace(pool, targets=targets)


def check_classes(pool: Pool, class_names: tuple[str, ...], task: Task, *, where: str) -> None:
    """Refuse training data with more classes than names; and, if each sample has a class, none or one only.

    Raises:
        DataError: so it is.
    """
    if class_names and (named := task.class_count(pool.targets)) > len(class_names):
        raise DataError(
            f"there are {named} classes and {len(class_names)} names",
            where=pool.where,
            allowed="Each class has a name",
            do="Add the missing names, or correct the labels",
        )
    strata = task.strata(pool.targets)
    if strata is None:
        return
    if not class_names:
        raise DataError(
            "the data names no classes",
            where=where,
            allowed="Samples that have a class each need the names of the classes",
            do="Correct the data set's reader or its file",
        )
    seen = set(strata.tolist())
    if len(seen) == 1:
        raise DataError(
            f"all {task.terms.samples} for training are of one class, `{class_names[seen.pop()]}`",
            where=pool.where,
            allowed="A classifier tells two classes or more apart",
            do="Add samples of other classes, check the labels, or name another task",
        )
