"""Contents of a kit: a zip archive of code and model files, and `kit.json`, which says what each is for and its
SHA-256. Board side: Python 3.9 syntax, no numpy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import TableError, reason
from hwnas.io.checksum import sha256_of
from hwnas.io.fields import FieldError, Fields, loads

KIT_FORMAT = 1
KIT_MANIFEST = "kit.json"
KIT_SEAL = b"hwnas kit, sha256 of its manifest: "
"""Archive's comment, before the digest: it vouches for the manifest as the manifest does for the other files."""


class NewerKit(FieldError):
    """A kit that only a later version of hwnas reads."""


@dataclass(frozen=True)
class Member:
    """A model file in a kit."""

    name: str
    """Name that is shown to the user while it is timed."""
    file: str
    """Its place in the archive."""
    bytes: int
    line: Mapping[str, Any] = field(default_factory=dict)
    """Subject of its samples, as it stands in a table; empty for the reference."""


@dataclass(frozen=True)
class KitManifest:
    """All that a kit knows, but for the files themselves."""

    hwnas: str
    """The version that packed it."""
    setup: Mapping[str, Any]
    """Requested set-up; fields that only the board knows are empty."""
    timing: Mapping[str, Any]
    """The protocol's fields."""
    table: str
    """Name of the table's file."""
    jobs: Sequence[Member]
    reference: Member | None
    space: Sequence[str] = ()
    """Name and reference of the space that it is for."""
    energy: Mapping[str, Any] | None = None
    """Fields of the protocol by which energy is measured; None if it is not measured."""
    memory: bool = False
    """True if the memory of networks is measured."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The digest of every member of the archive but the manifest."""

    def encoded(self) -> bytes:
        """Return the content of its file in the archive."""
        return json.dumps({"hwnas_kit": KIT_FORMAT, **asdict(self)}, indent=1).encode()

    @staticmethod
    def decoded(content: bytes) -> KitManifest:
        """Return the manifest that `encoded` made the content from.

        Raises:
            FieldError: it is not of this format.
            NewerKit: a later version of hwnas packed it.
        """
        raw = Fields(loads(content))
        _refuse_newer(raw)
        return KitManifest(
            raw.text("hwnas"),
            _setup(raw.object("setup")),
            raw.object("timing").raw,
            raw.text("table"),
            [_packed(job) for job in raw.objects("jobs")],
            _packed(raw.object("reference")) if raw.optional("reference") else None,
            raw.texts("space"),
            raw.object("energy").raw if raw.optional("energy") else None,
            raw.flag("memory"),
            raw.text_map("sha256"),
        )


def _setup(setup: Fields) -> Mapping[str, Any]:
    for name in setup.names():
        if name in ("threads", "batch"):
            setup.integer(name)
        else:
            setup.text(name)
    setup.text("runtime")  # by which it is told what a board needs
    return setup.raw


def _packed(job: Fields) -> Member:
    line = job.object("line").raw if "line" in job else {}
    return Member(job.text("name"), job.text("file"), job.integer("bytes"), line)


def _refuse_newer(manifest: Fields) -> None:
    """Refuse a kit of a later format.

    Raises:
        NewerKit: it is one.
        FieldError: it names no format, or one that never existed.
    """
    number = manifest.integer("hwnas_kit")
    if number > KIT_FORMAT:
        raise NewerKit(f"the kit is of format {number}, this version of hwnas reads up to format {KIT_FORMAT}")
    if number < 1:
        raise FieldError(f"there is no format {number}")


def checksum(manifest: bytes) -> bytes:
    """Return the archive's comment for a manifest."""
    return KIT_SEAL + hashlib.sha256(manifest).hexdigest().encode()


