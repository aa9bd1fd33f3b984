"""Denormal numbers: flushed where files are timed, and nowhere else."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.runtimes.denormals import FLUSHING, denormals_flushed, float_state_restored

SMALLEST = np.array([np.finfo(np.float64).tiny])
on_known_machines = pytest.mark.skipif(platform.machine() not in FLUSHING, reason="nothing is flushed on this machine")


def half() -> float:
    return float((SMALLEST / 2)[0])


@on_known_machines
def test_they_are_zero_meanwhile_and_numbers_again_afterwards() -> None:
    with denormals_flushed():
        assert half() == 0
        with float_state_restored():
            assert half() == 0
        assert half() == 0
    assert half() > 0


def test_a_failure_gives_them_back() -> None:
    with pytest.raises(ValueError, match="stop"), denormals_flushed():
        raise ValueError("stop")
    assert half() > 0


def test_the_first_session_of_onnx_runtime_leaves_them_alone(tmp_path: Path) -> None:
    """In a process of its own, because only the first session of a process changes its caller."""
    code = f"""
import numpy as np, torch
from pathlib import Path
from hwnas.export.onnx import export_onnx
from hwnas.runtimes import open_runtime
path = export_onnx(torch.nn.ReLU(), (1, 2, 2), Path({str(tmp_path / "model.onnx")!r}))
model = open_runtime("onnxruntime").load(path)
model.invoke()
assert (np.array([np.finfo(np.float64).tiny]) / 2)[0] > 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
