"""Data sets: read, split by seed, normalised, augmented, refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate
from torch.testing import assert_close

from hwnas.data import DATA_SETS, Dataset, Split, load_data
from hwnas.data import source as source_module
from hwnas.data.batches import batches
from hwnas.data.load import Options, split_source
from hwnas.data.readers import digits as digits_reader
from hwnas.data.source import Pool, Source, Stored
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.tasks.augmentation import augmented
from hwnas.tasks.augmentation.images import AUGMENTATIONS
from tests.helpers.data_files import write_arrays, write_csv, write_mnist_5k, write_ts, write_wav

SPLITS = ("train", "validation", "test")


def everything(split: Split) -> Tensor:
    return split.batch(torch.arange(len(split)))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits", seed=0)


class TestSplits:
    """Which image is in which split."""

    def test_shares(self, digits: Dataset) -> None:
        assert len(digits.train) + len(digits.validation) + len(digits.test) == 1797
        assert abs(len(digits.validation) / 1797 - 0.1) < 0.005
        assert abs(len(digits.test) / 1797 - 0.2) < 0.005
        assert (digits.classes, digits.channels, digits.resolution) == (10, 1, 8)

    def test_images_are_those_of_scikit_learn_which_is_not_imported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        direct = digits_reader._rows()
        monkeypatch.setattr(digits_reader, "find_spec", lambda name: None)
        assert (direct == digits_reader._rows()).all()
        monkeypatch.undo()
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        assert (direct == digits_reader._rows()).all()

    def test_no_image_is_in_two_splits_and_none_is_lost(self, digits: Dataset) -> None:
        places = torch.cat([getattr(digits, name).indices for name in SPLITS])
        assert torch.equal(places.sort().values, torch.arange(1797))

    def test_classes_are_as_frequent_in_every_split(self, digits: Dataset) -> None:
        whole = torch.cat([getattr(digits, name).targets for name in SPLITS]).bincount() / 1797
        for name in SPLITS:
            labels = getattr(digits, name).targets
            assert labels.dtype == torch.int64
            assert_close(labels.bincount() / len(labels), whole, atol=0.006, rtol=0)

    def test_the_seed_decides(self, digits: Dataset) -> None:
        again, other = load_data("digits", seed=0), load_data("digits", seed=1)
        for name in SPLITS:
            one = getattr(digits, name)
            assert torch.equal(one.indices, getattr(again, name).indices)
            assert not torch.equal(one.indices.sort().values, getattr(other, name).indices.sort().values)

    def test_order_is_random_so_that_the_first_images_are_a_sample(self, digits: Dataset) -> None:
        assert all(len(set(getattr(digits, name).targets[:60].tolist())) == 10 for name in SPLITS)

    def test_options(self, digits: Dataset) -> None:
        small = load_data({"name": "digits", "limit": 100, "validation": 0.3, "resolution": 16}, seed=0)
        assert len(small.train) == 100
        assert abs(len(small.validation) / 1797 - 0.3) < 0.005
        assert everything(small.validation).shape[1:] == (1, 16, 16) == (small.channels, *[small.resolution] * 2)
        assert small.name == "digits limit=100 resolution=16 validation=0.3"
        assert load_data({"name": "digits", "validation": 0.1}, seed=0).name == digits.name == "digits"

    def test_a_search_never_sees_test_data(self, digits: Dataset) -> None:
        searched = digits.without_test()
        assert searched.train is digits.train
        assert searched.validation is digits.validation
        with pytest.raises(DataError, match=r"the test split was asked for in a search\..*Score on `validation`"):
            _ = searched.test
        assert len(digits.test) > 0


class TestBatches:
    """What training and scoring are handed."""

    def test_training_images_are_normalised(self, digits: Dataset) -> None:
        images = everything(digits.train)
        assert images.dtype == torch.float32
        assert_close(images.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
        assert_close(images.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)

    def test_all_splits_are_normalised_alike(self, digits: Dataset) -> None:
        raw = everything(digits.test) * digits.train.std + digits.train.mean
        assert_close(raw.min(), torch.tensor(0.0), atol=1e-6, rtol=0)
        assert_close(raw.max(), torch.tensor(1.0))

    def test_every_image_comes_once_with_its_label(self, digits: Dataset) -> None:
        generator = torch.Generator().manual_seed(3)
        drawn = list(batches(digits.validation, 50, generator=generator))
        assert [len(labels) for _, labels in drawn] == [50, 50, 50, 29]
        assert len(list(batches(digits.validation, 50, drop_last=True))) == 3
        found = torch.cat([torch.cat([images.flatten(1), labels[:, None]], 1) for images, labels in drawn])
        split = digits.validation
        expected = torch.cat([everything(split).flatten(1), split.targets[:, None]], 1)
        assert not torch.equal(found, expected)
        assert sorted(found.tolist()) == sorted(expected.tolist())

    def test_without_a_generator_order_is_that_of_the_split(self, digits: Dataset) -> None:
        images, labels = zip(*batches(digits.test, 100), strict=True)
        assert torch.equal(torch.cat(images), everything(digits.test))
        assert torch.equal(torch.cat(labels), digits.test.targets)

    def test_chance_is_the_generator(self, digits: Dataset) -> None:
        def draw(seed: int) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            return torch.cat([x for x, _ in batches(digits.train, 64, generator=generator, augment="shift")])

        state = torch.get_rng_state()
        assert torch.equal(draw(5), draw(5))
        assert not torch.equal(draw(5), draw(6))
        assert torch.equal(state, torch.get_rng_state())

    def test_augmentation_needs_a_generator(self, digits: Dataset) -> None:
        with pytest.raises(ConfigError, match="augmentation `shift` has no generator"):
            next(batches(digits.train, 8, augment="shift"))


class TestAugmentation:
    """Random changes that keep an image's class."""

    images = torch.randn(64, 3, 16, 16)

    def of(self, kind: str, seed: int = 0) -> Tensor:
        return augmented(self.images.clone(), torch.Generator().manual_seed(seed), kind, AUGMENTATIONS)

    @pytest.mark.parametrize("kind", AUGMENTATIONS)
    def test_shape_and_values_stay_those_of_images(self, kind: str) -> None:
        changed = self.of(kind)
        assert changed.shape == self.images.shape
        assert torch.equal(changed, self.of(kind))
        if kind == "none":
            assert torch.equal(changed, self.images)
        for one, other in zip(changed, self.images, strict=True):
            assert set(one.flatten().tolist()) <= {0.0, *other.flatten().tolist()}

    def test_a_shift_moves_each_image_by_up_to_an_eighth(self) -> None:
        moves = set()
        for one, other in zip(self.of("shift"), self.images, strict=True):
            found = [
                (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)
                if torch.equal(one[:, 2:-2, 2:-2], other[:, 2 + dy : 14 + dy, 2 + dx : 14 + dx])
            ]  # fmt: skip
            assert len(found) == 1
            moves.add(found[0])
        assert len(moves) > 15
        assert {dy for dy, _ in moves} == {dx for _, dx in moves} == {-2, -1, 0, 1, 2}

    def test_what_comes_in_repeats_the_border(self) -> None:
        ramp = torch.arange(8.0).expand(200, 1, 8, 8)
        changed = augmented(ramp, torch.Generator().manual_seed(0), "shift", AUGMENTATIONS)
        rows = {tuple(image[0, 0].tolist()) for image in changed}
        assert rows == {(0, 0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 7, 7)}

    def test_about_half_of_the_images_are_mirrored(self) -> None:
        ramp = torch.arange(16.0).expand(400, 1, 16, 16)
        changed = augmented(ramp, torch.Generator().manual_seed(0), "crop_flip", AUGMENTATIONS)
        falling = changed[:, 0, 0].diff().sum(1) < 0
        assert 0.4 < falling.float().mean() < 0.6

    def test_a_cutout_is_a_square_of_the_mean(self) -> None:
        ones, generator = torch.ones(100, 3, 16, 16), torch.Generator().manual_seed(0)
        hole = augmented(ones, generator, "crop_flip_cutout", AUGMENTATIONS) == 0
        assert torch.equal(hole[:, 0], hole[:, 2])
        areas = hole[:, 0].sum(dim=(1, 2))
        assert areas.max() == 16
        assert areas.min() >= 4

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"unknown augmentation `crop_flop`\. Did you mean `crop_flip`"):
            self.of("crop_flop")


