"""Families: hwnas's own members and those of installed distributions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hwnas.errors import ConfigError
from hwnas.registry import Family, member


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution `paints 1.2` in a folder of `sys.path`: two members of the family `colors`, one of them broken."""
    (tmp_path / "paints.py").write_text("class Blue: ...\nclass Red: ...\n")
    (tmp_path / "broken_paints.py").write_text("1 / 0\n")
    info = tmp_path / "paints-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paints\nVersion: 1.2\n")
    points = "[hwnas.colors]\nblue = paints:Blue\nred = paints:Red\nblack = broken_paints:Black\nwhite = paints:White\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("paints", "broken_paints"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def colors() -> Family:
    return Family("colors", {"red": "pathlib:Path", "grey": 128})


def test_own_members_come_first_then_installed_ones_by_name(installed: Path) -> None:
    assert list(colors()) == ["red", "grey", "black", "blue", "white"]
    assert len(colors()) == 5


def test_a_member_is_imported_when_it_is_used(installed: Path) -> None:
    family = colors()
    assert "blue" in family
    assert "paints" not in sys.modules
    assert member(family, "blue", what="color", where="test").__name__ == "Blue"


def test_a_row_may_be_the_object_itself() -> None:
    assert member(colors(), "grey", what="color", where="test") == 128


def test_a_distribution_cannot_replace_a_member(installed: Path) -> None:
    assert member(colors(), "red", what="color", where="test") is Path


@pytest.mark.parametrize(("name", "problem"), [("black", "division by zero"), ("white", "White")])
def test_a_broken_member_is_named_and_not_fatal_for_others(installed: Path, name: str, problem: str) -> None:
    family = colors()
    with pytest.raises(ConfigError, match=problem) as error:
        member(family, name, what="color", where="test")
    assert "paints 1.2" in error.value.where
    assert "hwnas.colors" in error.value.where
    assert member(family, "blue", what="color", where="test").__name__ == "Blue"


def test_an_unknown_member_names_the_nearest(installed: Path) -> None:
    with pytest.raises(ConfigError, match="blu") as error:
        member(colors(), "blu", what="color", where="test")
    assert "blue" in error.value.allowed


def test_metadata_is_not_read_for_own_members(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points() -> None:
        raise AssertionError

    monkeypatch.setattr("hwnas.registry.entry_points", entry_points)
    assert member(colors(), "grey", what="color", where="test") == 128
