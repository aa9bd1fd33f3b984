"""What commands say and print."""

from __future__ import annotations

import sys

import pytest

from hwnas import cli
from hwnas.workspace.progress import NullReporter


class Telling(NullReporter):
    """Keeps the lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


def printed(*arguments: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What a command prints on standard output."""
    monkeypatch.setattr(sys, "argv", ["hwnas", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    return capfd.readouterr().out