# --- kinds of data, written small ---


def pattern(count: int, size: int = 6, channels: int = 3) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images of three classes that differ in brightness; every image is another one."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = labels[:, None, None, None] * 80 + rng.integers(0, 40, (count, size, size, channels))
    return images.astype(np.uint8), labels.astype(np.uint8)


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx(folder: Path, *, zipped: bool = False, mark: str = "-", test: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    for prefix, count in [("train", 60), *([("t10k", 30)] if test else [])]:
        images, labels = pattern(count, channels=1)
        for name, array in ((f"images{mark}idx3", images[..., 0]), (f"labels{mark}idx1", labels)):
            content, end = idx_bytes(array), "-ubyte"
            path = folder / f"{prefix}-{name}{end}{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def write_images(folder: Path, count: int = 30, size: int = 6) -> Path:
    for i, (image, label) in enumerate(zip(*pattern(count, size), strict=True)):
        place = folder / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return folder


def cifar_arrays(count: int = 60) -> dict[str, Any]:
    arrays: dict[str, Any] = {"class_names": np.array(["a", "b", "c"])}
    for split in ("train", "test"):
        images, labels = pattern(count, 32)
        files = []
        for image in images:
            content = io.BytesIO()
            Image.fromarray(image).save(content, "JPEG")
            files.append(content.getvalue())
        arrays[f"jpeg_{split}"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"offset_{split}"] = np.cumsum([0, *map(len, files)])
        arrays[f"y_{split}"] = labels
    return arrays


def write_cifar(folder: Path, **changes: Any) -> Path:
    path = folder / "cifar10_jpeg.npz"
    arrays = {key: value for key, value in {**cifar_arrays(), **changes}.items() if value is not None}
    np.savez(path, **arrays)
    return path


def write_function(folder: Path, body: str) -> str:
    (folder / "mine.py").write_text(f"import numpy as np\nimport torch\n\n\ndef load():\n    {body}\n")
    return f"{folder / 'mine.py'}:load"


WHOLE = "return {'train': (np.arange(60 * 16, dtype=np.float32).reshape(60, 4, 4), np.arange(60) % 3)}"

SMALL: dict[str, Callable[[Path], str | dict[str, Any]]] = {
    "digits": lambda folder: "digits",
    "mnist_5k": lambda folder: {"name": "mnist_5k", "path": str(write_mnist_5k(folder))},
    "idx": lambda folder: {"name": "idx", "path": str(write_idx(folder))},
    "images": lambda folder: {"name": "images", "path": str(write_images(folder)), "resolution": 5},
    "cifar10": lambda folder: {"name": "cifar10", "path": str(write_cifar(folder))},
    "arrays": lambda folder: {"name": "arrays", "path": str(write_arrays(folder))},
    "csv": lambda folder: {"name": "csv", "path": str(write_csv(folder)), "target": "class"},
    "ts": lambda folder: {"name": "ts", "path": str(write_ts(folder))},
    "wav": lambda folder: {"name": "wav", "path": str(write_wav(folder)), "log_mel": {"mels": 4, "low_hz": 0}},
    "function": lambda folder: write_function(folder, WHOLE),
}
OF_IMAGES = [name for name in SMALL if name not in ("csv", "ts", "wav")]


@pytest.mark.parametrize("name", DATA_SETS)
class TestEveryKind:
    """The contract of a row in DATA_SETS."""

    def test_it_is_fixed_by_seed_and_hands_out_batches(self, name: str, tmp_path: Path) -> None:
        spec = SMALL[name](tmp_path)
        one, again = load_data(spec, seed=4), load_data(spec, seed=4)
        assert one.name == again.name
        for split in SPLITS:
            first, second = getattr(one, split), getattr(again, split)
            assert torch.equal(first.targets, second.targets)
            assert set(first.targets.tolist()) == set(range(one.classes))
            images = everything(first)
            assert images.shape == (len(first), *one.shape)
            assert images.dtype == torch.float32
            assert torch.equal(images, everything(second))
        assert_close(everything(one.train).mean(), torch.tensor(0.0), atol=1e-3, rtol=0)

    def test_it_travels_to_another_process(self, name: str, tmp_path: Path) -> None:
        dataset = load_data(SMALL[name](tmp_path), seed=0)
        arrived = pickle.loads(pickle.dumps(dataset))  # noqa: S301
        assert torch.equal(everything(arrived.validation), everything(dataset.validation))

    def test_unknown_options_and_bad_values_are_refused(self, name: str, tmp_path: Path) -> None:
        spec = SMALL[name](tmp_path)
        known = {"name": "function", "function": spec} if isinstance(spec, str) and ":" in spec else spec
        full = {"name": known} if isinstance(known, str) else dict(known)
        for option, value, message in (
            ("limmit", 3, r"takes no option `limmit`.*Did you mean `limit`"),
            ("limit", 0, "`limit` is 0"),
            ("limit", True, "`limit` is True"),
            ("validation", 1.5, r"`validation` is 1\.5"),
            ("test", "half", "`test` is 'half'"),
            ("resolution", 2.5, r"`resolution` is 2\.5"),
        ):
            with pytest.raises(ConfigError, match=message):
                load_data({**full, option: value}, seed=0)


@pytest.mark.parametrize("form", [{}, {"zipped": True}, {"mark": "."}], ids=str)
def test_idx_files_are_read_exactly(tmp_path: Path, form: dict[str, Any]) -> None:
    dataset = load_data({"name": "idx", "path": str(write_idx(tmp_path / "idx", **form))}, seed=0)
    images, labels = pattern(30, channels=1)
    order = dataset.test.indices
    assert torch.equal(dataset.test.targets, torch.from_numpy(labels.astype(np.int64))[order])
    raw = (everything(dataset.test) * dataset.train.std + dataset.train.mean) * 255
    assert_close(raw[:, 0], torch.from_numpy(images[..., 0]).float()[order], atol=1e-3, rtol=0)
    assert len(dataset.train) == 54


def test_idx_without_test_files_splits_them_off(tmp_path: Path) -> None:
    dataset = load_data({"name": "idx", "path": str(write_idx(tmp_path, test=False))}, seed=0)
    assert [len(getattr(dataset, name)) for name in SPLITS] == [42, 6, 12]


def test_image_folders_may_bring_their_own_splits(tmp_path: Path) -> None:
    for split, count in (("train", 30), ("val", 9), ("test", 12)):
        write_images(tmp_path / split, count)
    dataset = load_data({"name": "images", "path": str(tmp_path), "resolution": 6}, seed=0)
    assert [len(getattr(dataset, name)) for name in SPLITS] == [30, 9, 12]
    assert dataset.class_names == ("class0", "class1", "class2")
    raw = (everything(dataset.test) * dataset.train.std + dataset.train.mean) * 255
    expected = torch.from_numpy(pattern(12)[0]).permute(0, 3, 1, 2).float()
    in_file_order = torch.tensor([i for label in range(3) for i in range(label, 12, 3)])
    assert_close(raw, expected[in_file_order][dataset.test.indices], atol=1e-3, rtol=0)


def test_images_are_resized_cropped_and_made_grey(tmp_path: Path) -> None:
    for label, color in (("dark", 10), ("light", 240)):
        (tmp_path / label).mkdir()
        for i in range(10):
            wide = np.zeros((20, 60, 3), np.uint8)
            wide[:, 20:40] = color + i
            Image.fromarray(wide).save(tmp_path / label / f"{i}.png")
    dataset = load_data({"name": "images", "path": str(tmp_path), "resolution": 10, "channels": 1}, seed=0)
    raw = (everything(dataset.train) * dataset.train.std + dataset.train.mean) * 255
    assert raw.shape[1:] == (1, 10, 10)
    inner = raw[:, :, :, 1:-1]  # at the crop's edge the resampling reaches over
    assert_close(inner, inner[:, :, :1, :1].expand_as(inner), atol=1e-3, rtol=0)
    assert set(inner[:, 0, 0, 0].round().int().tolist()) <= {*range(10, 20), *range(240, 250)}


def test_images_beyond_the_cache_are_decoded_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"name": "images", "path": str(write_images(tmp_path)), "resolution": 6}
    kept = load_data(spec, seed=0)
    monkeypatch.setattr(source_module, "CACHE_BYTES", 10)
    fresh = load_data(spec, seed=0)
    assert torch.equal(everything(kept.train), everything(fresh.train))
    assert torch.equal(everything(kept.train), everything(kept.train))
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"\.png: the image cannot be read"):
        everything(fresh.train)


