"""A bundle in the making: written into a fresh folder, which replaces the bundle's own when it is whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from hwnas.errors import DiskError, HwnasError, RunError, reason
from hwnas.export import FORMATS
from hwnas.export.manifest import MANIFEST, damage, read_manifest
from hwnas.io.atomic import sync_folder
from hwnas.selection import STEM

CARD = "README.md"
MODEL_SUFFIXES = frozenset(file_format.suffix for file_format in FORMATS.own.values())
"""Suffixes of model files in hwnas's own formats; those of others are known by the manifest that lists them."""
DRAFT = re.compile(r"\.(?P<name>.+)\.\d+\.(part|tmp)")
"""The name of a file that was being written; earlier versions ended it with `tmp`."""
COMPANION = re.compile(
    rf"(?:{STEM})\.(safetensors|architecture\.json|py|head\.npz)|README\.md|(predict|adapt)\.py|selftest\.npz|bundle\.sig|"
    r"requirements-[a-z-]+\.txt|plot-[a-z-]+\.svg"
)
"""Names of files that a bundle has beside its model files and its manifest, and of its signature."""
ASIDE = re.compile(r"\.(?P<name>.+)\.(fresh|earlier)")
"""The name of a folder that an export keeps beside a bundle while it runs."""


def is_exported(name: str) -> bool:
    """Return whether `hwnas export` gives a file of this name to a bundle, or its draft; all others are the user's."""
    draft = DRAFT.fullmatch(name)
    path = Path(draft["name"] if draft else name)
    if path.name == MANIFEST or COMPANION.fullmatch(path.name):
        return True
    return path.suffix in MODEL_SUFFIXES and re.fullmatch(STEM, path.stem) is not None


def fresh_folder(folder: Path) -> Path:
    """Return the folder that a bundle is written into before it takes the place of an earlier one."""
    return folder.with_name(f".{folder.name}.fresh")


def earlier_folder(folder: Path) -> Path:
    """Return the folder that the earlier bundle has while the fresh one takes its place."""
    return folder.with_name(f".{folder.name}.earlier")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a fresh folder to write a bundle into. If the block ends well, it replaces `folder`, and files of the
    user's move over; otherwise it is removed, and the earlier bundle stays as it was.

    A kill leaves the earlier bundle too, and the fresh folder, which the next export removes. One between the two
    renames of the exchange leaves the earlier bundle under `earlier_folder`, from where the next export puts it back.
    The caller ensures that one process at a time exports.

    Raises:
        DiskError: a folder cannot be made, moved or removed.
    """
    fresh = fresh_folder(folder)
    with _as_disk_error(folder):
        put_right(folder)
        fresh.mkdir(parents=True)
    try:
        yield fresh
        with _as_disk_error(folder):
            _exchange(folder, fresh)
    except BaseException as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, HwnasError):  # it should name a place that is still there
            error.where = error.where.replace(str(fresh), str(folder))
        raise


def put_right(folder: Path) -> None:
    """Finish or take back what a killed export left beside `folder`.

    Raises:
        OSError: a folder cannot be moved or removed.
    """
    fresh, earlier = fresh_folder(folder), earlier_folder(folder)
    if earlier.is_dir():
        if folder.exists():
            _carry_over(earlier, folder)
            shutil.rmtree(earlier)
        else:
            os.rename(earlier, folder)
    if fresh.is_dir():
        shutil.rmtree(fresh)


def _exchange(folder: Path, fresh: Path) -> None:
    for path in fresh.iterdir():
        _sync(path)
    sync_folder(fresh)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not folder.exists():
        os.rename(fresh, folder)
        sync_folder(folder.parent)
        return
    earlier = earlier_folder(folder)
    os.rename(folder, earlier)
    try:
        os.rename(fresh, folder)
    except OSError:
        os.rename(earlier, folder)
        raise
    sync_folder(folder.parent)
    _carry_over(earlier, folder)
    shutil.rmtree(earlier)


def _carry_over(earlier: Path, folder: Path) -> None:
    """Move what is the user's own from the earlier bundle into the new one, under another name where that is taken."""
    exported = _exported(earlier)
    for path in sorted(earlier.iterdir()):
        if path.name not in exported:
            taken = os.path.lexists(folder / path.name)
            os.rename(path, _free(folder, path.name) if taken else folder / path.name)


def _free(folder: Path, name: str) -> Path:
    numbers = count(1)
    return next(path for number in numbers if not os.path.lexists(path := folder / f"own-{number}-{name}"))


def _exported(folder: Path) -> set[str]:
    """Return the names of files in a folder that an earlier export wrote; a card that was edited is the user's."""
    names = {path.name for path in folder.iterdir() if is_exported(path.name)}
    try:
        manifest = read_manifest(folder / MANIFEST)
    except RunError:
        return names
    if not manifest.companions:  # of a version that wrote none: what has such a name is the user's
        names -= {name for name in names if COMPANION.fullmatch(name)}
    edited = damage(manifest, [file for file in manifest.companions if file.name == CARD])
    listed = {*(file.name for file in manifest.files), *(file.name for file in manifest.companions)}
    return (names | listed) - edited.keys()


def _sync(path: Path) -> None:
    with suppress(IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _as_disk_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"the bundle cannot be written ({reason(error)})",
            where=str(error.filename or folder),
            allowed="The folder must be writable, on a disk with free space",
            do="Correct that and run the same command again",
        ) from error
