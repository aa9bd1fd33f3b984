"""From a name and options to a data set: read it, split it by seed, normalise it by its training samples."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.data.conversion import check_classes, with_targets
from hwnas.data.dataset import Dataset, Split, is_whole, numbers
from hwnas.data.resizing import resized, resizing_steps, size_of
from hwnas.data.source import Inputs, Pool, Several, Source, SplitName, check_pool
from hwnas.data.spec import bad_value, check_count, is_count, named_spec
from hwnas.data.splits import check_disjoint, grouped, stratified
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.registry import member
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.ends import is_plain, shape_text

STATISTICS_IMAGES = 10_000
"""Training samples that mean and standard deviation are computed of (the first ones, and their order is random)."""
CONSTANT = 1e-6
"""A channel whose deviation is so small a share of its mean, or of 1 if that is more, never varies."""
UNNAMED = ("path", "package", "function", "class_names")
"""Options that leave the inputs and the targets as they are, so they are no part of a data set's name."""


@dataclass(frozen=True)
class Options:
    """Options of every kind of data. Shares are of the pool that a split is taken from."""

    validation: float = 0.1
    test: float = 0.2
    limit: int | None = None
    resolution: int | list[int] | None = None
    mean: list[float] | None = None
    """By channel, of bytes in shares of 255; with `std` in place of those of the training samples."""
    std: list[float] | None = None


def load_from(
    table: Mapping[str, str], name_or_spec: str | Mapping[str, Any], *, seed: int, base: Path, task: Task
) -> Dataset:
    """Load a data set as `load_data` does, with the table of readers as an argument."""
    name, requested = named_spec(name_or_spec)
    reader: Callable[..., Source | Dataset] = member(table, name, what="data set", where="data")
    parameters = inspect.signature(reader).parameters
    own = [p for p in parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "task"]
    handed = {"task": task} if "task" in parameters else {}
    own_names = [p.name for p in own]
    common = [key for key in Options.__annotations__ if key not in own_names]
    for key in requested:
        if key not in (*common, *own_names):
            known = did_you_mean(key, ["name", *common, *own_names])
            raise ConfigError(
                f"`{name}` takes no option `{key}`", where="data", allowed=known, do="Correct or remove it"
            )
    for parameter in own:
        if parameter.default is parameter.empty and requested.get(parameter.name) is None:
            raise ConfigError(
                f"`{name}` lacks its option `{parameter.name}`",
                where="data",
                allowed=f"Its options: {', '.join([*own_names, *common])}",
                do=f"Write `data: {{name: {name}, {parameter.name}: ...}}`",
            )
    for parameter in own:
        if parameter.annotation == "str" and not isinstance(requested.get(parameter.name, ""), str):
            raise bad_value(parameter.name, requested[parameter.name], "text")
    options = _checked(Options(**{key: requested[key] for key in common if key in requested}))
    if "resolution" in own_names:
        _checked(Options(resolution=requested.get("resolution")))
    result = reader(base, **handed, **{key: requested[key] for key in own_names if key in requested})
    if isinstance(result, Dataset):
        return _with_targets(result, task, label=str(requested.get("function", name)))
    defaults = {**vars(Options()), **{p.name: p.default for p in own}}
    named = [f"{k}={v}" for k, v in sorted(requested.items()) if k not in UNNAMED and v != defaults[k]]
    label = str(requested["function"]) if "function" in requested else name
    return split_source(result, options, seed=seed, name=" ".join([label, *named]), task=task)


def _with_targets(dataset: Dataset, task: Task, *, label: str) -> Dataset:
    """Return a user's data set with targets as the task takes them, whose scale is that of the training targets."""

    def targets_of(split: Split) -> Tensor:
        taken: Tensor = task.as_targets(split.targets, split.inputs.shape, where=f"data set `{label}`")
        return taken

    learned = targets_of(dataset.train)
    train, validation = (
        replace(split, targets=targets_of(split), training_targets=learned)
        for split in (dataset.train, dataset.validation)
    )
    test = dataset.held_back
    held_back = None if test is None else replace(test, targets=targets_of(test), training_targets=learned)
    return replace(dataset, train=train, validation=validation, held_back=held_back)


