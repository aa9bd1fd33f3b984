"""Time series in the `.ts` text format of the UCR and UEA archives: one series a line, with a class or a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.data.conversion import classes_of, is_number, labels_of, not_finite, number_targets
from hwnas.data.facts import Raw, Step
from hwnas.data.source import Pool, Source, SplitName, Stored, find
from hwnas.data.spec import check_count
from hwnas.errors import DataError, reason
from hwnas.io.regular import read_regular
from hwnas.tasks import DEFAULT_TASK, Task

_ALLOWED = (
    "A .ts file has lines `@key value`, then `@data`, then one series a line: values with commas between, dimensions "
    "and at last the target with colons between"
)
_DO = "Name a .ts file, or a folder with NAME_TRAIN.ts and, if it is there, NAME_TEST.ts"
_SPLIT_ENDINGS: Mapping[str, SplitName] = {"_TRAIN": "train", "_TEST": "test"}


def read(base: Path, *, path: str, length: int | None = None, task: Task = DEFAULT_TASK) -> Source:
    """Read series (dimensions, length) with a class or, for a task on numbers, a number each.

    Args:
        path: a file, or a folder with one file for training and one for the test.
        length: cut longer series to this length at their end, and repeat the last value of shorter ones up to there;
            without it series have one length.

    Raises:
        ConfigError: `length` is no whole number.
        DataError: a file is damaged, has time stamps, missing values or no target, or series are of unlike lengths.
    """
    check_count("length", length)
    root = find(Path(path), base, what="file or folder", do=_DO)
    series = {split: _series(file) for split, file in _files(root).items()}
    classed = task.strata(torch.zeros(1, dtype=torch.int64)) is not None
    names = classes_of(series["train"].targets) if classed else ()
    pools: dict[SplitName, Pool] = {}
    for split, some in series.items():
        inputs = torch.from_numpy(np.stack(_of_length(some, length)))
        pools[split] = Pool(Stored(inputs), _targets(some, names, task), some.where)
    lengths = {values.shape[1] for some in series.values() for values in some.values}
    steps: tuple[Step, ...] = () if length is None or lengths == {length} else ({"step": "length", "length": length},)
    unlike = f"series of {min(lengths)} to {max(lengths)} values are cut or continued to {length}"
    return Source(names, pools, Raw(steps=steps, order="lines of the file", notes=(unlike,) if steps else ()))


@final
@dataclass(frozen=True, eq=False)
class _Series:
    values: list[NDArray[np.float32]]
    """(dimensions, length) each."""
    targets: list[str]
    lines: list[int]
    where: str


def _files(root: Path) -> dict[SplitName, Path]:
    if not root.is_dir():
        return {"train": root}
    found = {split: sorted(root.glob(f"*{end}.ts")) for end, split in _SPLIT_ENDINGS.items()}
    for split, files in found.items():
        if len(files) > 1 or (split == "train" and not files):
            raise DataError(
                f"the folder holds {len(files)} files for {split}",
                where=str(root),
                allowed="A folder holds one file NAME_TRAIN.ts, and at most one NAME_TEST.ts",
                do=_DO,
            )
    return {split: files[0] for split, files in found.items() if files}


def _series(file: Path) -> _Series:
    try:
        lines = read_regular(file).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the file cannot be read ({reason(error)})", where=str(file), allowed=_ALLOWED, do="Correct or replace it"
        ) from error
    told: dict[str, str] = {}
    read = _Series([], [], [], str(file))
    in_data = False
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if in_data:
            _line(line, number, read)
        elif line.startswith("@"):
            key, _, value = line[1:].partition(" ")
            in_data = key.lower() == "data"
            told[key.lower()] = value.strip().lower()
        else:
            raise _malformed("there is a series before `@data`", file, number)
        if in_data and told.get("timestamps") == "true":
            raise _malformed("the series have time stamps", file, number, "Series are values at one sampling rate")
        if in_data and "false" in (told.get("classlabel", ""), told.get("targetlabel", "")):
            raise _malformed("the series have no target", file, number, "`@classLabel true ...` or `@targetlabel true`")
    if not read.values:
        raise _malformed("the file holds no series" if lines else "the file is empty", file, len(lines) or 1)
    return read


def _line(line: str, number: int, read: _Series) -> None:
    *dimensions, target = line.split(":")
    where = f"{read.where}:{number}"
    try:
        values = [np.array(part.replace("?", "nan").split(",")).astype(np.float32) for part in dimensions]
    except ValueError as error:
        raise _malformed("a value is no number", Path(read.where), number) from error
    if not values or not target.strip():
        raise _malformed("the series has no target", Path(read.where), number)
    lengths = {len(one) for one in values}
    if len(lengths) > 1 or (read.values and len(values) != len(read.values[0])):
        first = len(read.values[0]) if read.values else len(values)
        what = (
            f"{len(values)} dimensions of {', '.join(map(str, sorted(lengths)))} values; the first series has {first}"
        )
        raise _malformed(f"the series has {what}", Path(read.where), number)
    together = np.stack(values)
    if not np.isfinite(together).all():
        raise not_finite(int((~np.isfinite(together)).sum()), together.size, "values of a series", where)
    read.values.append(together)
    read.targets.append(target.strip())
    read.lines.append(number)


def _malformed(problem: str, file: Path, line: int, allowed: str = _ALLOWED) -> DataError:
    return DataError(problem, where=f"{file}:{line}", allowed=allowed, do="Correct the file, or write it in this form")


def _of_length(series: _Series, length: int | None) -> list[NDArray[np.float32]]:
    lengths = [values.shape[1] for values in series.values]
    if length is None and len(set(lengths)) > 1:
        other = next(at for at, one in enumerate(lengths) if one != lengths[0])
        raise DataError(
            f"series have {min(lengths)} to {max(lengths)} values",
            where=f"{series.where}:{series.lines[other]}",
            allowed="All series have one length, unless the option `length` is set",
            do=f"Set `length`, to {max(lengths)} for example: longer ones are cut, shorter ones continued",
        )
    if length is None:
        return series.values
    return [np.pad(one, ((0, 0), (0, max(0, length - one.shape[1]))), "edge")[:, :length] for one in series.values]


def _targets(series: _Series, names: tuple[str, ...], task: Task) -> torch.Tensor:
    if names:
        return labels_of(series.targets, names, series.where)
    try:
        numbers = np.array(series.targets).astype(np.float64)
    except ValueError:
        at = next((at for at, text in enumerate(series.targets) if not is_number(text)), 0)
        raise DataError(
            f"the target is text, `{series.targets[at][:40]}`",
            where=f"{series.where}:{series.lines[at]}",
            allowed="A target of this task is a number",
            do="Name other data, or a task with classes",
        ) from None
    if bad := int((~np.isfinite(numbers)).sum()):
        raise not_finite(bad, len(numbers), "targets", series.where)
    return number_targets(numbers[:, None], task)
