"""From a name and options to a data set: read it, split it by seed, normalise it by its training images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.data.dataset import Dataset, Split, pixels
from hwnas.data.source import Pool, Source, SplitName, check_pool, squared, squaring_of
from hwnas.data.spec import named_spec
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.registry import member

STATISTICS_IMAGES = 10_000
"""Training images that mean and standard deviation are computed of (the first ones, and their order is random)."""
UNNAMED = ("path", "function", "class_names")
"""Options that leave the images and the labels as they are, so they are no part of a data set's name."""


@dataclass(frozen=True)
class Options:
    """Options of every kind of data. Shares are of the pool that a split is taken from."""

    validation: float = 0.1
    test: float = 0.2
    limit: int | None = None
    resolution: int | None = None


def load_from(table: Mapping[str, str], name_or_spec: str | Mapping[str, Any], *, seed: int, base: Path) -> Dataset:
    """Load a data set as `load_data` does, with the table of readers as an argument."""
    name, requested = named_spec(name_or_spec)
    reader: Callable[..., Source | Dataset] = member(table, name, what="data set", where="data")
    own = [p for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
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
    result = reader(base, **{key: requested[key] for key in own_names if key in requested})
    if isinstance(result, Dataset):
        return result
    defaults = {**vars(Options()), **{p.name: p.default for p in own}}
    named = [f"{k}={v}" for k, v in sorted(requested.items()) if k not in UNNAMED and v != defaults[k]]
    label = str(requested["function"]) if "function" in requested else name
    return split_source(result, options, seed=seed, name=" ".join([label, *named]))


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


def split_source(source: Source, options: Options, *, seed: int, name: str) -> Dataset:
    """Return the data set of a source; which image is in which split depends on the seed and the labels alone.

    Raises:
        DataError: labels out of range, too few images of a class, splits of unlike shapes.
    """
    classes = len(source.class_names)
    steps = squaring_of(source.pools.values(), options.resolution)
    pools = {key: squared(check_pool(pool, classes), options.resolution) for key, pool in source.pools.items()}
    _check_shapes(pools)
    generator = torch.Generator().manual_seed(seed)
    shares: dict[SplitName, float] = {"test": options.test, "validation": options.validation}
    missing = {key: share for key, share in shares.items() if key not in pools}
    parts = _stratified(pools["train"], source.class_names, missing, generator)
    for key, pool in pools.items():
        if key != "train":
            parts[key] = torch.randperm(len(pool.labels), generator=generator)
    parts["train"] = parts["train"][: options.limit]
    mean, std = _statistics(pools["train"], parts["train"][:STATISTICS_IMAGES])

    def split(key: SplitName) -> Split:
        pool = pools.get(key, pools["train"])
        return Split(pool.images, parts[key], pool.labels[parts[key]], mean, std)

    raw = replace(source.raw, steps=(*source.raw.steps, *steps))
    return Dataset(name, source.class_names, split("train"), split("validation"), split("test"), raw)


def _check_shapes(pools: Mapping[SplitName, Pool]) -> None:
    shape = pools["train"].images.shape
    for pool in pools.values():
        if pool.images.shape != shape:
            raise DataError(
                f"images are {'x'.join(map(str, pool.images.shape))}, those for training {'x'.join(map(str, shape))}",
                where=pool.where,
                allowed="All splits have one shape",
                do="Give a `resolution`, or correct the files",
            )


def _stratified(
    pool: Pool, class_names: tuple[str, ...], shares: Mapping[SplitName, float], generator: torch.Generator
) -> dict[SplitName, Tensor]:
    """Return indices by split: each class's share, at least one image, in random order; the rest is for training."""
    parts: dict[SplitName, list[Tensor]] = {"train": [], **{key: [] for key in shares}}
    for label, class_name in enumerate(class_names):
        members = torch.nonzero(pool.labels == label).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = {key: max(1, round(share * len(members))) for key, share in shares.items()}
        if len(members) <= sum(sizes.values()):
            raise DataError(
                f"class `{class_name}` has {len(members)} images",
                where=pool.where,
                allowed=f"Each class needs at least one image for each of {', '.join(parts)}",
                do="Add images, or lower the shares `validation` and `test`",
            )
        for key, chosen in zip(
            parts, torch.split(members, [len(members) - sum(sizes.values()), *sizes.values()]), strict=True
        ):
            parts[key].append(chosen)
    together = {key: torch.cat(chosen) for key, chosen in parts.items()}
    return {key: indices[torch.randperm(len(indices), generator=generator)] for key, indices in together.items()}


def _statistics(pool: Pool, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return (C, 1, 1) mean and standard deviation; a channel that never varies is only centred."""
    total = squares = torch.zeros(pool.images.shape[0], dtype=torch.float64)
    for some in torch.split(indices, 1024):
        taken = pixels(pool.images, some).double()
        total = total + taken.sum(dim=(0, 2, 3))
        squares = squares + taken.square().sum(dim=(0, 2, 3))
    count = len(indices) * pool.images.shape[1] * pool.images.shape[2]
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    return mean.float().reshape(-1, 1, 1), std.float().reshape(-1, 1, 1)
