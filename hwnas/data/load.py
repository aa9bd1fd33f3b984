"""From a name and options to a data set: read it, split it by seed, normalise it by its training images."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.data.dataset import Dataset, Split, numbers
from hwnas.data.source import Pool, Source, SplitName, check_pool, squared, squaring_of
from hwnas.data.spec import named_spec
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.registry import member
from hwnas.tasks import DEFAULT_TASK, Task

STATISTICS_IMAGES = 10_000
"""Training images that mean and standard deviation are computed of (the first ones, and their order is random)."""
UNNAMED = ("path", "package", "function", "class_names")
"""Options that leave the images and the labels as they are, so they are no part of a data set's name."""


@dataclass(frozen=True)
class Options:
    """Options of every kind of data. Shares are of the pool that a split is taken from."""

    validation: float = 0.1
    test: float = 0.2
    limit: int | None = None
    resolution: int | None = None


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
        if parameter.default is parameter.empty and parameter.name not in requested:
            raise ConfigError(
                f"`{name}` lacks its option `{parameter.name}`",
                where="data",
                allowed=f"Its options: {', '.join([*own_names, *common])}",
                do=f"Write `data: {{name: {name}, {parameter.name}: ...}}`",
            )
    for key in {"path", "function"} & set(requested):
        if not isinstance(requested[key], str):
            raise _bad_value(key, requested[key], "text")
    options = _checked(Options(**{key: requested[key] for key in common if key in requested}))
    if "resolution" in own_names:
        _checked(Options(resolution=requested.get("resolution")))
    result = reader(base, **handed, **{key: requested[key] for key in own_names if key in requested})
    if isinstance(result, Dataset):
        return result
    defaults = {**vars(Options()), **{p.name: p.default for p in own}}
    named = [f"{k}={v}" for k, v in sorted(requested.items()) if k not in UNNAMED and v != defaults[k]]
    label = str(requested["function"]) if "function" in requested else name
    return split_source(result, options, seed=seed, name=" ".join([label, *named]), task=task)


def _checked(options: Options) -> Options:
    for key in ("validation", "test"):
        value = getattr(options, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.9:
            raise _bad_value(key, value, "a share above 0 and below 0.9")
    for key in ("limit", "resolution"):
        value = getattr(options, key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise _bad_value(key, value, "a whole number from 1 on")
    return options


def _bad_value(key: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"`{key}` is {value!r}", where="data", allowed=f"`{key}` is {allowed}", do="Correct it")


def split_source(source: Source, options: Options, *, seed: int, name: str, task: Task = DEFAULT_TASK) -> Dataset:
    """Return the data set of a source; which sample is in which split depends on the seed and the targets alone.

    Raises:
        DataError: labels out of range, too few images of a class, splits of unlike shapes.
    """
    classes = len(source.class_names)
    steps = squaring_of(source.pools.values(), options.resolution)
    pools = {key: squared(check_pool(pool, classes), options.resolution) for key, pool in source.pools.items()}
    _check_shapes(pools)
    if not classes and task.strata(pools["train"].targets) is not None:
        raise DataError(
            "the data names no classes",
            where=f"data set `{name}`",
            allowed="Samples that have a class each need the names of the classes",
            do="Correct the data set's reader or its file",
        )
    generator = torch.Generator().manual_seed(seed)
    shares: dict[SplitName, float] = {"test": options.test, "validation": options.validation}
    missing = {key: share for key, share in shares.items() if key not in pools}
    parts = _stratified(pools["train"], source.class_names, missing, generator, task)
    for key, pool in pools.items():
        if key != "train":
            parts[key] = torch.randperm(len(pool.targets), generator=generator)
    parts["train"] = parts["train"][: options.limit]
    mean, std = _statistics(pools["train"], parts["train"][:STATISTICS_IMAGES])

    def split(key: SplitName) -> Split:
        pool = pools.get(key, pools["train"])
        return Split(pool.inputs, parts[key], pool.targets[parts[key]], mean, std)

    raw = replace(source.raw, steps=(*source.raw.steps, *steps))
    return Dataset(name, source.class_names, split("train"), split("validation"), split("test"), raw)


def _check_shapes(pools: Mapping[SplitName, Pool]) -> None:
    shape = pools["train"].inputs.shape
    for pool in pools.values():
        if pool.inputs.shape != shape:
            raise DataError(
                f"images are {'x'.join(map(str, pool.inputs.shape))}, those for training {'x'.join(map(str, shape))}",
                where=pool.where,
                allowed="All splits have one shape",
                do="Give a `resolution`, or correct the files",
            )


def _stratified(
    pool: Pool,
    class_names: tuple[str, ...],
    shares: Mapping[SplitName, float],
    generator: torch.Generator,
    task: Task,
) -> dict[SplitName, Tensor]:
    """Return indices by split: each class's share, at least one sample, in random order; the rest is for training.

    Where the task has no classes, shares are those of all samples.
    """
    strata = task.strata(pool.targets)
    if strata is None:
        groups = {"the data": torch.ones(len(pool.targets), dtype=torch.bool)}
    else:
        groups = {f"class `{name}`": strata == label for label, name in enumerate(class_names)}
    parts: dict[SplitName, list[Tensor]] = {"train": [], **{key: [] for key in shares}}
    for group, inside in groups.items():
        members = torch.nonzero(inside).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = {key: max(1, round(share * len(members))) for key, share in shares.items()}
        if len(members) <= sum(sizes.values()):
            raise DataError(
                f"{group} has {len(members)} {task.terms.samples}",
                where=pool.where,
                allowed=f"Each class needs at least one {task.terms.sample} for each of {', '.join(parts)}",
                do=f"Add {task.terms.samples}, or lower the shares `validation` and `test`",
            )
        for key, chosen in zip(
            parts, torch.split(members, [len(members) - sum(sizes.values()), *sizes.values()]), strict=True
        ):
            parts[key].append(chosen)
    together = {key: torch.cat(chosen) for key, chosen in parts.items()}
    return {key: indices[torch.randperm(len(indices), generator=generator)] for key, indices in together.items()}


def _statistics(pool: Pool, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return (C, 1, ...) mean and standard deviation; a channel that never varies is only centred."""
    shape = pool.inputs.shape
    axes = (0, *range(2, 1 + len(shape)))
    total = squares = torch.zeros(shape[0], dtype=torch.float64)
    for some in torch.split(indices, 1024):
        taken = numbers(pool.inputs, some).double()
        total = total + taken.sum(dim=axes)
        squares = squares + taken.square().sum(dim=axes)
    count = len(indices) * math.prod(shape[1:])
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    each = (-1, *(1 for _ in shape[1:]))
    return mean.float().reshape(each), std.float().reshape(each)
