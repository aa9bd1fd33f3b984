"""The experiments that bring data of their own: they can be read, and their data is the same each time it is made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.config import read_experiment
from hwnas.data import Pool, Source, Stored, check_data, load_data
from hwnas.data.cache import cached_arrays
from hwnas.errors import DataError
from hwnas.io.resources import find_file, shipped_folder
from hwnas.network import lower
from hwnas.space import read_space
from hwnas.user_code import named

OWN = ("bearing_anomaly", "diabetes", "fashion_mnist", "imu", "keywords", "shapes_segmentation")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def data_of(name: str) -> ModuleType:
    function = named(f"data/{name}.py:load", base=shipped_folder("experiments"), where="test")
    return sys.modules[function.__module__]


def same(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is made, if it is made equal twice."""
    one, other = make(), make()
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    return one


@pytest.mark.parametrize("name", OWN)
def test_an_experiment_names_a_space_and_data_that_are_there(name: str) -> None:
    path = find_file(name, "experiments")
    experiment = read_experiment(path)
    check_data(experiment.data or {}, base=path.parent)
    space = read_space(find_file(experiment.space, "search_spaces", path.parent))
    assert lower(space, space.largest()).input_shape == lower(space, space.smallest()).input_shape
    assert {tier.setup for tier in experiment.tiers.values()} == {"edge_cpu", "cloud_cpu"}


@pytest.mark.parametrize("name", [name for name in OWN if name != "fashion_mnist"])
def test_the_file_of_an_experiment_says_what_to_install(name: str) -> None:
    text = find_file(name, "experiments").read_text()
    assert {
        "bearing_anomaly": "simulated" in text,
        "diabetes": "scikit-learn" in text,
        "imu": "pip install --no-deps seglearn" in text,
        "keywords": "apt-get install espeak-ng" in text and "Synthetic speech" in text,
        "shapes_segmentation": "apt-get install dataset-fashion-mnist" in text,
    }[name]


def test_a_package_that_is_absent_is_named_by_the_experiment() -> None:
    spec = {"name": "idx", "path": "/nowhere/fashion-mnist", "package": "apt-get install dataset-fashion-mnist"}
    with pytest.raises(DataError) as caught:
        load_data(spec, seed=0)
    assert caught.value.do == "Run: apt-get install dataset-fashion-mnist"
    assert "/nowhere/fashion-mnist" in str(caught.value)


def test_diabetes_has_the_same_patients_each_time() -> None:
    module = data_of("diabetes")
    loaded = module.load()
    assert [len(loaded[split][0]) for split in ("train", "validation", "test")] == [236, 59, 147]
    assert np.array_equal(loaded["test"][1], module.load()["test"][1])
    rows = np.concatenate([part[0] for part in loaded.values()])
    assert len(np.unique(rows, axis=0)) == 442


def test_a_bearing_is_struck_at_the_frequencies_of_its_geometry() -> None:
    module = data_of("bearing_anomaly")
    assert module.defect_hz("outer", 1.0) == pytest.approx(3.585, abs=0.001)
    assert module.defect_hz("inner", 1.0) == pytest.approx(5.415, abs=0.001)


def test_training_hears_healthy_bearings_alone() -> None:
    module = data_of("bearing_anomaly")
    made = same(lambda: module.make({"train": 3, "validation": 4, "test": 40}))
    assert made["x_train"].shape == (3, 128)
    assert made["x_train"].dtype == np.float32
    assert made["y_train"].tolist() == [0, 0, 0]
    assert made["y_validation"].tolist() == [0, 1, 0, 1]
    band = slice(int(2800 / 6000 * 128), int(3200 / 6000 * 128))
    healthy, defective = (made["x_test"][made["y_test"] == label][:, band].mean() for label in (0, 1))
    assert defective > healthy + 0.1, "the resonance is heard"


def test_windows_of_a_person_are_in_one_split() -> None:
    module = data_of("imu")
    people = np.arange(1, 11)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((10 * 260, 6)).astype(np.float32)
    arrays = {"values": values, "lengths": np.full(10, 260), "labels": people % 7, "people": people}
    inputs, labels, owners = module.windows(arrays)
    assert inputs.shape == (40, 6, 100)
    assert np.array_equal(inputs[1], values[50:150].T)
    assert np.array_equal(labels, owners % 7)
    together = [member for members in module.SPLITS.values() for member in members]
    assert sorted(together) == list(people)


def test_a_pickle_is_read_only_if_it_is_the_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "seglearn"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('it is not imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    sys.path_importer_cache.pop(str(tmp_path), None)
    with pytest.raises(DataError, match="not installed") as caught:
        data_of("imu").recordings()
    assert caught.value.do == "Run: pip install --no-deps seglearn==1.2.5"
    (package / "data" / "watch_dataset.npy").write_bytes(b"another one")
    with pytest.raises(DataError, match="SHA-256"):
        data_of("imu").recordings()


def test_words_are_mixed_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    module = data_of("keywords")

    def spoken(one: Any, program: str) -> np.ndarray[Any, Any]:
        tone = np.sin(np.arange(200 + 30 * one.speed) * (0.05 + one.pitch / 500))
        return tone.astype(np.float32)

    monkeypatch.setattr(module.Utterance, "spoken", spoken)
    monkeypatch.setattr(module, "_espeak", lambda: ("espeak-ng", "1.51"))
    made = same(lambda: module.make({"train": 2, "validation": 1, "test": 1}))
    assert made["x_train"].shape == (2 * 12 * 2, 1, 49, 10)
    assert made["y_test"].tolist() == list(range(12))
    assert np.isfinite(made["x_train"]).all()
    assert len(module.CLASSES) == 12


def test_no_voice_speaks_in_two_splits() -> None:
    splits = data_of("keywords").VOICES
    families = [
        {voice.rstrip("0123456789") if len(voice) > 2 else voice for voice in one.split()} for one in splits.values()
    ]
    assert sum(map(len, families)) == len(set().union(*families))


def test_espeak_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="not installed") as caught:
        data_of("keywords").load()
    assert caught.value.do == "Run: apt-get install espeak-ng"


def test_scenes_hold_the_class_of_each_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    module = data_of("shapes_segmentation")
    images, labels = torch.full((60, 1, 28, 28), 200, dtype=torch.uint8), torch.arange(60) % 10
    pools: Any = {split: Pool(Stored(images), labels, split) for split in ("train", "test")}
    monkeypatch.setattr(module, "read", lambda *_, **__: Source((), pools))
    made = same(lambda: module.make({"train": 6, "validation": 2, "test": 2}))
    assert made["x_train"].shape == (6, 1, 48, 48)
    assert made["x_train"].dtype == np.uint8
    assert made["y_train"].shape == (6, 48, 48)
    drawn = made["y_train"] > 0
    assert 0.02 < drawn.mean() < 0.9
    assert made["x_train"][:, 0][drawn].min() >= 199
    assert made["y_train"].max() <= 4


def test_arrays_are_made_once(cache: Path) -> None:
    calls = []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"x": np.arange(4)}

    assert [cached_arrays("four", {"a": 1}, make)["x"].tolist() for _ in range(2)] == [[0, 1, 2, 3]] * 2
    assert len(calls) == 1
    cached_arrays("four", {"a": 2}, make)
    assert len(calls) == 2, "other options are another file"
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    cached_arrays("four", {"a": 1}, make)
    assert len(calls) == 3, "a damaged file is made again"


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    assert cached_arrays("four", {}, lambda: {"x": np.arange(4)})["x"].tolist() == [0, 1, 2, 3]
