"""Good input for `fuzz.py` and `kills.py`: a tiny run with all that it keeps, and one of each file that hwnas reads."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hwnas import cli, pipeline
from hwnas.config import TimingConfig
from hwnas.space import Architecture, read_space
from tests.helpers.experiments import EXPERIMENT
from tests.helpers.experiments import MANY as SPACE

ROOT = Path(__file__).resolve().parent.parent
LINES = 40
"""So many lines of each shipped table are kept."""
MINI: dict[str, Any] = {
    **EXPERIMENT,
    "tiers": {"cloud": {"setup": "cpu", "limits": {"params": 4000, "latency_ms": 50}}},
    "search": {
        **EXPERIMENT["search"],
        "successive_halving": [{"score": "params", "networks": 6}, {"score": "finetuned", "networks": 2, "epochs": 1}],
    },
}
PUBLISHED: dict[str, Any] = {
    "name": "published", "space": "space.yaml",
    "accuracy": {"source": "table", "file": "table.csv", "key": "key", "column": "top1", "scale": "percent"},
    "setups": {
        "board": {
            "runtime": "published", "latencies": {"file": "table.csv", "key": "key", "column": "us", "unit": "us"},
        }
    },
    "tiers": {"edge": {"setup": "board", "limits": {"latency_ms": 0.9}}},
    "search": {"trials": 12, "sampler": "random"},
}  # fmt: skip
IMAGES = {
    "space": "space.yaml",
    "train": {"epochs": 1, "batch_size": 8},
    "setups": MINI["setups"],
    "tiers": MINI["tiers"],
}


def command(folder: Path, *words: str) -> int:
    """The exit code of a command of hwnas in a folder, in this process; what it prints is dropped."""
    argv, sink = sys.argv, io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        try:
            sys.argv = ["hwnas", *words]
            cli.main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"hwnas {' '.join(words)}: exit code {end.code}\n{sink.getvalue()}") from None
        finally:
            sys.argv = argv
    return 0


def every(space_file: Path) -> Iterator[Architecture]:
    """All architectures of a small space, by key."""
    space, rng = read_space(space_file), random.Random(0)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < space.count:
        one = space.random(rng)
        drawn[one.key] = one
    yield from (drawn[key] for key in sorted(drawn))


def make_published(folder: Path) -> None:
    """A run on published numbers, in a CSV and an NPZ file: nothing is trained or timed for it."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(SPACE)
    rows = []
    for number, one in enumerate(every(folder / "space.yaml")):
        size = sum(float(value) for _, value in one.picks)
        rows.append((one.key, 40 + size + number % 3, 20 * size + 7 * (number % 5)))
    lines = [f"{key},{top1},{us}" for key, top1, us in rows]
    (folder / "table.csv").write_text("\n".join(["key,top1,us", *lines]) + "\n")
    keys, top1, us = zip(*rows, strict=True)
    np.savez(folder / "table.npz", key=np.array(keys), top1=np.array(top1), us=np.array(us))
    (folder / "published.yaml").write_text(yaml.safe_dump(PUBLISHED, sort_keys=False))
    archived = json.loads(
        json.dumps(PUBLISHED).replace("table.csv", "table.npz").replace('"published", "sp', '"archived", "sp')
    )
    (folder / "archived.yaml").write_text(yaml.safe_dump(archived, sort_keys=False))
    with contextlib.suppress(ImportError):
        from pyarrow import parquet, table  # type: ignore[import-not-found]

        parquet.write_table(table({"key": keys, "top1": top1, "us": us}), folder / "table.parquet")
        text = (
            (folder / "archived.yaml").read_text().replace("table.npz", "table.parquet").replace("archived", "columns")
        )
        (folder / "columns.yaml").write_text(text)
    command(folder, "search", "published.yaml")


