"""Folders of files by class: `root/CLASS/*`, or `root/train/CLASS/*` with `validation` and `test` beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, final

import torch
from torch import Tensor

from hwnas.data.source import SplitName, find
from hwnas.errors import DataError, reason
from hwnas.io.regular import IrregularFile, check_regular
from hwnas.words import listed

MOST_UNREADABLE = 0.1
"""Largest share of a split's files that may be damaged."""
T = TypeVar("T")
_SPLIT_FOLDERS: Mapping[str, SplitName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@final
@dataclass(frozen=True, eq=False)
class ClassFiles:
    """Files of a split, class by class."""

    files: tuple[Path, ...]
    labels: Tensor
    folder: Path


def files_by_class(
    path: str, base: Path, *, what: str, suffixes: Collection[str]
) -> tuple[tuple[str, ...], dict[SplitName, ClassFiles]]:
    """Return the names of the classes, and the files of each split; `what` is the word for them, in the plural.

    Raises:
        DataError: there is no such folder, it holds no folders, or a class has no files or is not in all splits.
    """
    layout = f"A folder of classes holds one folder of {what} for each class"
    root = find(Path(path), base, what="folder", do=f"Correct the path. {layout}")
    if not root.is_dir():
        raise DataError("this is no folder", where=str(root), allowed=layout, do="Name the folder")
    folders = _folders(root, layout, what)
    if "train" in folders:
        splits = {_SPLIT_FOLDERS[name]: folder for name, folder in folders.items() if name in _SPLIT_FOLDERS}
    else:
        splits = {"train": root}
    names = tuple(_folders(splits["train"], layout, what))
    found: dict[SplitName, ClassFiles] = {}
    for split, folder in splits.items():
        classes = _folders(folder, layout, what)
        if unlike := sorted(set(classes) ^ set(names)):
            raise DataError(
                f"the class `{unlike[0]}` is in one split and not in the other",
                where=str(folder),
                allowed=f"Every split has the classes of the training split: {', '.join(names)}",
                do="Rename or add the folder",
            )
        found[split] = _listed(folder, [classes[name] for name in names], what, suffixes)
    return names, found


def _listed(folder: Path, classes: list[Path], what: str, suffixes: Collection[str]) -> ClassFiles:
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(classes):
        paths = sorted(path for path in class_folder.rglob("*") if path.suffix.lower() in suffixes)
        if not paths:
            raise DataError(
                f"the class `{class_folder.name}` has no {what}",
                where=str(class_folder),
                allowed=f"{what.capitalize()} end in {', '.join(sorted(suffixes))}",
                do=f"Add {what} or remove the folder",
            )
        files += paths
        labels += [label] * len(paths)
    return ClassFiles(tuple(files), torch.tensor(labels), folder)


def _folders(folder: Path, layout: str, what: str) -> dict[str, Path]:
    folders = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}
    if not folders:
        raise DataError("the folder holds no folders", where=str(folder), allowed=layout, do=f"Sort the {what} so")
    return folders


def without_unreadable(
    split: ClassFiles, read: Callable[[Path], T], *, what: str
) -> tuple[ClassFiles, list[T], tuple[str, ...]]:
    """Return the files that can be read, what `read` returns of each, and notes that name the others.

    Raises:
        DataError: more than a tenth of the files, or all of a class, cannot be read, or one is no regular file.
    """

    def tried(file: Path) -> T | DataError:
        try:
            check_regular(file)
            return read(file)
        except DataError as error:
            return error
        except OSError as error:
            fault = unreadable(error, file, what=what)
            if isinstance(error, IrregularFile):
                raise fault from error
            return fault

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(tried, split.files))
    faults = [(file, one) for file, one in zip(split.files, results, strict=True) if isinstance(one, DataError)]
    if not faults:
        return split, [one for one in results if not isinstance(one, DataError)], ()
    kept = torch.tensor([not isinstance(one, DataError) for one in results])
    emptied = set(split.labels.tolist()) - set(split.labels[kept].tolist())
    if len(faults) > MOST_UNREADABLE * len(results) or emptied:
        fault = faults[0][1]
        count = f"{len(faults)} of {len(results)} {what} cannot be read"
        raise DataError(
            f"{count}, such as this one ({fault.met})" if len(faults) > 1 else fault.met,
            where=fault.where,
            allowed=f"Up to {MOST_UNREADABLE:.0%} of a split may be damaged, and no whole class; they are left out",
            do="Replace or remove the files",
        )
    names = listed([str(file.relative_to(split.folder)) for file, _ in faults])
    files = tuple(file for file, keep in zip(split.files, kept.tolist(), strict=True) if keep)
    note = f"{len(faults)} of {len(results)} {what} in {split.folder.name} cannot be read and are left out: {names}"
    left = replace(split, files=files, labels=split.labels[kept])
    return left, [one for one in results if not isinstance(one, DataError)], (note,)


def unreadable(error: Exception, file: Path | str, *, what: str, why: str | None = None) -> DataError:
    """Return the error of a file that cannot be read."""
    return DataError(
        f"the {what.removesuffix('s')} cannot be read ({why or reason(error)})",
        where=str(file),
        allowed=f"Every file is a whole {what.removesuffix('s')}",
        do="Replace or remove the file",
    )