def test_a_function_may_return_bytes_names_and_splits(tmp_path: Path) -> None:
    body = (
        "x = torch.randint(0, 255, (40, 3, 4, 4), dtype=torch.uint8)\n"
        "    y = torch.arange(40) % 2\n"
        "    return {'train': (x, y), 'test': (x[:10], y[:10]), 'class_names': ['cat', 'dog']}"
    )
    dataset = load_data({"function": write_function(tmp_path, body)}, seed=0)
    assert dataset.class_names == ("cat", "dog")
    assert [len(getattr(dataset, name)) for name in SPLITS] == [36, 4, 10]


def test_a_function_may_return_a_data_set(tmp_path: Path) -> None:
    body = "from hwnas.data import load_data\n    return load_data('digits', seed=7)"
    dataset = load_data(write_function(tmp_path, body), seed=0)
    assert torch.equal(dataset.train.indices, load_data("digits", seed=7).train.indices)


def test_paths_are_taken_from_here_then_from_the_experiment(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist")
    assert load_data({"name": "idx", "path": "mnist"}, seed=0, base=tmp_path).classes == 3
    write_function(tmp_path, WHOLE)
    assert load_data("mine.py:load", seed=0, base=tmp_path).classes == 3


def test_cifar10_is_found_by_path_then_environment_then_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, named = tmp_path / "shared" / "data", tmp_path / "named"
    for folder in (beside, named, tmp_path / "project"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("HWNAS_DATA", raising=False)
    with pytest.raises(DataError, match=r"shared/data/cifar10_jpeg\.npz.*HWNAS_DATA"):
        load_data("cifar10", seed=0)
    write_cifar(beside)
    assert len(load_data("cifar10", seed=0).test) == 60
    monkeypatch.setenv("HWNAS_DATA", str(named))
    with pytest.raises(DataError, match=r"named/cifar10_jpeg\.npz"):
        load_data("cifar10", seed=0)


@pytest.mark.parametrize("names", [np.array("cat"), np.array([], "<U3"), np.array([["cat", "dog"]])])
def test_cifar10_names_its_classes_in_a_list(tmp_path: Path, names: Any) -> None:
    path = write_cifar(tmp_path, class_names=names)
    with pytest.raises(DataError, match="class_names is no list of names"):
        load_data({"name": "cifar10", "path": str(path)}, seed=0)


def test_samples_with_a_class_each_need_the_names_of_the_classes() -> None:
    pool = Pool(Stored(torch.zeros(4, 1, 8, 8)), torch.zeros(4, dtype=torch.int64), "made")
    with pytest.raises(DataError, match=r"the data names no classes|labels"):
        split_source(Source((), {"train": pool}), Options(), seed=0, name="made")


def test_mean_and_deviation_may_be_chosen_and_are_part_of_the_name() -> None:
    plain, chosen = (load_data({"name": "digits", **own}, seed=0) for own in ({}, {"mean": [0.25], "std": [0.5]}))
    raw = everything(plain.train) * plain.train.std + plain.train.mean
    assert_close(everything(chosen.train), (raw - 0.25) / 0.5)
    assert chosen.name == "digits mean=[0.25] std=[0.5]"
    steps = chosen.preprocessing["steps"]
    assert {"step": "normalise", "mean": [0.25], "std": [0.5]} in steps


@pytest.mark.parametrize(
    "own",
    [
        {"mean": [0.5]},
        {"std": [1.0]},
        {"mean": 0.5, "std": [1.0]},
        {"mean": [True], "std": [1.0]},
        {"mean": [0.5], "std": [0]},
        {"mean": [0.5, 0.5], "std": [1.0, 1.0]},
    ],
)
def test_a_mean_that_cannot_be_used_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"`(mean|std)`"):
        load_data({"name": "digits", **own}, seed=0)


def test_the_real_cifar10_file(shared_data: Path) -> None:
    dataset = load_data({"name": "cifar10", "path": str(shared_data / "cifar10_jpeg.npz"), "limit": 200}, seed=0)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (200, 5000, 10000)
    assert dataset.class_names[:3] == ("airplane", "automobile", "bird")
    assert dataset.validation.targets.bincount().tolist() == [500] * 10
    images = dataset.test.batch(torch.arange(64))
    assert images.shape == (64, 3, 32, 32)
    assert 0.7 < images.std() < 1.3


# --- what is refused ---


def truncate(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def idx_with(folder: Path, change: Callable[[Path], None]) -> dict[str, Any]:
    change(write_idx(folder))
    return {"name": "idx", "path": str(folder)}


def images_with(folder: Path, change: Callable[[Path], object]) -> dict[str, Any]:
    for split in ("train", "test"):
        write_images(folder / split)
    change(folder)
    return {"name": "images", "path": str(folder), "resolution": 6}


def cifar_with(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "cifar10", "path": str(write_cifar(folder, **changes))}


def rewrite_labels(folder: Path, count: int) -> None:
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(count, 7, np.uint8)))


