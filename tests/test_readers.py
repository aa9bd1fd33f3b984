"""Arrays, tables, time series and sounds: what is read of them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torch.testing import assert_close

from hwnas.data import Dataset, load_data
from hwnas.data.readers.arrays import Mapped
from hwnas.data.readers.wav import as_samples
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.tasks import DEFAULT_TASK, Task
from hwnas.tasks.regression import Regression
from tests.helpers.data_files import RATE, signals, write_arrays, write_csv, write_sound, write_ts, write_wav

SIGNALS = DEFAULT_TASK.at((2, 20), 3)
TOKENS = DEFAULT_TASK.at((20,), 3)
SPLITS = ("train", "validation", "test")


def raw(dataset: Dataset, split: str = "train") -> torch.Tensor:
    """Inputs of a split before normalisation."""
    one = getattr(dataset, split)
    return one.every() * one.std + one.mean


def load(spec: Any, task: Task = SIGNALS) -> Dataset:
    return load_data(spec, seed=0, task=task)


# --- arrays ---


class TestArrays:
    def test_signals_with_splits_of_their_own(self, tmp_path: Path) -> None:
        x, y = signals()
        path = write_arrays(tmp_path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
        dataset = load({"name": "arrays", "path": str(path)})
        assert [len(getattr(dataset, name)) for name in SPLITS] == [54, 6, 9]
        assert dataset.shape == (2, 20)
        assert dataset.class_names == ("0", "1", "2")
        assert_close(raw(dataset, "test"), torch.from_numpy(x[dataset.test.indices]), atol=1e-5, rtol=0)
        assert dataset.preprocessing["form"] == "channel by channel, (value - mean) / std"
        assert "pixels" not in dataset.preprocessing

    def test_channels_are_normalised_each(self, tmp_path: Path) -> None:
        x, y = signals()
        path = write_arrays(tmp_path, x_train=x * [[[1], [500]]] + [[[3], [-90]]], y_train=y)
        inputs = load({"name": "arrays", "path": str(path), "test": 0.3}).train.every()
        assert_close(inputs.mean((0, 2)), torch.zeros(2), atol=1e-4, rtol=0)
        assert_close(inputs.std((0, 2), correction=0), torch.ones(2), atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"y_train": np.ones((60, 2)), "x_test": np.zeros((3, 1, 4, 4)), "y_test": np.arange(3.0)},
                r"targets of a sample are of shape \(1,\), those for training \(2,\)",
            ),
            ({"y_train": np.arange(60).astype(str)}, "`y_train` holds text"),
        ],
    )
    def test_targets_of_a_regression_are_numbers_of_one_shape(
        self, changes: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match=message):
            load({"name": "arrays", "path": str(write_arrays(tmp_path, **changes))}, Regression())

    def test_channels_of_small_units_are_normalised_and_constant_ones_centred(self, tmp_path: Path) -> None:
        x, y = signals()
        x[:, 1] = 7
        path = write_arrays(tmp_path, x_train=x * 1e-9, y_train=y)
        inputs = load({"name": "arrays", "path": str(path)}).train.every()
        assert float(inputs[:, 0].std(correction=0)) == pytest.approx(1, abs=1e-3)
        assert float(inputs[:, 1].abs().max()) < 1e-6

    @pytest.mark.parametrize("mapping", [False, True])
    def test_npy_files_are_mapped_and_give_what_an_archive_gives(self, mapping: bool, tmp_path: Path) -> None:
        x, y = signals()
        folder = tmp_path / "arrays"
        folder.mkdir()
        for key, array in {"x_train": x.astype(">f8"), "y_train": y, "groups_train": np.arange(60) // 2}.items():
            np.save(folder / f"{key}.npy", array)
        path: Any = {file.stem: str(file) for file in folder.iterdir()} if mapping else str(folder)
        mapped = load({"name": "arrays", "path": path})
        archive = write_arrays(tmp_path, x_train=x, y_train=y, groups_train=np.arange(60) // 2)
        whole = load({"name": "arrays", "path": str(archive)})
        assert isinstance(mapped.train.inputs, Mapped)
        for split in SPLITS:
            one, other = getattr(mapped, split), getattr(whole, split)
            assert torch.equal(one.indices, other.indices)
            assert_close(one.every(), other.every())

    def test_labels_may_be_texts(self, tmp_path: Path) -> None:
        x, y = signals()
        names = np.array(["walk", "run", "sit"])[y]
        dataset = load({"name": "arrays", "path": str(write_arrays(tmp_path, x_train=x, y_train=names))})
        assert dataset.class_names == ("run", "sit", "walk")
        assert [dataset.class_names[i] for i in dataset.test.targets] == names[dataset.test.indices].tolist()

    def test_one_channel_may_lack_its_axis(self, tmp_path: Path) -> None:
        x, y = signals(channels=1)
        path = write_arrays(tmp_path, x_train=x[:, 0], y_train=y)
        assert load({"name": "arrays", "path": str(path)}, DEFAULT_TASK.at((1, 20), 3)).shape == (1, 20)

    def test_tokens_stay_whole_and_are_not_normalised(self, tmp_path: Path) -> None:
        tokens = np.random.default_rng(0).integers(0, 99, (60, 20)).astype(np.int32)
        dataset = load_data({"name": "arrays", "path": str(write_arrays(tmp_path, x_train=tokens))}, seed=0)
        batch = dataset.test.every()
        assert batch.dtype == torch.int64
        assert torch.equal(batch, torch.from_numpy(tokens[dataset.test.indices]).long())
        assert dataset.preprocessing["form"] == "as they are"

    def test_whole_numbers_become_what_networks_take(self, tmp_path: Path) -> None:
        x = np.random.default_rng(0).integers(-99, 99, (60, 20))
        spec = {"name": "arrays", "path": str(write_arrays(tmp_path, x_train=x))}
        assert load(spec, TOKENS).train.every().dtype == torch.float32

    def test_targets_of_a_regression_are_numbers(self, tmp_path: Path) -> None:
        x, y = signals()
        dataset = load(
            {"name": "arrays", "path": str(write_arrays(tmp_path, x_train=x, y_train=y * 1.5))}, Regression()
        )
        assert dataset.train.targets.dtype == torch.float32
        assert dataset.train.targets.shape[1:] == (1,)
        assert (dataset.class_names, dataset.width) == ((), 1)


# --- tables ---


def write_recordings(folder: Path, recordings: int = 6, rows: int = 30, **changes: Any) -> Path:
    """Recordings of one class each, at 50 Hz, by three subjects; `changes` are rates by recording."""
    lines = ["t,ax,ay,label,who,file"]
    for number in range(recordings):
        rate = changes.get(f"rate{number}", 50)
        for row in range(rows):
            lines.append(
                f"{100 + row / rate:.4f},{number + row / 100},{row},{'ab'[number % 2]},s{number // 2},r{number}"
            )
    path = folder / "watch.csv"
    path.write_text("\n".join(lines))
    return path


WATCH: dict[str, Any] = {"name": "csv", "target": "label"}


class TestTables:
    def test_a_sample_is_a_row(self, tmp_path: Path) -> None:
        dataset = load({"name": "csv", "path": str(write_csv(tmp_path)), "target": "class"})
        assert dataset.shape == (2,)
        assert dataset.class_names == ("a", "b", "c")
        values = np.loadtxt(tmp_path / "table.csv", delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.float32)
        assert_close(raw(dataset), torch.from_numpy(values[dataset.train.indices]), atol=1e-5, rtol=0)
        assert dataset.preprocessing["values"]["channels"] == ["one", "two"]

    def test_columns_of_numbers_are_targets_of_a_regression(self, tmp_path: Path) -> None:
        spec = {"name": "csv", "path": str(write_csv(tmp_path)), "target": "two", "features": ["one"]}
        dataset = load(spec, Regression())
        values = np.loadtxt(tmp_path / "table.csv", delimiter=",", skiprows=1, usecols=1, dtype=np.float32)
        assert torch.equal(dataset.test.targets[:, 0], torch.from_numpy(values[dataset.test.indices]))

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_other_separators_and_a_byte_order_mark(self, separator: str, tmp_path: Path) -> None:
        text = write_csv(tmp_path).read_text().replace(",", separator)
        (tmp_path / "table.csv").write_text(text, encoding="utf-8-sig")
        assert load({"name": "csv", "path": str(tmp_path), "target": "class"}).shape == (2,)

    def test_windows_are_consecutive_rows_of_one_recording(self, tmp_path: Path) -> None:
        window = {"length": 10, "step": 5, "time": "t", "recording": "file"}
        spec = {**WATCH, "path": str(write_recordings(tmp_path)), "window": window, "features": ["ax", "ay"]}
        dataset = load({**spec, "group": "who"})
        assert dataset.shape == (2, 10)
        assert sum(len(getattr(dataset, name)) for name in SPLITS) == 6 * 5
        for split in SPLITS:
            inputs, targets = raw(dataset, split), getattr(dataset, split).targets
            recordings = (inputs[:, 0] - inputs[:, 1] / 100).round(decimals=3)
            assert_close(recordings, recordings[:, :1].expand_as(recordings), atol=1e-3, rtol=0)
            assert_close(inputs[:, 1].diff(), torch.ones(len(inputs), 9), atol=1e-3, rtol=0)
            assert torch.equal(recordings[:, 0].round().long() % 2, targets)
        assert dataset.preprocessing["values"]["rate_hz"] == pytest.approx(50, rel=1e-3)
        assert dataset.preprocessing["form"].startswith("take 10 consecutive values; then, channel by channel")

    def test_a_subject_is_in_one_split(self, tmp_path: Path) -> None:
        window = {"length": 10, "step": 5, "recording": "file"}
        spec = {**WATCH, "path": str(write_recordings(tmp_path)), "window": window, "group": "who", "features": ["ax"]}
        subjects = [set((raw(load(spec), split)[:, 0, 0] // 2).int().tolist()) for split in SPLITS]
        assert sorted(map(len, subjects)) == [1, 1, 1]
        assert set.union(*subjects) == {0, 1, 2}

    def test_blanks_around_a_subject_do_not_make_another(self, tmp_path: Path) -> None:
        path = write_recordings(tmp_path)
        lines = path.read_text().splitlines()
        blank = [line.replace(",s0,", ",s0 ,") if at % 2 else line for at, line in enumerate(lines)]
        path.write_text("\n".join(blank))
        assert blank != lines
        window = {"length": 10, "step": 5, "recording": "file"}
        spec = {**WATCH, "path": str(path), "window": window, "group": "who", "features": ["ax"]}
        subjects = [set((raw(load(spec), split)[:, 0, 0] // 2).int().tolist()) for split in SPLITS]
        assert sorted(map(len, subjects)) == [1, 1, 1]

    def test_a_recording_in_pieces_is_in_one_split(self, tmp_path: Path) -> None:
        head, *rows = write_recordings(tmp_path).read_text().splitlines()
        pieces = [rows[first::2] for first in range(2)]  # each recording comes twice
        (tmp_path / "watch.csv").write_text("\n".join([head, *pieces[0], *pieces[1]]))
        window = {"length": 5, "step": 5, "recording": "file"}
        spec = {**WATCH, "path": str(tmp_path / "watch.csv"), "window": window, "features": ["ax", "ay"]}
        recordings = [
            set((raw(load(spec), split)[:, 0, 0] - raw(load(spec), split)[:, 1, 0] / 100).round().int().tolist())
            for split in SPLITS
        ]
        assert sum(map(len, recordings)) == len(set.union(*recordings)) == 6

    def test_windows_that_overlap_are_never_in_two_splits(self, tmp_path: Path) -> None:
        spec = {**WATCH, "path": str(write_recordings(tmp_path, 2, 200)), "window": {"length": 10, "step": 2}}
        dataset = load({**spec, "features": ["ay", "ax"]})
        rows = [
            {(round(float(x[1] - x[0] / 100)), int(x[0].round())) for one in raw(dataset, split) for x in one.T}
            for split in SPLITS
        ]
        assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]
        assert "blocks of 20 rows" in " ".join(dataset.preprocessing["notes"])

    def test_a_gap_ends_a_window(self, tmp_path: Path) -> None:
        lines = write_recordings(tmp_path).read_text().splitlines()
        del lines[15:17]  # of the first recording: rows 14 and 15
        (tmp_path / "watch.csv").write_text("\n".join(lines))
        window = {"length": 7, "step": 7, "time": "t", "recording": "file"}
        dataset = load(
            {**WATCH, "path": str(tmp_path / "watch.csv"), "window": window, "group": "who", "features": ["ay"]}
        )
        for split in SPLITS:
            assert_close(raw(dataset, split).diff(), torch.ones(len(getattr(dataset, split)), 1, 6), atol=1e-3, rtol=0)


# --- time series and sounds ---


class TestTimeSeries:
    def test_training_and_test_files(self, tmp_path: Path) -> None:
        write_ts(tmp_path, "waves_TRAIN.ts")
        write_ts(tmp_path, "waves_TEST.ts", count=12)
        dataset = load({"name": "ts", "path": str(tmp_path)})
        assert dataset.class_names == ("a", "b", "c")
        assert [len(getattr(dataset, name)) for name in SPLITS] == [54, 6, 12]
        expected, labels = signals(12)
        assert_close(raw(dataset, "test"), torch.from_numpy(expected[dataset.test.indices]), atol=1e-3, rtol=0)
        assert torch.equal(dataset.test.targets, torch.from_numpy(labels[dataset.test.indices]))

    def test_unlike_lengths_are_cut_or_continued(self, tmp_path: Path) -> None:
        path = tmp_path / "two.ts"
        rows = ["1,2,3:a", "4,5,6,7,8:b"] * 10
        path.write_text("\n".join(["@classLabel true a b", "@data", *rows]))
        dataset = load({"name": "ts", "path": str(path), "length": 4})
        assert {tuple(row.round().int().tolist()) for row in raw(dataset)[:, 0]} == {(1, 2, 3, 3), (4, 5, 6, 7)}
        assert "series of 3 to 5 values are cut or continued to 4" in dataset.preprocessing["notes"]

    def test_numbers_are_targets_of_a_regression(self, tmp_path: Path) -> None:
        path = tmp_path / "numbers.ts"
        path.write_text("\n".join(["@targetlabel true", "@data", *(f"1,{i}:{i / 2}" for i in range(20))]))
        dataset = load({"name": "ts", "path": str(path)}, Regression())
        assert_close(dataset.test.targets[:, 0], raw(dataset, "test")[:, 0, 1] / 2, atol=1e-4, rtol=0)


class TestSounds:
    @pytest.mark.parametrize("bytes_each", [1, 2, 3, 4])
    def test_samples_of_every_width(self, bytes_each: int, tmp_path: Path) -> None:
        wanted = np.stack([np.linspace(-1, 1, 50), np.linspace(0.5, -0.5, 50)])
        for name in ("a", "b"):
            for i in range(8):
                write_sound(tmp_path / name / f"{i}.wav", wanted, bytes_each=bytes_each)
        dataset = load({"name": "wav", "path": str(tmp_path)})
        assert dataset.shape == (2, 50)
        assert_close(
            raw(dataset)[0].double(), torch.from_numpy(wanted), atol=2.1 / (1 << (8 * bytes_each - 1)) + 1e-6, rtol=0
        )
        assert dataset.preprocessing["values"] == {"range": [-1.0, 1.0], "rate_hz": RATE}
        steps = [{"step": "subtract", "by": 128}] if bytes_each == 1 else []
        wanted_steps = [*steps, {"step": "divide", "by": 1 << (8 * bytes_each - 1)}]
        assert dataset.preprocessing["steps"][: len(wanted_steps)] == wanted_steps

    def test_the_lowest_number_is_minus_one(self) -> None:
        assert as_samples(b"\x00\x80\xff\x7f", 1, 2).tolist() == [[-1.0, pytest.approx(1, abs=1e-4)]]

    def test_a_spectrogram_is_what_the_operator_gives_of_the_samples(self, tmp_path: Path) -> None:
        from hwnas.ops.logmel import LogMel

        settings = {"mels": 6, "window_ms": 40, "hop_ms": 20, "low_hz": 0}
        folder = str(write_wav(tmp_path))
        sounds, spectra = (
            load({"name": "wav", "path": folder}),
            load({"name": "wav", "path": folder, "log_mel": settings}),
        )
        assert spectra.shape == (1, 9, 6)
        expected = LogMel(1, 1, RATE, **settings).module()(raw(sounds, "test"))  # type: ignore[arg-type]
        assert_close(raw(spectra, "test"), expected, atol=1e-3, rtol=1e-3)
        assert "log-mel spectrogram, 9x6 (frames x bands)" in spectra.preprocessing["form"]
        assert spectra.preprocessing["steps"][1] == {
            "step": "log_mel",
            "size": [9, 6],
            "rate": RATE,
            "high_hz": 0.0,
            **settings,
        }

    def test_a_speaker_is_in_one_split(self, tmp_path: Path) -> None:
        dataset = load({"name": "wav", "path": str(write_wav(tmp_path)), "group": "_"})
        files = sorted(path for path in tmp_path.rglob("*.wav"))
        speakers = [{files[i].name.partition("_")[0] for i in getattr(dataset, split).indices} for split in SPLITS]
        assert sum(map(len, speakers)) == len(set.union(*speakers)) == 10

    def test_unlike_lengths_end_in_silence(self, tmp_path: Path) -> None:
        write_sound(write_wav(tmp_path) / "tone0" / "short.wav", np.full(50, 0.5))
        dataset = load({"name": "wav", "path": str(tmp_path), "length": 80})
        short = torch.cat([raw(dataset, split) for split in SPLITS])
        assert any(
            torch.allclose(one[0, :50], torch.tensor(0.5), atol=1e-3) and not one[0, 50:].abs().max() > 1e-3
            for one in short
        )
        assert "sounds of 50 to 200 samples are cut or continued to 80" in dataset.preprocessing["notes"]

    def test_a_truncated_file_is_named_and_left_out(self, tmp_path: Path) -> None:
        file = write_wav(tmp_path) / "tone0" / "s0_00.wav"
        file.write_bytes(file.read_bytes()[:100])
        dataset = load({"name": "wav", "path": str(tmp_path)})
        assert sum(len(getattr(dataset, split)) for split in SPLITS) == 29
        assert "1 of 30 sounds" in dataset.preprocessing["notes"][0]
        assert "tone0/s0_00.wav" in dataset.preprocessing["notes"][0]


# --- images of unlike forms ---


class TestImages:
    def write(self, folder: Path) -> Path:
        rng = np.random.default_rng(0)
        for i in range(30):
            grey, (height, width) = i % 5 == 0, [(20, 30), (8, 8), (40, 12)][i % 3]
            pixels = rng.integers(0, 256, (height, width) if grey else (height, width, 3)).astype(np.uint8)
            place = folder / "ab"[i % 2]
            place.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(place / f"{i:02}.png")
        return folder

    @pytest.mark.parametrize("cached", [True, False])
    def test_what_is_done_to_them_is_told_once(
        self, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hwnas.data import source

        monkeypatch.setattr(source, "CACHE_BYTES", 2**30 if cached else 10)
        dataset = load({"name": "images", "path": str(self.write(tmp_path)), "resolution": 8}, DEFAULT_TASK)
        sizes, colours = dataset.preprocessing["notes"]
        assert sizes.startswith("images have 3 sizes, 8x8 to 20x30 (height x width): the largest centred square")
        assert colours == "6 images of 30 are grey, the others coloured: all become RGB"

    @pytest.mark.parametrize("cached", [True, False])
    def test_a_damaged_one_is_named_and_left_out(
        self, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hwnas.data import source

        monkeypatch.setattr(source, "CACHE_BYTES", 2**30 if cached else 10)
        file = self.write(tmp_path) / "a" / "02.png"
        file.write_bytes(file.read_bytes()[:60])
        dataset = load({"name": "images", "path": str(tmp_path), "resolution": 8}, DEFAULT_TASK)
        assert sum(len(getattr(dataset, split)) for split in SPLITS) == 29
        assert "1 of 30 images" in dataset.preprocessing["notes"][-1]
        assert "a/02.png" in dataset.preprocessing["notes"][-1]

    def test_height_and_width_may_differ(self, tmp_path: Path) -> None:
        dataset = load({"name": "images", "path": str(self.write(tmp_path)), "resolution": [6, 9]}, DEFAULT_TASK)
        assert dataset.shape == (3, 6, 9)
        assert (
            "crop to the largest centred part of these proportions and resize to 6x9" in dataset.preprocessing["form"]
        )

    def test_arrays_of_images_are_cut_to_the_proportions(self, tmp_path: Path) -> None:
        ramp = np.broadcast_to(np.arange(12, dtype=np.float32), (60, 1, 6, 12)).copy()
        path = write_arrays(tmp_path, x_train=ramp)
        whole = load({"name": "arrays", "path": str(path)}, DEFAULT_TASK)
        assert whole.shape == (1, 6, 12)
        small = load({"name": "arrays", "path": str(path), "resolution": [3, 2]}, DEFAULT_TASK)
        middle = torch.arange(4.0, 8).expand(1, 1, 6, 4)  # columns 4 to 7
        expected = interpolate(middle, (3, 2), mode="bilinear", antialias=True)[0]
        assert_close(raw(small)[0], expected, atol=1e-4, rtol=0)
        assert small.preprocessing["steps"][0] == {"step": "crop", "size": [6, 4]}


# --- what is refused ---


def arrays_with(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "arrays", "path": str(write_arrays(folder, **changes))}


def npy_with(folder: Path, array: Any) -> dict[str, Any]:
    np.save(folder / "x_train.npy", array)
    np.save(folder / "y_train.npy", np.arange(len(array)) % 3)
    return {"name": "arrays", "path": str(folder)}


def table(folder: Path, text: str, **options: Any) -> dict[str, Any]:
    (folder / "table.csv").write_text(text)
    return {"name": "csv", "path": str(folder / "table.csv"), "target": "class", **options}


def watch(folder: Path, window: Any, **changes: Any) -> dict[str, Any]:
    return {**WATCH, "path": str(write_recordings(folder, **changes)), "window": window, "features": ["ax"]}


def series(folder: Path, *lines: str, **options: Any) -> dict[str, Any]:
    (folder / "made.ts").write_text("\n".join(lines))
    return {"name": "ts", "path": str(folder / "made.ts"), **options}


def sounds(folder: Path, change: Callable[[Path], Any] = lambda folder: None, **options: Any) -> dict[str, Any]:
    change(write_wav(folder))
    return {"name": "wav", "path": str(folder), **options}


def cut_all(folder: Path) -> None:
    for file in (folder / "tone1").iterdir():
        file.write_bytes(file.read_bytes()[:100])


NANS = np.where(np.arange(60)[:, None, None, None] < 2, np.nan, 1.0) * np.ones((60, 1, 4, 4))
HEAD, ROWS = "one,two,class", ["1,2,a", "3,4,b"] * 10
LABELS = "@classLabel true a b"

REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no x_train": (lambda f: arrays_with(f, x_train=None, X_train=np.zeros(3)), "no array `x_train` and has `X_train`"),
    "no y_test": (lambda f: arrays_with(f, x_test=np.zeros((3, 1, 4, 4))), "there is no array `y_test`"),
    "labels without inputs": (lambda f: arrays_with(f, y_test=np.zeros(3)), "there is no array `x_test`"),
    "misspelt": (
        lambda f: arrays_with(f, x_tst=np.zeros(3)), r"there is an array `x_tst`\. Did you mean `x_test`",
    ),
    "groups of one split": (
        lambda f: arrays_with(f, groups_train=np.arange(60), x_test=np.zeros((3, 1, 4, 4)), y_test=np.arange(3)),
        "some splits have groups and others have none",
    ),
    "labels of another length": (
        lambda f: arrays_with(f, y_train=np.arange(59) % 3), "there are 59 labels for 60 images",
    ),
    "groups of another length": (
        lambda f: arrays_with(f, groups_train=np.arange(9)), r"there are groups of shape \(9,\) for 60 images",
    ),
    "groups in a column": (
        lambda f: arrays_with(f, groups_train=np.arange(60)[:, None] // 6), r"groups of shape \(60, 1\) for 60 images",
    ),
    "a group in two splits": (
        lambda f: arrays_with(
            f, groups_train=np.arange(60), groups_test=np.arange(3), x_test=np.zeros((3, 1, 4, 4)), y_test=np.arange(3)
        ),
        "the group `0` is in `train` and in `test`",
    ),
    "NaN": (lambda f: arrays_with(f, x_train=NANS), "2 of 60 images hold NaN or infinity"),
    "NaN in a mapped file": (lambda f: npy_with(f, NANS), "2 of 60 images hold NaN or infinity"),
    "one class": (lambda f: arrays_with(f, y_train=np.zeros(60, int)), "are of one class, `0`"),
    "labels with fractions": (lambda f: arrays_with(f, y_train=np.linspace(0, 1, 60)), r"labels are torch\.float64"),
    "no labels": (lambda f: arrays_with(f, x_train=np.zeros((0, 1, 4, 4)), y_train=np.zeros(0, int)), "there are 0 "),
    "objects": (
        lambda f: arrays_with(f, x_train=np.array([[1], [2, 3]], dtype=object)), "the file holds pickled objects",
    ),
    "objects in a mapped file": (
        lambda f: npy_with(f, np.array([[1], [2, 3]], dtype=object)), "the file holds pickled objects",
    ),
    "complex numbers": (lambda f: arrays_with(f, x_train=np.zeros((60, 4), complex)), "the array is complex128"),
    "no archive": (lambda f: {"name": "arrays", "path": str(write_csv(f))}, "the file cannot be read"),
    "an empty archive": (
        lambda f: (f / "a.npz").write_bytes(b"") or {"name": "arrays", "path": str(f / "a.npz")},
        "the file cannot be read",
    ),
    "path is a number": (lambda f: {"name": "arrays", "path": 3}, "`path` is 3"),
    "an unknown array": (
        lambda f: {"name": "arrays", "path": {"x_trian": "a.npy"}}, r"unknown array `x_trian`\. Did you mean `x_train`",
    ),
    "an array of a number": (lambda f: {"name": "arrays", "path": {"x_train": 3}}, "`x_train` is 3"),
    "an empty folder": (lambda f: {"name": "arrays", "path": str(f)}, "there is no array `x_train`"),
    "unknown column": (
        lambda f: table(f, "\n".join([HEAD, *ROWS]), target="clas"),
        r"there is no column `clas`\. Did you mean `class`",
    ),
    "no features": (lambda f: table(f, "class\na\nb\n"), "there is no column for the inputs"),
    "an empty table": (lambda f: table(f, ""), r"table\.csv:1: the file is empty"),
    "a table of names": (lambda f: table(f, HEAD), "the file holds no rows"),
    "a short row": (lambda f: table(f, "\n".join([HEAD, "1,2,a", "1,a"])), r"table\.csv:3: there are 2 cells for 3"),
    "two columns of a name": (lambda f: table(f, "a,a,class\n1,2,x\n"), "two columns are called `a`"),
    "text in a feature": (
        lambda f: table(f, "\n".join([HEAD, *ROWS, "1,high,a"])),
        r"table\.csv:22: the feature column `two` holds text, `high`",
    ),
    "an empty cell": (
        lambda f: table(f, "\n".join([HEAD, *ROWS, "1,,a"])), "1 of 21 cells of the feature column `two` are empty",
    ),
    "NaN in a table": (
        lambda f: table(f, "\n".join([HEAD, *ROWS, "1,nan,a"])),
        "1 of 21 rows of the feature column `two` hold NaN",
    ),
    "a row without a class": (
        lambda f: table(f, "\n".join([HEAD, *ROWS, "1,2,"])), "1 of 21 cells of the target column `class` are empty",
    ),
    "a table of one class": (lambda f: table(f, "\n".join([HEAD, *["1,2,a"] * 9])), "are of one class, `a`"),
    "a target of numbers": (
        lambda f: table(f, "\n".join(["one,class", *(f"{i},{i}.5" for i in range(9))])),
        "the target column `class` holds 9 numbers such as `0.5`.*`task: regression`",
    ),
    "a window longer than a recording": (
        lambda f: watch(f, {"length": 31, "recording": "file"}), "the window has 31 rows, `r0` has 30",
    ),
    "sampling rates that differ": (
        lambda f: watch(f, {"length": 10, "time": "t", "recording": "file"}, rate3=100),
        "sampling rates differ: `r3` has 100 Hz, `r0` 50 Hz",
    ),
    "another sampling rate": (
        lambda f: watch(f, {"length": 10, "time": "t", "recording": "file", "rate": 25}),
        "sampling rates differ: `r0` has 50 Hz, the option `rate` 25 Hz",
    ),
    "recordings that are not told apart": (
        lambda f: watch(f, {"length": 10, "time": "t"}), "the time does not rise from row 30 to row 31",
    ),
    "an odd window": (lambda f: watch(f, {"lenght": 10}), r"unknown key `lenght`\. Did you mean `length`"),
    "a window of none": (lambda f: watch(f, 0), "`length` is 0"),
    "a window of text": (lambda f: watch(f, {"length": 9, "time": 4}), "`time` is 4"),
    "an empty series file": (lambda f: series(f, ""), "the file"),
    "no series": (lambda f: series(f, LABELS, "@data"), "the file holds no series"),
    "no @data": (lambda f: series(f, LABELS, "1,2:a"), "there is a series before `@data`"),
    "time stamps": (lambda f: series(f, "@timeStamps true", LABELS, "@data", "(0,1):a"), "the series have time stamps"),
    "no class": (lambda f: series(f, "@classLabel false", "@data", "1,2"), "the series have no target"),
    "a series without a class": (lambda f: series(f, LABELS, "@data", "1,2:a", "1,2"), "made.ts:4: the series has no"),
    "text in a series": (lambda f: series(f, LABELS, "@data", "1,x:a"), "a value is no number"),
    "a missing value": (lambda f: series(f, LABELS, "@data", "1,?:a"), "1 of 2 values of a series hold NaN"),
    "dimensions that differ": (
        lambda f: series(f, LABELS, "@data", "1,2:1,2:a", "1,2:b"), "the series has 1 dimensions of 2 values",
    ),
    "lengths that differ": (
        lambda f: series(f, LABELS, "@data", "1,2:a", "1,2,3:b"), r"made\.ts:4: series have 2 to 3 values.*Set `le",
    ),
    "a length of none": (lambda f: series(f, LABELS, "@data", "1,2:a", length=0), "`length` is 0"),
    "a class of the test alone": (
        lambda f: (
            write_ts(f, "a_TRAIN.ts") and (f / "a_TEST.ts").write_text("@data\n" + "1,2:1,2:z\n")
            and {"name": "ts", "path": str(f), "length": 20}
        ),
        "the class `z` is in one split and not in the training split",
    ),
    "sounds of another rate": (
        lambda f: sounds(f, lambda d: write_sound(d / "tone2" / "z.wav", np.zeros(200), rate=2000)),
        "sampling rates differ: this sound has 2,000 Hz",
    ),
    "another rate than is said": (lambda f: sounds(f, rate=8000), "1,000 Hz, the option `rate` is 8,000"),
    "sounds of another length": (
        lambda f: sounds(f, lambda d: write_sound(d / "tone2" / "z.wav", np.zeros(90))),
        "sounds have 90 to 200 samples.*Set `length`",
    ),
    "a stereo sound": (
        lambda f: sounds(f, lambda d: write_sound(d / "tone2" / "z.wav", np.zeros((2, 200)))),
        "this sound has 2 channels of 16 bits",
    ),
    "a class of truncated sounds": (
        lambda f: sounds(f, cut_all), r"tone1/s0_01\.wav: 10 of 30 sounds cannot be read.*it ends after",
    ),
    "a class without sounds": (
        lambda f: sounds(f, lambda d: (d / "tone3").mkdir()), "the class `tone3` has no sounds",
    ),
    "a front end's unknown key": (
        lambda f: sounds(f, log_mel={"mel": 9}), r"unknown key `mel`\. Did you mean `mels`",
    ),
    "a band above half the rate": (lambda f: sounds(f, log_mel={"high_hz": 900}), "is 20 to 900 Hz at 1000 Hz"),
    "a window longer than a sound": (
        lambda f: sounds(f, log_mel={"mels": 4, "window_ms": 300}), "the window has 300 samples, a sound has 200",
    ),
    "a speaker of no name": (lambda f: sounds(f, group=""), "`group` is ''"),
}  # fmt: skip


@pytest.mark.parametrize(("prepare", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused(prepare: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        load_data(prepare(tmp_path), seed=0)
    error = caught.value
    assert isinstance(error, HwnasError)
    assert all((error.met, error.where, error.allowed, error.do)), "four parts"
    assert not any(part.endswith(".") for part in (error.met, error.allowed, error.do))


def test_text_is_no_target_of_a_regression(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table\.csv:2: the target column `class` holds text, `a`"):
        load({"name": "csv", "path": str(write_csv(tmp_path)), "target": "class"}, Regression())
    with pytest.raises(DataError, match=r"waves\.ts:5: the target is text, `a`"):
        load({"name": "ts", "path": str(write_ts(tmp_path))}, Regression())
    with pytest.raises(DataError, match="targets are torch"):
        load({"name": "arrays", "path": str(write_arrays(tmp_path, y_train=np.zeros(60, bool)))}, Regression())