def _checked(options: Options) -> Options:
    for key in ("validation", "test"):
        value = getattr(options, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.9:
            raise bad_value(key, value, "a share above 0 and below 0.9")
    check_count("limit", options.limit)
    resolution = options.resolution
    sides = resolution if isinstance(resolution, list) and len(resolution) == 2 else [resolution]
    if resolution is not None and not all(map(is_count, sides)):
        raise bad_value("resolution", resolution, "a whole number from 1 on, or two of them: [height, width]")
    for key, other in (("mean", "std"), ("std", "mean")):
        _check_moments(key, getattr(options, key), getattr(options, other))
    return options


def _check_moments(key: str, values: object, others: object) -> None:
    """Refuse a mean or a deviation that is no list of numbers, or stands alone."""
    if values is None and others is None:
        return
    plain = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not plain or (key == "std" and not all(value > 0 for value in values)):  # type: ignore[attr-defined]
        above = " above 0" if key == "std" else ""
        raise bad_value(key, values, f"a list of a number{above} for each channel; `mean` and `std` go together")


def split_source(source: Source, options: Options, *, seed: int, name: str, task: Task = DEFAULT_TASK) -> Dataset:
    """Return the data set of a source; which sample is in which split depends on seed, targets and groups alone.

    Raises:
        DataError: labels out of range, too few samples of a class, splits of unlike shapes or with a group in common.
    """
    class_names = source.class_names
    pools = {key: with_targets(pool, task) for key, pool in source.pools.items()}
    for pool in pools.values():
        check_pool(pool, len(class_names), task.terms)
    check_classes(pools["train"], class_names, task, where=f"data set `{name}`")
    check_disjoint(pools)
    size = None if options.resolution is None else size_of(options.resolution)
    steps = resizing_steps(pools.values(), size)
    pools = {key: resized(pool, size) for key, pool in pools.items()}
    _check_shapes(pools)
    generator = torch.Generator().manual_seed(seed)
    shares: dict[SplitName, float] = {"test": options.test, "validation": options.validation}
    missing = {key: share for key, share in shares.items() if key not in pools}
    divided = stratified if pools["train"].groups is None or not missing else grouped
    parts = divided(pools["train"], class_names, missing, generator, task)
    for key, pool in pools.items():
        if key != "train":
            parts[key] = torch.randperm(len(pool.targets), generator=generator)
    parts["train"] = parts["train"][: options.limit]
    mean, std = _chosen(pools["train"].inputs, options) or _moments(
        pools["train"].inputs, parts["train"][:STATISTICS_IMAGES]
    )
    learned = pools["train"].targets[parts["train"]]

    def split(key: SplitName) -> Split:
        pool = pools.get(key, pools["train"])
        return Split(pool.inputs, parts[key], pool.targets[parts[key]], mean, std, learned)

    raw = replace(source.raw, steps=(*source.raw.steps, *steps))
    return Dataset(name, class_names, split("train"), split("validation"), split("test"), raw)


def _check_shapes(pools: Mapping[SplitName, Pool]) -> None:
    shape = pools["train"].inputs.shape
    for pool in pools.values():
        if pool.inputs.shape != shape:
            images = is_plain(shape) and len(shape) == 3
            own, of_training = map(shape_text, (pool.inputs.shape, shape))
            raise DataError(
                f"{'images' if images else 'inputs'} are {own}, those for training {of_training}",
                where=pool.where,
                allowed="All splits have one shape",
                do="Give a `resolution`, or correct the files" if images else "Correct the files",
            )
        own_targets, of_training_targets = (tuple(one.targets.shape[1:]) for one in (pool, pools["train"]))
        if own_targets != of_training_targets:
            raise DataError(
                f"targets of a sample are of shape {own_targets}, those for training {of_training_targets}",
                where=pool.where,
                allowed="Targets of all splits have one shape",
                do="Correct the files",
            )


def _chosen(inputs: Inputs, options: Options) -> tuple[Tensor, Tensor] | None:
    """Return the mean and the deviation of the options; None if there are none."""
    if options.mean is None or options.std is None:
        return None
    if isinstance(inputs, Several) or is_whole(inputs):
        raise ConfigError(
            "`mean` is set",
            where="data",
            allowed="One input of bytes or floating-point numbers can be normalised by numbers of yours",
            do="Leave `mean` and `std` out",
        )
    shape = inputs.shape
    for key, values in (("mean", options.mean), ("std", options.std)):
        if len(values) != shape[0]:
            raise bad_value(key, values, f"a list of {shape[0]} numbers, one for each channel")
    each = (-1, *(1 for _ in shape[1:]))
    return torch.tensor(options.mean).float().reshape(each), torch.tensor(options.std).float().reshape(each)


def _moments(inputs: Inputs, indices: Tensor) -> tuple[Any, Any]:
    """Return mean and standard deviation, of several inputs those of each in a tuple."""
    if isinstance(inputs, Several):
        of_each = [_statistics(part, indices) for part in inputs.parts.values()]
        return tuple(mean for mean, _ in of_each), tuple(std for _, std in of_each)
    return _statistics(inputs, indices)


def _statistics(inputs: Inputs, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return (C, 1, ...) mean and standard deviation; a channel that never varies is only centred.

    Whole numbers, such as tokens, stay as they are: 0 and 1.
    """
    shape = inputs.shape
    if is_whole(inputs):
        return torch.zeros(1), torch.ones(1)
    axes = (0, *range(2, 1 + len(shape)))
    total = squares = torch.zeros(shape[0], dtype=torch.float64)
    for some in torch.split(indices, 1024):
        taken = numbers(inputs, some).double()
        total = total + taken.sum(dim=axes)
        squares = squares + taken.square().sum(dim=axes)
    count = len(indices) * math.prod(shape[1:])
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > CONSTANT * mean.abs().clamp_max(1), std, torch.ones_like(std))
    each = (-1, *(1 for _ in shape[1:]))
    return mean.float().reshape(each), std.float().reshape(each)