def make_mini(folder: Path) -> None:
    """A run that was trained, timed, searched, halved, exported and reported."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(SPACE)
    (folder / "mini.yaml").write_text(yaml.safe_dump(MINI, sort_keys=False))
    first = next(every(folder / "space.yaml"))
    (folder / "architecture.json").write_text(json.dumps(first.as_dict()))
    for verb in ("run", "halving"):
        command(folder, verb, "mini.yaml")
    (folder / "runs/mini/report.html").unlink()  # 5 MB, and nothing reads it
    for statistics in sorted((folder / "runs/mini/statistics").rglob("*.pt"))[4:]:
        statistics.unlink()


def make_tables(folder: Path) -> None:
    """The first rows of shipped tables, with the spaces that they are of."""
    folder.mkdir(parents=True)
    for path in sorted((ROOT / "latency_tables").glob("*.jsonl")):
        lines = path.read_text().splitlines(keepends=True)
        others = [line for line in lines if not line.startswith('{"op"')]
        rows = [line for line in lines[1:] if line.startswith('{"op"')]
        (folder / path.name).write_text("".join([*others[:LINES], *rows[:LINES]]))


def make_data(folder: Path) -> None:
    """Two dozen images of noise as IDX files, as a folder of images and in the form of CIFAR-10."""
    from PIL import Image

    rng = np.random.default_rng(0)
    idx, images = folder / "idx", folder / "images"
    idx.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        grey = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8)
        for name, array in (("images-idx3", grey), ("labels-idx1", (np.arange(24) % 10).astype(np.uint8))):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            (idx / f"{prefix}-{name}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    for number in range(30):
        place = images / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(place / f"{number:02}.png")
    _write_jpegs(folder / "cifar10_jpeg.npz", rng)
    (folder / "space.yaml").write_text(SPACE)
    (folder / "colour.yaml").write_text(SPACE.replace("channels: 1", "channels: 3"))
    for name, data in (
        ("idx", {"name": "idx", "path": "idx"}),
        ("images", {"name": "images", "path": "images", "resolution": 8, "channels": 1}),
        ("cifar10", {"name": "cifar10", "path": "cifar10_jpeg.npz"}),
    ):
        space = "colour.yaml" if name == "cifar10" else "space.yaml"
        written = {"name": f"on_{name}", "data": data, **IMAGES, "space": space}
        (folder / f"on_{name}.yaml").write_text(yaml.safe_dump(written, sort_keys=False))


def _write_jpegs(path: Path, rng: np.random.Generator) -> None:
    from PIL import Image

    arrays: dict[str, Any] = {"class_names": np.array([f"c{number}" for number in range(10)])}
    for split in ("train", "test"):
        files = []
        for _ in range(20):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(stream, "JPEG")
            files.append(np.frombuffer(stream.getvalue(), np.uint8))
        arrays[f"jpeg_{split}"] = np.concatenate(files)
        arrays[f"offset_{split}"] = np.cumsum([0, *map(len, files)])
        arrays[f"y_{split}"] = np.arange(20) % 10
    np.savez(path, **arrays)


def make_kit(folder: Path) -> None:
    """A kit of the tiny space for ONNX Runtime."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(SPACE)
    timing = TimingConfig(rounds=3, warm_up_ms=0, min_sample_ms=0.1, processes=1, pin=False)
    pipeline.pack(
        folder / "space.yaml", folder / "kit.pyz", validation_networks=1, timing=timing, runtime="onnxruntime"
    )


def make_spaces(folder: Path) -> None:
    """The shipped spaces and experiments."""
    shutil.copytree(ROOT / "search_spaces", folder / "spaces")
    shutil.copytree(ROOT / "experiments", folder / "experiments")


PARTS = {
    "mini": make_mini,
    "published": make_published,
    "tables": make_tables,
    "data": make_data,
    "kit": make_kit,
    "shipped": make_spaces,
}
QUICK = ("published", "tables", "shipped")
"""What needs no training and no timing."""
LARGE = (
    "*ofa*",
    "*autoformer*",
    "*attentive*",
    "*fbnet*",
    "*cifar10_vit*",
    "*cifar10_mobile*",
    "*bottleneck*",
    "nb201*",
)
"""Spaces, experiments and tables that take a second where others take a twentieth of one."""


def make_base(folder: Path, names: Sequence[str] = tuple(PARTS)) -> Path:
    """The folder with each of these parts; those that are there are kept."""
    for name in names:
        if not (folder / name).is_dir():
            draft = folder / f".{name}"
            shutil.rmtree(draft, ignore_errors=True)
            PARTS[name](draft)
            draft.rename(folder / name)
    return folder


def make_quick(folder: Path) -> Path:
    """What is made and read in little time, for the tests."""
    make_base(folder, QUICK)
    for pattern in LARGE:
        for path in folder.rglob(pattern):
            path.unlink()
    return folder
