"""Every file in search_spaces/, experiments/ and latency_tables/ is loaded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hwnas.accuracy import source_of
from hwnas.config import read_experiment
from hwnas.data import DATA_SETS
from hwnas.io.resources import find_file
from hwnas.network import lower
from hwnas.space import read_space
from hwnas.space_checks import check_space
from hwnas.tasks.augmentation.images import AUGMENTATIONS
from hwnas.tasks.augmentation.signals import SIGNAL_AUGMENTATIONS

REPOSITORY = Path(__file__).resolve().parent.parent


def files(folder: str, *suffixes: str) -> list[Path]:
    return sorted(p for p in (REPOSITORY / folder).rglob("*") if p.suffix in (suffixes or (".yaml", ".yml")))


SPACES, EXPERIMENTS = files("search_spaces"), files("experiments")


def test_there_is_something_to_load() -> None:
    assert len(SPACES) >= 2
    assert EXPERIMENTS


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_space_can_be_built(path: Path) -> None:
    space = read_space(path)
    check_space(space)
    networks = {lower(space, space.random(random.Random(seed))) for seed in range(10)}
    assert len(networks) == 10 or space.count < 1000
    assert space.source, "say where the space is from"


def test_spaces_have_names_of_their_own() -> None:
    names = [read_space(path).name for path in SPACES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_read_and_names_what_exists(path: Path) -> None:
    experiment = read_experiment(path)
    assert find_file(experiment.space, "search_spaces", path.parent).is_file()
    assert experiment.train.augment in AUGMENTATIONS.keys() | SIGNAL_AUGMENTATIONS.keys()
    data = experiment.data or {}
    name = data if isinstance(data, str) else data.get("name", "function")
    assert name in DATA_SETS or ":" in name or not source_of(experiment.accuracy.source, where="test").data
    assert experiment.tiers


@pytest.mark.parametrize(
    "path", files("latency_tables", ".yaml", ".yml", ".json", ".jsonl"), ids=lambda path: path.stem
)
def test_a_table_is_read(path: Path) -> None:
    from hwnas.measure.table import read_table

    assert path.suffix == ".jsonl", "tables are JSON lines"
    assert read_table(path).rows
