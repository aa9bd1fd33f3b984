"""Bad bundles for `fuzz.py --profile bundles`, and the commands that check or run them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._fuzz_inputs import Argv, Input, Maker, spoil
from hwnas.io.checksum import CHECKSUM_KEY, sealed

SOUND = "runs/mini/bundle/cloud"
MANIFEST, DATA = "edge/manifest.json", "data.npz"
CHECKS = ("verify edge --no-latency", "verify edge --no-latency --data data.npz", "compare edge old")
GATES = ("verify edge --no-latency --against old --data data.npz", "verify old --no-latency --against edge")
RUNS = ("predict.py edge --selftest", "predict.py edge --accuracy data.npz", "predict.py edge one.npy")


def _copied(base: Path, folder: Path) -> None:
    """Copy a bundle twice, and write raw samples for it."""
    for name in ("edge", "old"):
        shutil.copytree(base / "mini" / SOUND, folder / name)
    with np.load(folder / "edge" / "selftest.npz") as opened:
        arrays = {name: opened[name] for name in opened.files}
    inputs = arrays["inputs"]
    done = json.loads((folder / MANIFEST).read_text())["models"][0]["selftest"]["steps_done"]
    np.savez(folder / DATA, inputs=inputs, targets=np.arange(len(inputs)) % 10, steps_done=done)
    np.save(folder / "one.npy", inputs[0])


def _commands(rng: random.Random) -> tuple[Argv, ...]:
    """Return a check, a program's run and, of some, a gate; half of the checks as JSON."""
    lines = [rng.choice(CHECKS), rng.choice(RUNS), *([rng.choice(GATES)] if rng.random() < 0.3 else [])]
    return tuple((*line.split(), *(["--json"] if rng.random() < 0.5 else [])) for line in lines)


def _resealed(folder: Path) -> None:
    """Make the sums of a bundle fit its files, as somebody would who edits it on purpose."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        content.pop(CHECKSUM_KEY, None)
        listed = [file for model in content["models"] for file in model["files"]]
        entries = {**{file["name"]: file for file in listed}, **content["bundle"]["files"]}
        for entry, name in [(file, file["name"]) for file in listed] + [(e, n) for n, e in entries.items()]:
            data = (path.parent / name).read_bytes()
            entry |= {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
        text = json.dumps(sealed(content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    path.write_text(text)


def _sealed(folder: Path) -> None:
    """Give a manifest the checksum of what it holds now."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        content.pop(CHECKSUM_KEY, None)
        path.write_text(json.dumps(sealed(content)))
    except (ValueError, AttributeError, RecursionError):
        return


def _spoiled(kind: str, choose: Callable[[Path, random.Random], str], seal: Callable[[Path], None]) -> Maker:
    def maker(base: Path, folder: Path, rng: random.Random) -> Input:
        _copied(base, folder)
        file = choose(folder, rng)
        what = spoil(folder, file, rng)
        if rng.random() < 0.7:
            seal(folder)
        return Input(kind, file, what, _commands(rng))

    return maker


def _file(folder: Path, rng: random.Random) -> str:
    return f"edge/{rng.choice(sorted(path.name for path in (folder / 'edge').iterdir()))}"


def _whole(base: Path, folder: Path, rng: random.Random) -> Input:
    """A bundle with several things wrong: files changed, exchanged, gone, made folders or links, added."""
    _copied(base, folder)
    done = []
    for _ in range(rng.randint(2, 4)):
        file = _file(folder, rng)
        path = folder / file
        fate = rng.choice(["spoil", "spoil", "gone", "folder", "link", "swap", "add"])
        if fate == "spoil" and path.is_file() and path.stat().st_size:
            fate = spoil(folder, file, rng)
        elif fate == "add":
            (folder / "edge" / rng.choice(["more.onnx", "x" * 200, "é漢", ".hidden", "a b"])).write_bytes(b"1")
        elif fate == "swap" and path.is_file():
            other = folder / _file(folder, rng)
            if other.is_file():
                shutil.copy(other, path) if not other.samefile(path) else None
        elif path.is_file() and len(list((folder / "edge").iterdir())) > 2:
            path.unlink()
            if fate == "folder":
                path.mkdir()
            elif fate == "link":
                path.symlink_to(rng.choice([folder / DATA, folder / "nothing", path, Path("/dev/null")]))
        done.append(f"{file}: {fate}")
    if rng.random() < 0.5:
        _resealed(folder)
    return Input("whole bundle", "edge", "; ".join(done), _commands(rng))


BUNDLES: dict[Any, int] = {
    _spoiled("manifest", lambda folder, rng: MANIFEST, _sealed): 35,
    _spoiled("model card", lambda folder, rng: "edge/README.md", _resealed): 8,
    _spoiled("self-test", lambda folder, rng: "edge/selftest.npz", _resealed): 17,
    _spoiled("data", lambda folder, rng: DATA, lambda folder: None): 10,
    _spoiled("any file", _file, _resealed): 10,
    _whole: 20,
}
"""Each kind with its share, in hundredths."""
