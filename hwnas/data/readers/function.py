"""Data from a function of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.data.conversion import as_inputs
from hwnas.data.dataset import Dataset
from hwnas.data.facts import Raw
from hwnas.data.names import class_names as checked_names
from hwnas.data.source import SPLITS, Inputs, Pool, Several, Source, Stored
from hwnas.errors import DataError, reason
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.user_code import calling, named

_ALLOWED = (
    'It returns a hwnas.data.Dataset, or {"train": (images, labels)} with, if there are any, "validation", "test" and '
    '"class_names"'
)


def read(
    base: Path, *, function: str, class_names: Sequence[str] | str | None = None, task: Task = DEFAULT_TASK
) -> Source | Dataset:
    """Call `module:function` or `path.py:function` without arguments and return its data.

    A split is a pair of inputs (N, ...), several as a mapping by name, and targets as the loss takes them, or these and
    the groups (N,). An axis of
    one channel may lack; `class_names` take precedence over those that the function returns.
    """
    load = named(function, base=base, where="data")
    with calling(load, DataError, where="data", name=function, allowed="It is called without arguments. " + _ALLOWED):
        returned = load()
    if isinstance(returned, Dataset):
        if class_names is None:
            return returned
        return replace(returned, class_names=checked_names(class_names, returned.classes, base))
    if not isinstance(returned, Mapping) or "train" not in returned:
        raise _error(f"the function returns {type(returned).__name__} without `train`", function)
    if unknown := sorted(str(key) for key in returned if key not in (*SPLITS, "class_names")):
        raise _error(f"the function returns a split `{unknown[0]}`", function)
    pools = {split: _pool(returned[split], f"{function}: {split}", task) for split in SPLITS if split in returned}
    classes = max(task.class_count(pool.targets) for pool in pools.values())
    raw = Raw(order="as the function returns them")
    if not classes:
        return Source((), pools, raw)
    names = _named(returned.get("class_names", range(classes)), function)
    if class_names is not None:
        names = checked_names(class_names, len(names), base)
    return Source(names, pools, raw)


def _named(names: Any, function: str) -> tuple[str, ...]:
    try:
        return tuple(map(str, names))
    except TypeError as error:
        raise _error(f"`class_names` is {names!r}", function) from error


def _pool(parts: Any, where: str, task: Task) -> Pool:
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise _error("a split is no pair of images and labels", where)
    if isinstance(parts[0], Mapping):
        return _several(parts, where, task)
    inputs, targets = (_tensor(part, where) for part in parts[:2])
    if inputs.ndim == 3 and not task.inputs and task.terms.sample == "image":
        inputs = inputs.unsqueeze(1)
    pool = Pool(Stored(as_inputs(inputs, task, where)), targets, where, np.asarray(parts[2]) if parts[2:] else None)
    return replace(pool, targets=task.as_targets(targets, pool.inputs.shape, where=where))


def _several(parts: Any, where: str, task: Task) -> Pool:
    """Return a pool of several inputs by name, in the order of the networks' own."""
    names = [spec.name for spec in task.inputs] or list(parts[0])
    if sorted(names) != sorted(map(str, parts[0])):
        raise DataError(
            f"the inputs are named {', '.join(map(str, parts[0]))}",
            where=where,
            allowed=f"The networks' inputs are {', '.join(names)}",
            do="Give each array the name that its input has in the space",
        )
    stored: dict[str, Inputs] = {}
    for index, name in enumerate(names):
        one = replace(task, inputs=task.inputs[index : index + 1])
        stored[name] = Stored(as_inputs(_tensor(parts[0][name], where), one, f"{where}: {name}"))
    if len(lengths := {len(part) for part in stored.values()}) > 1:
        raise DataError(
            f"the inputs hold {' and '.join(map(str, sorted(lengths)))} samples",
            where=where,
            allowed="Every sample has all inputs",
            do="Check that the arrays belong together",
        )
    inputs, targets = Several(stored), _tensor(parts[1], where)
    pool = Pool(inputs, targets, where, np.asarray(parts[2]) if parts[2:] else None)
    return replace(pool, targets=task.as_targets(targets, inputs.shape, where=where))


def _tensor(part: Any, where: str) -> Tensor:
    try:
        return part if isinstance(part, Tensor) else torch.from_numpy(np.ascontiguousarray(part))
    except (TypeError, ValueError) as error:
        raise _error(f"images and labels are no arrays ({reason(error)})", where) from error


def _error(problem: str, where: str) -> DataError:
    return DataError(problem, where=where, allowed=_ALLOWED, do="Change the function")
