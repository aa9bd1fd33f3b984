"""What is kept is read as it was written, or refused, or made again: damage never becomes another value."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.errors import HwnasError
from hwnas.network import Network, build, lower
from hwnas.search.store import ScoreStore
from hwnas.space import parse_space
from hwnas.supernet import Supernet
from hwnas.supernet.failures import Failures, read_failures
from hwnas.supernet.kept_weights import keep_weights, read_weights
from hwnas.supernet.statistics_kept import KeptStatistics
from hwnas.supernet.torch_file import read_torch, write_torch

SPACE = parse_space(
    {
        "name": "one",
        "input": {"channels": 1, "resolution": 4},
        "classes": 2,
        "stages": [{"name": "stem", "op": "conv", "width": [2, 4]}, {"name": "head", "op": "classifier"}],
    },
    where="one.yaml",
)
SUPERNET = Supernet(SPACE, seed=1)
NETWORK: Network = lower(SPACE, SPACE.smallest())
A, B = SPACE.smallest(), SPACE.largest()
IMAGES = [torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))]
KINDS: dict[str, tuple[Callable[[Path], object], Callable[[Path], Any]]] = {}
"""By kind of file, what writes one and what reads it."""


def kind(write: Callable[[Path], object]) -> Callable[[Callable[[Path], Any]], None]:
    def register(read: Callable[[Path], Any]) -> None:
        KINDS[read.__name__] = (write, read)

    return register


@kind(lambda path: write_torch(path, {"var": torch.arange(5.0), "name": "a"}))
def torch_file(path: Path) -> Any:
    return read_torch(path)


@kind(lambda path: torch.save({"var": torch.arange(5.0), "name": "a"}, path))
def torch_file_of_an_earlier_version(path: Path) -> Any:
    return read_torch(path)


@kind(lambda path: keep_weights(build(NETWORK), path))
def kept_weights(path: Path) -> Any:
    return read_weights(path)


@kind(lambda path: ScoreStore.open(path).record(A, "top1@x", 0.5, producer="p", elapsed_s=1.0, error=0.1))
def scores(path: Path) -> Any:
    return ScoreStore.open(path).scores


@kind(lambda path: Failures(path)._keep(A, "RuntimeError: it does not run"))
def failures(path: Path) -> Any:
    return read_failures(path)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def flipped(content: bytes, bits: int) -> Iterator[bytes]:
    """The content with one bit changed: every one, or `bits` of them by chance."""
    places = range(8 * len(content))
    for place in places if len(places) <= bits else random.Random(0).sample(places, bits):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_or_a_cut_gives_the_same_content_or_none(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write, read = KINDS[name]
    write(path)
    whole, content = read(path), path.read_bytes()
    for damaged in (*flipped(content, 1500), *(content[:size] for size in range(0, len(content), 97))):
        path.write_bytes(damaged)
        try:
            again = read(path)
        except (HwnasError, ValueError) as error:
            assert "weights_only" not in str(error)
            continue
        assert same(again, whole) or (name in ("scores", "failures") and not again), "the last line was cut: made again"


def test_statistics_of_a_network_are_the_computed_ones_whatever_bit_flips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptStatistics(tmp_path, "a")
    computed = kept.settled(SUPERNET, NETWORK, IMAGES).state_dict()
    path = kept.path(NETWORK)
    content = path.read_bytes()
    for damaged in flipped(content, 150):
        path.write_bytes(damaged)
        assert same(dict(kept.settled(SUPERNET, NETWORK, IMAGES).state_dict()), dict(computed))
    assert path.read_bytes() == content or same(read_torch(path), torch.load(io.BytesIO(content)))
