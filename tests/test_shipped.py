"""Spaces, tables and experiments that come with hwnas are found from anywhere, and copied without harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, SpaceError
from hwnas.io.resources import Folder, copy_starter, find_file, shipped_folder, shipped_names
from hwnas.io.yaml import read_yaml


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["digits", "digits.yaml", "search_spaces/digits.yaml", "search_spaces/digits"])
def test_a_shipped_file_is_found_by_every_name_it_has(name: str, repository: Path) -> None:
    assert find_file(name, "search_spaces") == repository / "search_spaces" / "digits.yaml"


def test_every_shipped_file_is_found_by_its_name() -> None:
    for folder in ("search_spaces", "experiments"):
        names = shipped_names(folder)
        assert names
        assert all(find_file(name, folder).parent == shipped_folder(folder) for name in names)
    assert "ofa_mobilenet_v3_w1.0" in shipped_names("search_spaces")


def test_a_file_from_here_comes_first_then_one_beside_the_experiment(elsewhere: Path) -> None:
    base = elsewhere / "base"
    base.mkdir()
    shipped = find_file("digits", "search_spaces", base)
    (base / "digits.yaml").write_text("name: base")
    beside = find_file("digits", "search_spaces", base)
    (elsewhere / "digits.yaml").write_text("name: here")
    here = find_file("digits", "search_spaces", base)
    assert [path.absolute() for path in (beside, here)] == [base / "digits.yaml", elsewhere / "digits.yaml"]
    assert shipped.parent == shipped_folder("search_spaces")


def test_an_absolute_path_and_a_home_are_taken_as_they_are(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    (elsewhere / "own.yaml").write_text("name: own")
    assert find_file(elsewhere / "own.yaml", "experiments") == elsewhere / "own.yaml"
    assert find_file("~/own", "experiments") == elsewhere / "own.yaml"


def test_tables_are_found_without_their_suffix(elsewhere: Path) -> None:
    (elsewhere / "pi4.jsonl").write_text("{}")
    assert find_file("pi4", "latency_tables").name == "pi4.jsonl"


def test_a_miss_says_where_was_looked_and_what_is_near(elsewhere: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_file("digit", "search_spaces", elsewhere / "base")
    text = str(caught.value)
    assert "there is no file `digit`" in text
    assert "Did you mean `digits`?" in text
    for place in ("digit.yaml", str(elsewhere / "base" / "digit.yaml"), str(shipped_folder("search_spaces") / "digit")):
        assert place in text


@pytest.mark.parametrize("folder", ["experiments", "search_spaces"])
def test_a_misspelt_run_is_answered_with_the_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Folder
) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "experiment.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        find_file("runs/frist", folder)
    assert "Did you mean `runs/first`?" in refused.value.allowed


@pytest.mark.parametrize("name", ["", ".", "..", "/", "search_spaces"])
def test_a_folder_is_no_file(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is a folder|there is no file"):
        find_file(name, "search_spaces")


def test_a_table_is_no_space(tmp_path: Path) -> None:
    (table := tmp_path / "board.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="is a latency table"):
        find_file(table, "search_spaces")
    assert find_file(table, "latency_tables") == table


def test_the_folder_of_a_bundle_is_answered_with_its_run(tmp_path: Path) -> None:
    bundle = tmp_path / "runs" / "mine" / "bundle" / "edge"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").touch()
    with pytest.raises(ConfigError, match="is a bundle") as caught:
        find_file(bundle, "experiments")
    assert caught.value.do == f"Name the run: {tmp_path / 'runs' / 'mine'}"


def test_the_starter_is_an_experiment_with_its_space(elsewhere: Path) -> None:
    written = copy_starter(elsewhere / "deep" / "mine")
    assert [path.name for path in written] == ["quickstart.yaml", "digits.yaml", "README.md"]
    assert all(path.stat().st_size > 100 for path in written)
    space = read_yaml(written[0])["space"]
    assert find_file(space, "search_spaces", written[0].parent) == written[1], "the copy is used, not the shipped one"


def test_the_starter_overwrites_nothing(elsewhere: Path) -> None:
    copy_starter(elsewhere / "mine")
    (elsewhere / "mine" / "quickstart.yaml").unlink()
    (elsewhere / "mine" / "digits.yaml").write_text("my own")
    with pytest.raises(ConfigError, match=r"`digits\.yaml` exists already.*Name a new folder"):
        copy_starter(elsewhere / "mine")
    assert (elsewhere / "mine" / "digits.yaml").read_text() == "my own"
    assert not (elsewhere / "mine" / "quickstart.yaml").exists(), "all or nothing"


def test_a_folder_that_cannot_be_made_is_an_error(elsewhere: Path) -> None:
    (elsewhere / "file").write_text("")
    with pytest.raises(ConfigError, match="the starter cannot be written"):
        copy_starter(elsewhere / "file" / "mine")
    assert os.listdir(elsewhere) == ["file"]


def test_a_near_file_of_ones_own_is_named_with_its_suffix(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(elsewhere)
    Path("mine.yaml").write_text("name: mine\n")
    for typed in ("mine.yml", "mime.yaml"):
        with pytest.raises(ConfigError, match=r"Did you mean `mine\.yaml`\?"):
            find_file(typed, "experiments")


def test_int8_of_one_named_input_is_refused_before_anything_starts(tmp_path: Path) -> None:
    stages = "[{name: stem, op: conv1d, width: [4, 8]}, {name: head, op: classifier}]"
    (tmp_path / "s.yaml").write_text(
        f"name: s\ninput: {{wave: {{shape: [2, 16]}}}}\nclasses: 3\nstages: {stages}\n", encoding="utf-8"
    )
    mine = tmp_path / "e.yaml"
    setups = "{a: {runtime: onnxruntime, precision: int8}}"
    data = "{name: arrays, path: a.npz}"
    mine.write_text(
        f"name: e\nspace: s.yaml\ndata: {data}\ntrain: {{epochs: 1}}\nsetups: {setups}\ntiers: {{t: {{setup: a}}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="int8 files of networks that take wave 2x16"):
        pipeline.run(mine)


def test_an_experiment_that_is_named_as_a_space_is_told(elsewhere: Path) -> None:
    own = elsewhere / "twins.yaml"
    own.write_text("name: twins\nspace: twins\n", encoding="utf-8")
    with pytest.raises(SpaceError, match="the file is an experiment, no space"):
        pipeline.open_space(own)
