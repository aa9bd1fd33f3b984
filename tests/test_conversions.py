"""Laws of the cache of conversions that tests share: what is alike is converted once, and nothing else is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import ExportError
from hwnas.ops.mbconv import MBConv
from tests.helpers.conversions import cached, digest


def module(seed: int = 0, **knobs: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MBConv(4, 4, **{"kernel": 3, "expand": 2, **knobs}).module().eval()


def changed(module: nn.Module) -> nn.Module:
    """The module whose statistics, which are no parameters, are others."""
    next(child for child in module.modules() if isinstance(child, nn.BatchNorm2d)).running_mean += 1
    return module


def test_what_is_alike_is_converted_once(tmp_path: Path) -> None:
    converted: list[Path] = []

    def export(module: nn.Module, shape: Any, path: Path, **options: Any) -> Path:
        converted.append(path)
        path.write_bytes(f"file {len(converted)}".encode())
        return path

    both = cached(export, tmp_path)
    paths = [both(module(), (4, 8, 8), tmp_path / name, batch=2) for name in ("one", "other")]
    assert converted == [tmp_path / "one"]
    assert paths == [tmp_path / "one", tmp_path / "other"]
    assert {path.read_bytes() for path in paths} == {b"file 1"}
    both(module(seed=1), (4, 8, 8), tmp_path / "third", batch=2)
    assert (tmp_path / "third").read_bytes() == b"file 2"


def test_a_digest_changes_with_whatever_would_change_the_file() -> None:
    ones, int8 = np.ones((2, 4, 8, 8), np.float32), {"precision": "int8"}
    digests = [
        digest(module(), (4, 8, 8), {}),
        digest(module(seed=1), (4, 8, 8), {}),
        digest(changed(module()), (4, 8, 8), {}),
        digest(module(activation="hswish"), (4, 8, 8), {}),
        digest(module(stride=2), (4, 8, 8), {}),
        digest(module(), (4, 9, 8), {}),
        digest(module(), (4, 8, 8), {"batch": 2}),
        digest(module(), (4, 8, 8), int8),
        digest(module(), (4, 8, 8), {**int8, "calibration": ones}),
        digest(module(), (4, 8, 8), {**int8, "calibration": ones + 1}),
    ]
    assert None not in digests
    assert len(set(digests)) == len(digests)


def test_code_that_the_digest_does_not_hold_is_converted_each_time() -> None:
    class Mine(nn.Module):
        pass

    assert digest(nn.Sequential(Mine()), (1,), {}) is None
    assert digest(nn.Sequential(nn.ReLU()), (1,), {}) is not None


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def export(*args: Any, **options: Any) -> Path:
        raise ExportError("no", where="x", allowed="y", do="z")

    for _ in range(2):
        with pytest.raises(ExportError):
            cached(export, tmp_path)(module(), (4, 8, 8), tmp_path / "file")
    assert not list(tmp_path.iterdir())
