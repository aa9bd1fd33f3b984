"""Counts that come with hwnas, made anew: `python -m tests.helpers.shipped_counts` writes `hwnas/ops/counts.json`, and
with `--check` compares all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from hwnas import pipeline
from hwnas.io.resources import shipped_names
from hwnas.network import operators_of
from hwnas.notation import nas_bench_201, ofa
from hwnas.ops import Operator, Shape, costs, count_cache


def forget() -> None:
    """Forget what this process counted: it reads files again."""
    for cached in (
        costs.operator_costs,
        costs.operator_params,
        count_cache.count_cache,
        ofa._layers,
        nas_bench_201._edge,
        nas_bench_201._counts,
    ):
        cached.cache_clear()


@contextmanager
def without_shipped(folder: Path) -> Iterator[None]:
    """Count anew, with a cache folder that is empty."""
    forget()
    with (
        mock.patch.dict("os.environ", HWNAS_CACHE=str(folder)),
        mock.patch.object(count_cache, "SHIPPED_COUNTS", folder / "no"),
    ):
        yield
    forget()


def links(name: str) -> Iterator[tuple[Operator, Shape]]:
    """Yield the operators of a shipped space with their input shapes; of a cell, those that it is counted by."""
    space, _ = pipeline.open_space(name)
    for operator, shape in operators_of(space):
        for part in operator.summands:
            yield part, shape


def counted_anew(folder: Path, spaces: Sequence[str] = (), most: int | None = None) -> dict[str, Any]:
    """Return what `counts.json` should hold, or a part of it: of some spaces, so many random operators of each, and
    those of its smallest network, of all spaces those of the largest too."""
    with without_shipped(folder):
        for name in spaces or shipped_names("search_spaces"):
            every = list(dict.fromkeys(links(name)))
            for link in every if most is None else Random(name).sample(every, min(most, len(every))):
                costs.operator_costs(*link)
            for architecture in ("smallest",) if spaces else ("smallest", "largest"):
                pipeline.cost(name, architecture)
        return {"code": count_cache.code_digest(), **count_cache.count_cache().content()}


def main() -> None:
    with TemporaryDirectory() as folder:
        content = counted_anew(Path(folder))
    if sys.argv[1:] == ["--check"]:
        assert json.loads(count_cache.SHIPPED_COUNTS.read_text()) == json.loads(json.dumps(content))
        return
    count_cache.SHIPPED_COUNTS.write_text(json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
