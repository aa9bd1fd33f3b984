"""Bundles on disk: reading them, comparing them with their manifests, and the issues that `hwnas doctor` reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.errors import RunError, reason
from hwnas.export.manifest import MANIFEST, ListedFile, ListedModel, Manifest, damage, read_manifest
from hwnas.export.staging import ASIDE, CARD, MODEL_SUFFIXES, earlier_folder, fresh_folder, is_exported
from hwnas.search.consistency import Issue
from hwnas.words import counted
from hwnas.workspace.workspace import Workspace

AGAIN = "Run `{}`, which writes the bundle anew"


@dataclass(frozen=True)
class Bundle:
    """The bundle of a tier, as far as it is whole."""

    manifest: Manifest | None = None
    """None if nothing was exported, or if the manifest is damaged."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Faults of the manifest and of files that it lists, by name."""

    @property
    def models(self) -> tuple[ListedModel, ...]:
        """Networks that its manifest lists."""
        return self.manifest.models if self.manifest is not None else ()

    @property
    def picks(self) -> tuple[str, ...]:
        """Rules that its networks were picked by."""
        return tuple(dict.fromkeys(pick for model in self.models for pick in model.picks))

    @property
    def test_accuracies(self) -> dict[str, float]:
        """Qualities on the test samples of the networks that were exported, by name."""
        return {model.name: model.test_quality for model in self.models}

    def is_own(self, file: ListedFile) -> bool:
        """Return whether a file is run by the runtime of the tier's set-up."""
        return self.manifest is not None and file.runtime.split()[:1] == [self.manifest.runtime]


def open_bundle(folder: Path) -> Bundle:
    """Return the bundle in a folder; what is damaged there is listed, not raised."""
    path = folder / MANIFEST
    if not path.exists():
        return Bundle()
    try:
        manifest = read_manifest(path)
    except RunError as error:
        return Bundle(wrong={MANIFEST: error.met})
    return Bundle(manifest, damage(manifest))


def bundle_ailments(run: Workspace, looked: list[str]) -> Iterator[Issue]:
    """Yield issues of the bundles of a run: damaged manifests and files, files that no manifest lists, and remains of a
    killed export."""
    command = {"bundle": run.command("export"), "ladder/bundle": f"{run.command('export')} --front halving"}
    for subfolder, again in command.items():
        top = run.folder / subfolder
        present = {path.name for path in top.iterdir() if path.is_dir()} if top.is_dir() else set[str]()
        names = {name for name in present if not name.startswith(".")}
        aside = {match["name"] for name in present if (match := ASIDE.fullmatch(name))}
        for tier in sorted(names | aside):
            try:
                yield from _leftovers(top / tier, again)
                if tier in names:
                    yield from _examined(top / tier, again, looked)
            except OSError as error:
                where = str(error.filename or top / tier)
                yield Issue(
                    "error",
                    f"the bundle cannot be read ({reason(error)})",
                    where,
                    "Files and folders of a run can be read",
                    "Correct that, and run this again",
                )


def _left(folder: Path) -> list[Path]:
    return [path for path in (fresh_folder(folder), earlier_folder(folder)) if path.is_dir()]


def _leftovers(folder: Path, again: str) -> Iterator[Issue]:
    for path in _left(folder):
        lone = path == earlier_folder(folder) and not folder.exists()
        yield Issue(
            "note",
            "an export was killed while this bundle was exchanged" if lone else "an export was begun and has not ended",
            str(path),
            "A bundle is written beside the earlier one, and takes its place when it is whole",
            f"Run `{again}`: it {'puts it back first' if lone else 'removes this'}; unless one runs now",
        )


def _examined(folder: Path, again: str, looked: list[str]) -> Iterator[Issue]:
    on_disk = sorted(path.name for path in folder.iterdir())
    if not (folder / MANIFEST).exists():
        if any(Path(name).suffix in MODEL_SUFFIXES for name in on_disk):
            yield Issue(
                "error",
                "model files have no manifest: an export did not end, or the manifest was removed",
                str(folder / MANIFEST),
                "A bundle is whole with its manifest, which is written last",
                AGAIN.format(again),
            )
        return
    try:
        manifest = read_manifest(folder / MANIFEST)
    except RunError as error:
        yield Issue("error", error.met, error.where, error.allowed, AGAIN.format(again))
        return
    count = len(manifest.files)
    looked.append(f"{manifest.path}: {counted(count, 'model file')}")
    if manifest.tier != folder.name:
        yield Issue(
            "error",
            f"the manifest is of tier {manifest.tier!r}",
            str(manifest.path),
            "A bundle stands in the folder of its tier",
            AGAIN.format(again),
        )
    for name, why in damage(manifest).items():
        yield Issue(
            "error",
            f"the model file is damaged: {why}",
            str(folder / name),
            "A model file is, byte for byte, the one that was run and compared when it was exported",
            AGAIN.format(again),
        )
    for name, why in damage(manifest, manifest.companions).items():
        yield Issue(
            "note" if name == CARD else "error",
            "the model card was edited" if name == CARD else f"the file is damaged: {why}",
            str(folder / name),
            "Files of a bundle are, byte for byte, as they were exported; its signature no longer fits otherwise",
            "Leave it so: the next export keeps yours beside its own" if name == CARD else AGAIN.format(again),
        )
    listed = {file.name for file in manifest.files}
    for name in on_disk:
        if Path(name).suffix in MODEL_SUFFIXES and name not in listed:
            yield Issue(
                "error" if is_exported(name) else "note",
                "the manifest does not list this model file",
                str(folder / name),
                "A bundle's model files were run and compared; of this one nothing is known",
                "Move it elsewhere, or remove it",
            )
