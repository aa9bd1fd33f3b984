"""Files of a bundle against its manifest: their sums, and what is there beside them."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import ConfigError, RunError
from hwnas.export.manifest import MANIFEST, Companion, ListedFile, Manifest, damage, read_manifest
from hwnas.export.staging import CARD
from hwnas.io.checksum import Changed
from hwnas.verify.findings import Verification
from hwnas.words import counted

SIGNATURE_FILE = "bundle.sig"


def check_files(folder: Path, result: Verification) -> Manifest | None:
    """Compare a bundle's files with its manifest; return the manifest, None if it cannot be relied on.

    Raises:
        ConfigError: the folder is no bundle.
    """
    manifest = _manifest(folder, result)
    if manifest is None:
        return None
    listed: list[ListedFile | Companion] = [*manifest.files, *manifest.companions]
    for name, why in damage(manifest, listed).items():
        result.find(_kind(folder / name, why), f"{name}: {why}", folder / name)
    for one in listed:
        if (folder / one.name).is_symlink():
            result.find("file_is_a_link", f"{one.name} is a link", folder / one.name)
    known = {MANIFEST, SIGNATURE_FILE, *(one.name for one in listed)}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            result.find("file_unlisted", f"{path.name} is not in the manifest", path)
    if not manifest.companions:
        result.find("old_format", "the bundle was exported by an earlier version and lists model files alone", folder)
    result.checked.append(f"sums of {counted(len(listed), 'file')}")
    return manifest


def _manifest(folder: Path, result: Verification) -> Manifest | None:
    path = folder / MANIFEST
    if not path.exists():
        raise ConfigError(
            f"`{folder}` holds no {MANIFEST}",
            where="hwnas verify",
            allowed="A bundle is checked, runs/NAME/bundle/TIER, all of a run, or the folder of a deployment",
            do="Name the folder that `hwnas export` wrote",
        )
    try:
        return read_manifest(path)
    except RunError as error:
        edited = isinstance(error.__cause__, Changed)
        result.find("manifest_edited" if edited else "manifest_damaged", error.met, path)
        return None


def _kind(path: Path, why: str) -> str:
    """Return the kind of finding of a file that is not as it was exported."""
    if path.name == CARD and path.is_file():
        return "card_edited"
    if not path.exists():
        return "file_missing"
    if not path.is_file():
        return "file_is_no_file"
    return "file_content" if "SHA-256" in why else "file_size"
