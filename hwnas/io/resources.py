"""Files that come with hwnas, at the top level of a checkout or inside the package of a wheel; the folder of caches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hwnas.errors import ConfigError, did_you_mean, nearest, reason

Folder = Literal["search_spaces", "latency_tables", "experiments"]

_SUFFIX: dict[Folder, str] = {"search_spaces": ".yaml", "latency_tables": ".jsonl", "experiments": ".yaml"}
_STARTER: tuple[tuple[Folder, str], ...] = (("experiments", "quickstart.yaml"), ("search_spaces", "digits.yaml"))
_README = """\
# A search of your own

    hwnas run quickstart.yaml      # trains, times, searches, exports; results go to runs/quickstart/
    hwnas cost digits.yaml         # what the networks of the space cost

- `quickstart.yaml` is the experiment: data, training, set-ups, tiers and their limits.
- `digits.yaml` is the search space: a list is a choice, a scalar is a decision already made.

Both are yours to edit; a key that is not understood is an error that names the nearest one.
"""


def shipped_folder(folder: Folder) -> Path:
    """Return the folder as it was installed with hwnas."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_shipped" / folder
    return inside if inside.is_dir() else package.parent / folder


def shipped_names(folder: Folder) -> list[str]:
    """Return the names of the files that come with hwnas, without their suffix, sorted."""
    return sorted(path.stem for path in shipped_folder(folder).glob(f"[!._]*{_SUFFIX[folder]}"))


def find_file(name: str | Path, folder: Folder, base: Path | None = None) -> Path:
    """Return the file that a name stands for: a path from here, a path from `base`, else one that comes with hwnas.

    The suffix (`.yaml`, of tables `.jsonl`) may be left out.

    Raises:
        ConfigError: there is no such file; it lists the paths that were tried and the near names.
    """
    looked = list(dict.fromkeys(_candidates(Path(name).expanduser(), folder, base)))
    _check_kind(looked[0], folder)
    for path in looked:
        if path.is_file():
            return path
    if looked[0].is_dir():
        inside = sorted(path.name for path in looked[0].glob(f"[!.]*{_SUFFIX[folder]}"))
        raise ConfigError(
            f"`{name}` is a folder",
            where=folder.replace("_", " "),
            allowed=f"A file is named. In the folder: {', '.join(inside) or f'no {_SUFFIX[folder]} file'}",
            do="Name the file",
        )
    others = [other for other in _SUFFIX if other != folder and Path(name).stem in shipped_names(other)]
    shown = {name: name for name in shipped_names(folder)} | _beside(looked[0], folder, base)
    near = nearest(Path(name).stem, shown)
    raise ConfigError(
        f"there is no file `{name}`",
        where=folder.replace("_", " "),
        allowed=f"{did_you_mean(shown[near] if near else name, shown.values())}. "
        f"Looked for {', '.join(map(str, looked))}",
        do=f"Name one of {folder.replace('_', ' ')}: `{name}` is one of {others[0].replace('_', ' ')}"
        if others
        else "Correct the name, or give the path of a file of your own",
    )


def _beside(path: Path, folder: Folder, base: Path | None) -> dict[str, str]:
    """Return by its stem what a path might have meant: files here, files and runs of the folder that it names."""
    local = [path for path in (base or Path()).glob(f"[!.]*{_SUFFIX[folder]}") if path.is_file()]
    meant = {one.stem: one.name for one in local}
    if path.parent != Path() and path.parent.is_dir():
        runs = [] if folder == "latency_tables" else [one.parent for one in path.parent.glob("*/experiment.yaml")]
        files = [one for one in path.parent.glob(f"[!.]*{_SUFFIX[folder]}") if one.is_file()]
        meant |= {one.stem: str(one) for one in (*files, *runs)}
    return meant


def _check_kind(path: Path, folder: Folder) -> None:
    """Raise ConfigError for a file or folder that hwnas wrote for another purpose."""
    where = folder.replace("_", " ")
    if (path / "manifest.json").is_file():
        raise ConfigError(
            f"`{path}` is a bundle, which `hwnas export` wrote",
            where=where,
            allowed="The run that it belongs to is named, such as runs/my_search",
            do=f"Name the run: {path.resolve().parents[1]}",
        )
    if path.suffix == _SUFFIX["latency_tables"] != _SUFFIX[folder] and path.is_file():
        raise ConfigError(
            f"`{path}` is a latency table",
            where=where,
            allowed=f"A {_SUFFIX[folder]} file is read here",
            do=f"Look at a table with `hwnas bench lint {path}`, or price a network: `hwnas cost SPACE --table {path}`",
        )


def _candidates(name: Path, folder: Folder, base: Path | None) -> Iterator[Path]:
    within = name.relative_to(folder) if name.parts[:1] == (folder,) else name
    for path in (name, *([base / name] if base is not None else []), shipped_folder(folder) / within):
        yield path
        if path.name and path.suffix != _SUFFIX[folder]:
            yield path.with_name(path.name + _SUFFIX[folder])


def copy_starter(destination: Path) -> list[Path]:
    """Write a working experiment, its search space and a short README into a folder, and return their paths.

    Raises:
        ConfigError: one of the files exists already (nothing is written then), or the folder cannot be written.
    """
    sources = [shipped_folder(folder) / name for folder, name in _STARTER]
    readme = destination / "README.md"
    targets = [*(destination / source.name for source in sources), readme]
    if existing := [path for path in targets if path.exists()]:
        raise ConfigError(
            f"`{existing[0].name}` exists already",
            where=str(destination),
            allowed="A starter overwrites nothing",
            do="Name a new folder",
        )
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for source, target in zip(sources, targets, strict=False):
            shutil.copyfile(source, target)
        readme.write_text(_README, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the starter cannot be written ({reason(error)})",
            where=str(destination),
            allowed="A folder that can be created and written is needed",
            do="Name another folder",
        ) from error
    return targets


def cache_folder() -> Path:
    """Return `$HWNAS_CACHE`, else `hwnas` in `$XDG_CACHE_HOME`, else `~/.cache/hwnas`."""
    if own := os.environ.get("HWNAS_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwnas"
