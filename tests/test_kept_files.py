"""What is kept is read as it was written, or refused, or made again: damage never becomes another value."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from hwnas.data import load_data
from hwnas.errors import HwnasError, RunError, TrainingError
from hwnas.io.atomic import write_file
from hwnas.io.jsonl import append_lines
from hwnas.io.locks import RunLock
from hwnas.io.yaml import read_yaml
from hwnas.network import Network, build, lower
from hwnas.search.fronts import FrontPoint, read_front, write_front
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture, parse_space
from hwnas.supernet import Supernet
from hwnas.supernet.batchnorm import recalibrate
from hwnas.supernet.batchnorm_cache import BatchNormCache, check_statistics
from hwnas.supernet.torch_file import DamagedFile, read_torch, write_torch
from hwnas.supernet.training import checkpoint
from hwnas.supernet.training.skipped import SkippedSubnets, read_failures
from hwnas.supernet.training.teacher import teacher_of_weights
from hwnas.supernet.weights_file import load_module, read_weights, save_weights
from hwnas.tabular.columns import open_columns
from hwnas.user_code import plugin_files
from hwnas.workspace.elapsed import read_elapsed

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


@kind(lambda path: save_weights(build(NETWORK), path))
def kept_weights(path: Path) -> Any:
    return read_weights(path)


@kind(lambda path: ScoreStore.open(path).record(A, "top1@x", 0.5, producer="p", elapsed_s=1.0, error=0.1))
def scores(path: Path) -> Any:
    return ScoreStore.open(path).scores


@kind(lambda path: SkippedSubnets(path)._keep(A, "RuntimeError: it does not run"))
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
    for damaged in (*flipped(content, 300), *(content[:size] for size in range(0, len(content), 197))):
        path.write_bytes(damaged)
        try:
            again = read(path)
        except (HwnasError, DamagedFile):
            continue
        cut = name in ("scores", "failures") and not again
        assert cut or same(again, whole), "a line that was cut off is made again, all else is as it was"


def test_statistics_of_a_network_are_the_computed_ones_whatever_bit_flips(tmp_path: Path) -> None:
    kept = BatchNormCache(tmp_path, "a")
    computed = kept.extract_recalibrated(SUPERNET, NETWORK, IMAGES).state_dict()
    path = kept.path(NETWORK)
    content = path.read_bytes()
    for damaged in flipped(content, 60):
        path.write_bytes(damaged)
        assert same(dict(kept.extract_recalibrated(SUPERNET, NETWORK, IMAGES).state_dict()), dict(computed))
    check_statistics(path)


def test_statistics_of_an_earlier_version_are_read_and_damaged_ones_are_told(tmp_path: Path) -> None:
    kept = BatchNormCache(tmp_path, "a")
    kept.extract_recalibrated(SUPERNET, NETWORK, IMAGES)
    path = kept.path(NETWORK)
    statistics = read_torch(path)
    torch.save(statistics, path)
    check_statistics(path)
    content = bytearray(path.read_bytes())
    variances = next(value for name, value in statistics.items() if name.endswith("running_var"))
    content[content.index(variances.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="the statistics are damaged"):
        check_statistics(path)


def test_weights_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    module = build(NETWORK)
    save_file(module.state_dict(), tmp_path / "kept.safetensors")
    assert same(dict(load_module(tmp_path / "kept.safetensors", NETWORK).state_dict()), dict(module.state_dict()))


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_variance_that_none_can_be_is_refused_wherever_it_comes_from(value: float, tmp_path: Path) -> None:
    module = build(NETWORK)
    norm = next(one for one in module.modules() if isinstance(one, nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var.fill_(value)
    with pytest.raises(RunError, match="running_var"):
        save_weights(module, tmp_path / "kept.safetensors")
    save_file(module.state_dict(), tmp_path / "kept.safetensors")
    with pytest.raises(RunError, match="running_var"):
        load_module(tmp_path / "kept.safetensors", NETWORK)
    content = {"identity": {}, "optimizer": {}, "history": [], "weights": module.state_dict()}
    with pytest.raises(RunError, match="running_var"):
        checkpoint.load(checkpoint.save(tmp_path, 1, content))
    write_torch(tmp_path / "statistics.pt", {"0.running_var": norm.running_var})
    with pytest.raises(RunError, match="running_var"):
        check_statistics(tmp_path / "statistics.pt")


def test_activations_that_are_not_finite_make_no_statistics() -> None:
    module = build(NETWORK)
    with pytest.raises(TrainingError, match="not finite"):
        recalibrate(module, NETWORK, [torch.full((2, 1, 4, 4), math.inf)])


def test_a_dead_channel_has_the_variance_0_and_is_none_the_worse(tmp_path: Path) -> None:
    module = recalibrate(build(NETWORK), NETWORK, [torch.zeros(2, 1, 4, 4)])
    save_weights(module, tmp_path / "kept.safetensors")
    assert same(dict(load_module(tmp_path / "kept.safetensors", NETWORK).state_dict()), dict(module.state_dict()))


def test_an_error_of_pytorch_is_told_in_plain_words(tmp_path: Path) -> None:
    torch.save({"format": 1, "weights": Architecture}, tmp_path / "checkpoint-0001.pt")
    with pytest.raises(RunError) as caught:
        checkpoint.load(tmp_path / "checkpoint-0001.pt")
    assert "other things than tensors" in caught.value.met
    assert "weights_only" not in str(caught.value)
    (tmp_path / "within.pt").mkdir()
    with pytest.raises(RunError, match="Is a directory"):
        checkpoint.load(tmp_path / "within.pt")


WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": lambda folder: checkpoint.save(folder, 1, {"weights": {}}),
    "weights": lambda folder: save_weights(build(NETWORK), folder / "kept.safetensors"),
    "scores": lambda folder: ScoreStore.open(folder / "scores.jsonl").record(B, "m", 1, producer="p", elapsed_s=0),
    "failures": lambda folder: SkippedSubnets(folder / "failed.jsonl")._keep(B, "RuntimeError: no"),
    "front": lambda folder: write_front(folder / "edge.json", folder / "edge.csv", [FrontPoint(A, {"top1": 0.5})]),
    "report": lambda folder: write_file(folder / "report.html", "<html>", what="report", do="Make room"),
    "elapsed": lambda folder: write_file(folder / "elapsed.json", "{}"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_with_the_path_and_changes_nothing(
    writer: str, tmp_path: Path, fill_disk: Callable[[], None]
) -> None:
    WRITERS[writer](tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fill_disk()
    with pytest.raises(RunError, match="No space left on device") as caught:
        WRITERS[writer](tmp_path)
    assert str(tmp_path) in caught.value.where
    assert "Errno" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


READERS: dict[str, Callable[[Path], object]] = {
    "scores": ScoreStore.open,
    "scores, to append": lambda path: append_lines(path, [{"a": 1}]),
    "failures": read_failures,
    "front": read_front,
    "elapsed": read_elapsed,
    "checkpoint": checkpoint.load,
    "statistics": check_statistics,
    "weights": read_weights,
    "teacher": lambda path: teacher_of_weights(path, NETWORK),
    "YAML": read_yaml,
    "plugin": lambda path: plugin_files([path.name], base=path.parent, where="here"),
    "table": lambda path: open_columns(path.rename(path.with_suffix(".csv"))),
    "an image": lambda path: load_data({"name": "images", "path": str(path.parents[1]), "resolution": 4}, seed=0),
    "idx": lambda path: load_data({"name": "idx", "path": str(path.parent)}, seed=0),
    "cifar10": lambda path: load_data({"name": "cifar10", "path": str(path)}, seed=0),
    "write": lambda path: write_file(path, "text"),
    "lock": lambda path: RunLock(path.rename(path.with_name(".lock")).parent).__enter__(),
}


@pytest.fixture
def impatient() -> Iterator[None]:
    """A test that waits for ever fails instead."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("reader", READERS)