def garble(folder: Path) -> dict[str, Any]:
    arrays = cifar_arrays()
    garbled = arrays["jpeg_train"].copy()
    garbled[:] = 0
    return cifar_with(folder, jpeg_train=garbled)


ONE = "x, y = np.zeros((30, 1, 4, 4), np.uint8), np.arange(30) % 3\n    "

REFUSED: dict[str, tuple[Callable[[Path], str | dict[str, Any]], str]] = {
    "unknown name": (lambda f: "digit", r"unknown data set `digit`\. Did you mean `digits`\?"),
    "no name": (lambda f: {"limit": 3}, "the data set has no `name`"),
    "missing option": (lambda f: {"name": "idx"}, "`idx` lacks its option `path`"),
    "path is a number": (lambda f: {"name": "idx", "path": 3}, "`path` is 3"),
    "missing folder": (lambda f: {"name": "idx", "path": "nowhere"}, "there is no folder `nowhere`.*Looked for /"),
    "missing images folder": (
        lambda f: {"name": "images", "path": "nowhere", "resolution": 8},
        "there is no folder `nowhere`.*Looked for /",
    ),
    "empty folder": (lambda f: {"name": "idx", "path": str(f)}, "there is no train-images-idx3-ubyte.*gz"),
    "truncated idx": (
        lambda f: idx_with(f, lambda d: truncate(d / "train-images-idx3-ubyte", 500)),
        "train-images-idx3-ubyte: the file holds 484 bytes, its head says 60x6x6",
    ),
    "idx without a head": (
        lambda f: idx_with(f, lambda d: truncate(d / "train-labels-idx1-ubyte", 5)),
        "does not begin as 1-dimensional IDX",
    ),
    "truncated gzip": (
        lambda f: (
            [write_idx(f, zipped=True), truncate(f / "train-images-idx3-ubyte.gz", 300)]
            and {"name": "idx", "path": str(f)}
        ),
        r"train-images-idx3-ubyte\.gz: the file cannot be read",
    ),
    "label out of range": (lambda f: idx_with(f, lambda d: rewrite_labels(d, 30)), "label 7 is out of range.*0 to 2"),
    "labels of other images": (
        lambda f: idx_with(f, lambda d: rewrite_labels(d, 29)),
        "there are 29 labels for 30 images",
    ),
    "a file for a folder": (
        lambda f: {"name": "images", "path": str(write_cifar(f)), "resolution": 6},
        "this is no folder",
    ),
    "no classes": (lambda f: {"name": "images", "path": str(f), "resolution": 6}, "the folder holds no folders"),
    "bad channels": (lambda f: {"name": "images", "path": str(f), "resolution": 6, "channels": 2}, "`channels` is 2"),
    "classes differ": (
        lambda f: images_with(f, lambda d: (d / "test" / "class1").rename(d / "test" / "other")),
        "test: the class `class1` is in one split and not in the other.*class0, class1, class2",
    ),
    "empty class": (
        lambda f: images_with(f, lambda d: (d / "train" / "extra").mkdir() or (d / "test" / "extra").mkdir()),
        "extra: the class `extra` has no images",
    ),
    "a class of unreadable images": (
        lambda f: images_with(f, lambda d: [truncate(p, 40) for p in (d / "train" / "class0").iterdir()]),
        r"class0/000\.png: 10 of 30 images cannot be read, such as this one.*Up to 10% of a split",
    ),
    "no archive": (
        lambda f: {"name": "cifar10", "path": write_function(f, WHOLE).removesuffix(":load")},
        r"mine\.py: the file cannot be read",
    ),
    "archive without keys": (
        lambda f: cifar_with(f, y_test=None, offset_test=None),
        r"cifar10_jpeg\.npz: the file lacks offset_test, y_test",
    ),
    "pickled archive": (lambda f: cifar_with(f, y_train=np.array([{}] * 60, dtype=object)), "the file cannot be read"),
    "bad offsets": (lambda f: cifar_with(f, offset_test=np.arange(61)), "offset_test does not cut jpeg_test"),
    "garbled image": (garble, r"cifar10_jpeg\.npz: train image \d+: the image cannot be read"),
    "function without a name": (lambda f: {"function": "mine"}, "`mine` names no function"),
    "missing module": (lambda f: "no_such_module:load", "`no_such_module` cannot be imported"),
    "missing file": (lambda f: "no_such_file.py:load", "there is no file `no_such_file.py`"),
    "missing function": (lambda f: "json:no_such", "`json` defines no `no_such`"),
    "raises": (lambda f: write_function(f, "return [][1]"), r"mine\.py:\d+: `.*mine\.py:load` raised IndexError"),
    "raises when imported": (
        lambda f: write_function(f, "pass\n1 / 0"),
        r"mine\.py:\d+: the file raised ZeroDivisionError",
    ),
    "whole numbers for images": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x.astype('i4'), y)}}"),
        r"images are torch\.int32",
    ),
    "returns nothing": (lambda f: write_function(f, "return None"), "the function returns NoneType without `train`"),
    "unknown split": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x, y), 'dev': (x, y)}}"),
        "the function returns a split `dev`",
    ),
    "no pair": (lambda f: write_function(f, f"{ONE}return {{'train': x}}"), "a split is no pair"),
    "images without axes": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x.flatten()[:30], y)}}"),
        r"images are torch\.uint8 \(30,\)",
    ),
    "a flat resolution": (
        lambda f: {
            "function": write_function(f, f"{ONE}return {{'train': (x.reshape(30, 16), y)}}"),
            "resolution": 4,
        },
        r"inputs are of shape \(16,\).*Leave `resolution` out",
    ),
    "fractional labels": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x, y / 2)}}"),
        r"labels are torch\.float64",
    ),
    "undefined pixels": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x.astype('f4') * np.nan, y)}}"),
        "30 of 30 images hold NaN or infinity",
    ),
    "unlike splits": (
        lambda f: write_function(f, f"{ONE}return {{'train': (x, y), 'test': (x[..., :2, :2], y)}}"),
        "images are 1x2x2, those for training 1x4x4",
    ),
    "negative label": (lambda f: write_function(f, f"{ONE}return {{'train': (x, y - 1)}}"), "label -1 is out of range"),
    "too few of a class": (
        lambda f: write_function(f, f"{ONE}y[:] = 0\n    y[:2] = 1\n    return {{'train': (x, y)}}"),
        "class `1` has 2 images",
    ),
}