@dataclass(frozen=True)
class Kit:
    """A kit's file whose code and manifest are as they were packed; model files are checked when they are taken out."""

    path: Path
    manifest: KitManifest

    def extract(self, wanted: Sequence[Member], folder: Path) -> list[Path]:
        """Return the model files in the folder, each extracted if it is not there as it was packed.

        Raises:
            TableError: the kit is damaged, or the disk does not take a file.
        """
        with zipfile.ZipFile(self.path) as archive:
            return [self._extracted(archive, packed, folder) for packed in wanted]

    def _extracted(self, archive: zipfile.ZipFile, packed: Member, folder: Path) -> Path:
        path, digest = folder / os.path.basename(packed.file), self.manifest.sha256[packed.file]
        if path.is_file() and sha256_of(path) == digest:
            return path
        draft = path.with_name(f".{path.name}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with archive.open(packed.file) as source, open(draft, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise TableError(
                f"a model file of {packed.bytes:,} bytes cannot be written ({reason(error)})",
                where=str(folder),
                allowed="Model files are taken out of the kit to be timed, and removed afterwards",
                do="Free the disk, or name a table on another one with --out; the same command continues",
            ) from error
        except Exception as error:  # a checksum of the archive's own, or what does not unpack
            draft.unlink()
            raise damaged(self.path, f"`{packed.file}` does not unpack") from error
        if sha256_of(draft) != digest:
            draft.unlink()
            raise damaged(self.path, f"the SHA-256 of `{packed.file}` is not the one that it was packed with")
        os.replace(draft, path)
        return path


def open_kit(path: Path) -> Kit:
    """Return the kit in a file, after its code was checked.

    Raises:
        TableError: it is cut short, was changed, or is no kit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(KIT_MANIFEST)
            _refuse_newer(Fields(loads(content)))  # which may be sealed otherwise
            if archive.comment != checksum(content):
                raise damaged(path, "its manifest was changed after it was packed")
            manifest = KitManifest.decoded(content)
            _check_members(path, archive, manifest)
    except TableError:
        raise
    except Exception as error:  # of zlib, JSON and the archive, which share no base
        raise _unopened(path, error) from error
    return Kit(path, manifest)


def _unopened(path: Path, error: Exception) -> TableError:
    if isinstance(error, NewerKit):
        return TableError(
            str(error),
            where=str(path),
            allowed="A kit is read by the version that packed it, and by later ones",
            do="Install a newer version of hwnas: `pip install --upgrade hwnas`; the kit is as it should be",
        )
    if isinstance(error, OSError):
        return TableError(
            f"the kit cannot be read ({reason(error)})",
            where=str(path),
            allowed="A file that `hwnas bench pack` wrote is needed",
            do="Check the path",
        )
    if isinstance(error, FieldError):
        return damaged(path, f"`{KIT_MANIFEST}`: {error}")
    if isinstance(error, KeyError):
        return damaged(path, f"it holds no `{KIT_MANIFEST}`")
    return damaged(path, "it is no archive that unpacks, or was cut short")


def _check_members(path: Path, archive: zipfile.ZipFile, manifest: KitManifest) -> None:
    files = {packed.file for packed in manifest.jobs} | ({manifest.reference.file} if manifest.reference else set())
    names = [name for name in archive.namelist() if name != KIT_MANIFEST]
    if sorted(names) != sorted(manifest.sha256):
        odd = sorted(set(names) ^ set(manifest.sha256)) or ["a name that occurs twice"]
        raise damaged(path, f"its members are not those that were packed: {', '.join(odd[:3])}")
    if lost := sorted(files - set(names)):
        raise damaged(path, f"`{lost[0]}` is not in it")
    for name in names:
        if name not in files and hashlib.sha256(archive.read(name)).hexdigest() != manifest.sha256[name]:
            raise damaged(path, f"the SHA-256 of `{name}` is not the one that it was packed with")


def damaged(path: Path, met: str) -> TableError:
    """Return the error of a kit that is not as it was packed."""
    return TableError(
        f"the kit is damaged ({met})",
        where=str(path),
        allowed="A kit is run as it was packed: every file in it has its SHA-256 there",
        do="Copy it again, or pack it again with `hwnas bench pack`",
    )