def test_a_fifo_is_named_and_nobody_waits_for_it(reader: str, tmp_path: Path) -> None:
    place = tmp_path / "images" / "class"
    place.mkdir(parents=True)
    name = {"idx": "train-images-idx3-ubyte", "plugin": "ops.py"}.get(reader, "one.png")
    for labels in ("train-labels-idx1-ubyte", "two.png", "three.png", "four.png"):
        Image.new("L", (4, 4)).save(place / labels, format="PNG")
    os.mkfifo(place / name)
    with pytest.raises(HwnasError, match="is a FIFO"):
        READERS[reader](place / name)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("reader", ["scores, to append", "lock"])
def test_nothing_is_written_through_a_link(link: str, reader: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").write_text('{"a": 1}\n')
    getattr(tmp_path / "run" / "kept", link)(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="link"):
        READERS[reader](tmp_path / "run" / "kept")
    assert (tmp_path / "elsewhere").read_text() == '{"a": 1}\n'


def test_a_file_that_is_replaced_takes_the_place_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("old")
    (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
    write_file(tmp_path / "kept", "new")
    assert ((tmp_path / "kept").read_text(), (tmp_path / "elsewhere").read_text()) == ("new", "old")


def test_a_run_folder_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with RunLock(tmp_path / "run"), pytest.raises(RunError, match="another process"), RunLock(tmp_path / "disk"):
        pass