@pytest.mark.parametrize(("prepare", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused(prepare: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    spec = prepare(tmp_path)
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        everything(load_data(spec, seed=0).train)
    error = caught.value
    assert isinstance(error, HwnasError)
    assert all((error.met, error.where, error.allowed, error.do)), "four parts"
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


def test_wide_images_fit_once_a_resolution_is_given(tmp_path: Path) -> None:
    spec = write_function(tmp_path, f"{ONE}x[..., 1:] = 200\n    return {{'train': (x[..., :3], y)}}")
    assert load_data({"function": spec, "resolution": 6}, seed=0).resolution == 6


# --- what is told so that images can be prepared, and a test accuracy repeated, without hwnas ---


def prepared(raw: list[Any], steps: list[dict[str, Any]]) -> Tensor:
    """The steps of docs/reference/manifest.md, with Pillow and PyTorch alone, of bytes of files or of (C, H, W)."""
    return torch.stack([_prepared(one, steps) for one in raw])


def _prepared(image: Any, steps: list[dict[str, Any]]) -> Tensor:
    for step in steps:
        kind = step["step"]
        if kind == "decode":
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(image)))
            image = image.convert({"grey": "L", "RGB": "RGB"}[step["colour"]])
        elif kind == "fit":
            image = np.array(ImageOps.fit(image, step["size"][::-1], Image.Resampling.BILINEAR))
            image = torch.from_numpy(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1).float()
        elif kind == "crop":
            side = min(image.shape[1:])
            top, left = ((size - side) // 2 for size in image.shape[1:])
            image = image[:, top : top + side, left : left + side]
        elif kind == "resize":
            image = interpolate(image[None], step["size"], mode=step["method"], antialias=step["antialias"])[0]
        elif kind == "normalise":
            mean, std = (torch.tensor(step[name])[:, None, None] for name in ("mean", "std"))
            image = (image - mean) / std
        else:
            by = step.get("by", 1)
            image = {"multiply": image * by, "divide": image / by, "round": image.round().float()}[kind]
    return image


def numbers(text: str) -> list[int]:
    ends = [part.partition("-")[::2] for part in text.split(",")]
    return [number for first, last in ends for number in range(int(first), int(last or first) + 1)]


def raw_idx(folder: Path) -> tuple[list[Tensor], np.ndarray[Any, Any]]:
    content = (folder / "t10k-images-idx3-ubyte").read_bytes()
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 6, 6)
    labels = np.frombuffer((folder / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return [torch.from_numpy(one.copy()).float() for one in pixels], labels


def raw_mnist_5k(folder: Path) -> tuple[list[Tensor], np.ndarray[Any, Any]]:
    rows = np.loadtxt(folder / "mnist_5k.csv.gz", delimiter=",")
    return [torch.from_numpy(row[:-1]).float().reshape(1, 28, 28) for row in rows], rows[:, -1]


def raw_images(folder: Path) -> tuple[list[bytes], np.ndarray[Any, Any]]:
    files = [path for name in sorted(folder.iterdir()) for path in sorted(name.iterdir())]
    return [path.read_bytes() for path in files], np.array([int(path.parent.name[-1]) for path in files])


def raw_cifar(folder: Path) -> tuple[list[bytes], np.ndarray[Any, Any]]:
    arrays = np.load(folder / "cifar10_jpeg.npz")
    ends = zip(arrays["offset_test"], arrays["offset_test"][1:], strict=False)
    return [arrays["jpeg_test"][first:last].tobytes() for first, last in ends], arrays["y_test"]


def raw_digits(folder: Path) -> tuple[list[Tensor], np.ndarray[Any, Any]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return [torch.from_numpy(image)[None] for image in found.images], found.target


def raw_function(folder: Path) -> tuple[list[Tensor], np.ndarray[Any, Any]]:
    return list(torch.arange(60 * 16.0).reshape(60, 1, 4, 4)), np.arange(60) % 3


def raw_arrays(folder: Path) -> tuple[list[Tensor], np.ndarray[Any, Any]]:
    with np.load(folder / "arrays.npz") as arrays:
        return list(torch.from_numpy(arrays["x_train"])), arrays["y_train"]


RAW: dict[str, Callable[[Path], tuple[list[Any], np.ndarray[Any, Any]]]] = {
    "digits": raw_digits, "idx": raw_idx, "images": raw_images, "cifar10": raw_cifar, "function": raw_function,
    "arrays": raw_arrays, "mnist_5k": raw_mnist_5k,
}  # fmt: skip


@pytest.mark.parametrize("resolution", [None, 8])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_facts_and_raw_data_give_the_test_images(name: str, resolution: int | None, tmp_path: Path) -> None:
    spec = SMALL[name](tmp_path)
    if resolution is not None:
        spec = {"name": spec} if spec == "digits" else {"function": spec} if isinstance(spec, str) else spec
        spec = {**spec, "resolution": 10 if name == "digits" else resolution}
    dataset = load_data(spec, seed=3)
    size = dataset.resolution + 3
    told, how = dataset.test_indices(), dataset.preprocessing_at((1, size, size))
    assert json.loads(json.dumps([told, how])) == [told, how]
    raw, labels = RAW[name](tmp_path)
    chosen = numbers(told["indices"])
    assert (told["pool_images"], told["images"]) == (len(raw), len(chosen))
    assert told["pool"] == ("test" if name in ("idx", "cifar10") else "train")
    order = dataset.test.indices.argsort()
    assert torch.equal(torch.from_numpy(labels[chosen].astype(np.int64)), dataset.test.targets[order])
    expected = interpolate(everything(dataset.test)[order], (size, size), mode="bilinear", antialias=True)
    assert_close(prepared([raw[place] for place in chosen], how["steps"]).float(), expected, atol=2e-5, rtol=1e-5)
    assert how["pixels"]["colour"] == {
        "digits": "grey",
        "idx": "grey",
        "mnist_5k": "grey",
        "function": "as given",
        "arrays": "as given",
    }.get(name, "RGB")
    assert "channels first" not in how["form"]


def test_oblong_images_are_cropped_as_the_steps_say(tmp_path: Path) -> None:
    images = "np.random.default_rng(0).integers(0, 256, (60, 3, 9, 14)).astype(np.uint8)"
    body = f"return {{'train': ({images}, np.arange(60) % 3)}}"
    dataset = load_data({"function": write_function(tmp_path, body), "resolution": 6}, seed=0)
    raw = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, 9, 14))).float()
    steps = dataset.preprocessing["steps"]
    assert [step["step"] for step in steps] == ["crop", "resize", "round", "divide", "normalise"]
    assert_close(prepared(list(raw[dataset.test.indices]), steps), everything(dataset.test), atol=2e-5, rtol=1e-5)
    assert dataset.preprocessing["pixels"]["range"] == [0, 255]


def test_the_range_of_other_numbers_is_what_is_seen_of_them(tmp_path: Path) -> None:
    dataset = load_data(write_function(tmp_path, WHOLE), seed=0)
    low, high = dataset.preprocessing["pixels"]["range"]
    assert 0 <= low < high <= 959
    assert dataset.preprocessing["divide_by"] == 1


# --- names of classes ---


def with_names(name: str, folder: Path, names: Any) -> dict[str, Any]:
    spec = SMALL[name](folder)
    return {**({"function": spec} if isinstance(spec, str) else spec), "class_names": names}


@pytest.mark.parametrize("name", ["idx", "function"])
class TestClassNames:
    def test_they_are_a_list_or_the_lines_of_a_file(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("low\nmid\nhöh\n", encoding="utf-8")
        plain = load_data({**with_names(name, tmp_path, None), "class_names": None}, seed=0)
        assert plain.class_names == ("0", "1", "2")
        for names in (["low", "mid", "höh"], str(tmp_path / "names.txt")):
            named = load_data(with_names(name, tmp_path, names), seed=0)
            assert named.class_names == ("low", "mid", "höh")
            assert named.name == plain.name, "names leave the data as they are, so nothing is trained again"

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["a", "b"], "`class_names` has 2 names for 3 classes"),
            (["a"], "`class_names` has 1 name for 3 classes"),
            (["a", "b", "a"], "`class_names` has `a` twice"),
            (["a", " ", "b"], "`class_names` has an empty name"),
            (3, "`class_names` is 3"),
            ([["a"], "b", "c"], "`class_names` is "),
            ([True, "b", "c"], "`class_names` is "),
            ({"a": 1}, "`class_names` is "),
            ("nowhere.txt", "there is no file `nowhere.txt`"),
            ("", "the names cannot be read"),
        ],
        ids=str,
    )
    def test_what_is_none_is_refused(self, name: str, names: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises((ConfigError, DataError), match=message) as caught:
            load_data(with_names(name, tmp_path, names), seed=0)
        assert all((caught.value.where, caught.value.allowed, caught.value.do))

    def test_a_file_that_is_no_text_is_refused(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_bytes(b"\xff\xfe\xfa")
        with pytest.raises(DataError, match="it is no UTF-8 text"):
            load_data(with_names(name, tmp_path, str(tmp_path / "names.txt")), seed=0)


def test_a_functions_names_that_are_none_are_told(tmp_path: Path) -> None:
    body = WHOLE.replace("}", ", 'class_names': 3}")
    with pytest.raises(DataError, match="`class_names` is 3"):
        load_data(write_function(tmp_path, body), seed=0)


def test_names_replace_those_of_a_data_set_that_a_function_returns(tmp_path: Path) -> None:
    body = "from hwnas.data import load_data; return load_data('digits', seed=0)"
    function = write_function(tmp_path, body)
    names = [f"n{number}" for number in range(10)]
    assert load_data({"function": function, "class_names": names}, seed=0).class_names == tuple(names)


# --- files that are none ---


def test_a_pipe_among_images_is_told_and_not_waited_for(tmp_path: Path) -> None:
    write_images(tmp_path)
    os.mkfifo(tmp_path / "class0" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png: the image cannot be read \(it is a FIFO"):
        load_data({"name": "images", "path": str(tmp_path), "resolution": 4}, seed=0)


def test_a_pipe_in_place_of_an_archive_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cifar10_jpeg.npz")
    with pytest.raises(DataError, match="it is a FIFO"):
        load_data({"name": "cifar10", "path": str(tmp_path / "cifar10_jpeg.npz")}, seed=0)


@pytest.mark.parametrize("odd", [np.int64(3), np.array(["a"]), np.zeros((2, 2), np.int64), np.array([0.5])], ids=str)
def test_labels_of_another_form_are_refused(odd: Any, tmp_path: Path) -> None:
    names = ("jpeg_train", "offset_train", "jpeg_test", "offset_test", "y_train")
    bytes_, offsets = np.zeros(2, np.uint8), np.array([0, 2])
    arrays = dict(zip(names, (bytes_, offsets, bytes_, offsets, np.zeros(1, np.int64)), strict=True))
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays, y_test=odd, class_names=np.array(["one", "two"]))
    with pytest.raises(DataError, match="y_test is no list of whole numbers"):
        load_data({"name": "cifar10", "path": str(tmp_path / "cifar10_jpeg.npz")}, seed=0)
