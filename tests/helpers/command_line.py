"""The command line, called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwnas import cli


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def parts(self) -> list[str]:
        """What the four lines of an error begin with."""
        return [line.split(":")[0].strip() for line in self.err.splitlines()]


Call = Callable[..., Done]


@pytest.fixture
def hwnas(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """The command line, called in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["hwnas", *arguments])
        capfd.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Done(code, *capfd.readouterr())

    return call


SPACE = """\
name: tiny
source: "made for a test [of brackets]"
input: {channels: 1, resolution: 8}
classes: 10
stages:
  - {name: stem, op: conv, stride: 2, width: [4, 8]}
  - {name: head, op: classifier}
"""
EXPERIMENT = """\
name: tiny
space: space.yaml
data: digits
setups: {cpu: {runtime: onnxruntime}}
tiers: {edge: {setup: cpu}}
"""


def written(tmp_path: Path, **changes: str) -> str:
    (tmp_path / "space.yaml").write_text(SPACE)
    text = EXPERIMENT
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "tiny.yaml").write_text(text)
    return "tiny.yaml"
