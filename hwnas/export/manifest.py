"""The manifest of a bundle: written with a checksum, read strictly, and compared with the files that it lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import DiskError, RunError, reason
from hwnas.io.atomic import write_atomic
from hwnas.io.checksum import sealed, sha256_of, unsealed
from hwnas.io.fields import FieldError, Fields, loads

MANIFEST = "manifest.json"
BUNDLE_FORMAT = 2
"""Format of bundles that carry more than model files; earlier ones name none."""
QUALITY = "top1"
"""Quality that the keys of a manifest are named by if it names none."""


@dataclass(frozen=True)
class ListedFile:
    """A model file as its manifest describes it."""

    name: str
    format: str
    runtime: str
    bytes: int
    sha256: str
    max_difference: float | None
    """None, as all below, of a file that no runtime ran."""
    agreement: float | None
    """Share of the test samples on which it gives PyTorch's answer, of images its class."""
    test_quality: float | None
    latency_ms: float | None


@dataclass(frozen=True)
class Companion:
    """A file of a bundle that is no model file, as its manifest lists it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ListedModel:
    """A network of a bundle."""

    key: str
    picks: tuple[str, ...]
    scores: Mapping[str, float]
    test_quality: float
    files: tuple[ListedFile, ...]
    precision: str = ""
    """Precision that the search chose for it; empty where a tier lists none."""

    @property
    def name(self) -> str:
        """Key of its architecture, with the precision if it has one: unique in a bundle."""
        return f"{self.key} in {self.precision}" if self.precision else self.key


@dataclass(frozen=True)
class Manifest:
    """A manifest that is as it was written. Bundles of earlier versions carry no checksum of it."""

    path: Path
    tier: str
    runtime: str
    """Runtime of the tier's set-up."""
    models: tuple[ListedModel, ...]
    companions: tuple[Companion, ...]
    """Other files of the bundle; none of those of earlier versions."""
    content: Mapping[str, Any] = field(repr=False)
    """All of it, without the checksum."""

    @property
    def files(self) -> tuple[ListedFile, ...]:
        """The files of all networks."""
        return tuple(file for model in self.models for file in model.files)


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest, sealed with the CRC-32 of its content.

    Raises:
        DiskError: it cannot be written.
    """
    plain = json.loads(json.dumps(content, allow_nan=False))
    try:
        write_atomic(path, json.dumps(sealed(plain), indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise DiskError(
            f"the manifest cannot be written ({reason(error)})",
            where=str(path),
            allowed="The folder must be writable, on a disk with free space",
            do="Correct that and run the same command again",
        ) from error


def read_manifest(path: Path) -> Manifest:
    """Read the manifest at a path.

    Raises:
        RunError: it is not there, cannot be read, was changed after it was written, or lacks a field.
    """
    try:
        if not path.is_file():
            raise _unusable("there is no manifest" if not path.exists() else "the manifest is no file", path)
        raw = loads(path.read_bytes())
        content = unsealed(Fields(raw).raw)
        return _parsed(path, Fields(content))
    except FieldError as error:
        raise _unusable(f"the manifest is damaged: {error}", path) from error
    except OSError as error:
        raise _unusable(f"the manifest cannot be read ({reason(error)})", path) from error


def damage(manifest: Manifest, files: Iterable[ListedFile | Companion] | None = None) -> dict[str, str]:
    """Return the damage of files that a manifest lists, by name; empty if each is as it was exported.

    Args:
        manifest: the manifest.
        files: those to look at; the model files if left out.
    """
    listed = manifest.files if files is None else files
    wrong = {file.name: _wrong(manifest.path.parent / file.name, file) for file in listed}
    return {name: why for name, why in wrong.items() if why is not None}


def files_entry(folder: Path) -> dict[str, Any]:
    """Return what a manifest says of all other files in its folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    entries = {path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size} for path in files}
    return {"format": BUNDLE_FORMAT, "files": entries}


def _wrong(path: Path, listed: ListedFile | Companion) -> str | None:
    try:
        if not path.is_file():
            return "it is gone" if not path.exists() else "it is no file"
        if (size := path.stat().st_size) != listed.bytes:
            return f"it has {size} bytes, the manifest lists {listed.bytes}"
        if sha256_of(path) != listed.sha256:
            return "its content has another SHA-256 than the manifest lists"
    except OSError as error:
        return f"it cannot be read ({reason(error)})"
    return None


def _parsed(path: Path, content: Fields) -> Manifest:
    quality = content.text("quality") if "quality" in content.names() else QUALITY
    models = tuple(_model(model, quality) for model in content.objects("models"))
    others = _companions(content, {file.name for model in models for file in model.files})
    runtime = content.object("setup").text("runtime")
    manifest = Manifest(path, content.text("tier"), runtime, models, others, dict(content.raw))
    try:
        json.dumps([manifest.tier, runtime, *map(asdict, models), *map(asdict, others)], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise FieldError("a text holds half of a character") from error
    names = [file.name for file in manifest.files]
    if len(set(names)) < len(names):
        raise FieldError(f"it lists `{next(name for name in names if names.count(name) > 1)}` twice")
    return manifest


def _model(model: Fields, quality: str) -> ListedModel:
    scores = model.object("scores")
    return ListedModel(
        key=model.text("key"),
        picks=model.texts("picks"),
        scores={metric: scores.object(metric).number("value") for metric in scores.names()},
        test_quality=model.object(f"test_{quality}").number("value"),
        files=tuple(_file(file, quality) for file in model.objects("files")),
        precision=model.text("precision") if model.optional("precision") else "",
    )


def _companions(content: Fields, models: set[str]) -> tuple[Companion, ...]:
    if "bundle" not in content.names():
        return ()
    listed = content.object("bundle").object("files")
    entries = {_checked(name, listed.at(name)): listed.object(name) for name in listed.names()}
    return tuple(
        Companion(name, entry.integer("bytes"), entry.text("sha256"))
        for name, entry in entries.items()
        if name not in models
    )


def _checked(name: str, at: str) -> str:
    if name in ("", ".", "..") or set(name) & set("/\\") or not name.isprintable():
        raise FieldError(f"`{at}` is {name!r}, the name of a file beside the manifest is needed")
    return name


def _file(file: Fields, quality: str) -> ListedFile:
    name = _checked(file.text("name"), file.at("name"))
    return ListedFile(
        name=name,
        format=file.text("format"),
        runtime=file.text("runtime"),
        bytes=file.integer("bytes"),
        sha256=file.text("sha256"),
        max_difference=_seen(file, "max_difference"),
        agreement=_seen(file, f"{quality}_agreement"),
        test_quality=_seen(file, f"test_{quality}"),
        latency_ms=_seen(file, "latency_ms"),
    )


def _seen(file: Fields, name: str) -> float | None:
    """Return a number that was seen when the file was run; None if no runtime ran it."""
    return file.number(name) if file.text("runtime") or file.value(name) is not None else None


def _unusable(problem: str, path: Path) -> RunError:
    return RunError(
        problem,
        where=str(path),
        allowed="A manifest is one JSON object that `hwnas export` wrote, and describes each file beside it",
        do="Run `hwnas export` again, which writes the bundle anew",
    )
