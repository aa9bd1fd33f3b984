"""Synthetic speech: ten spoken words, other words and silence, said by espeak-ng (Debian) and mixed with noise.

Every clip is one second at 16 kHz; a network sees 49 frames of 40 ms, 20 ms apart, in 10 log-mel bands. The voices of a
split speak in no other split, nor do their siblings (`Gene2` of `Gene`). All of it follows from `SEED` and from
espeak-ng's version, and is kept in the cache once it is made. Nobody's voice was recorded: figures on these clips say
nothing of how well a network hears people.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hwnas.data.cache import Arrays, cached_arrays
from hwnas.errors import DataError

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
OTHERS = (
    "bed", "bird", "cat", "dog", "eight", "five", "four", "happy", "house", "learn", "marvin", "nine", "one",
    "seven", "sheila", "six", "three", "tree", "two", "wow", "zero",
)  # fmt: skip
CLASSES = (*WORDS, "other", "silence")
VOICES = {
    "train": (
        "m1 m2 m3 m4 m5 f1 f2 f3 Alex Alicia Andrea Andy antonio belinda benjamin boris david Denis ed edward edward2 "
        "Gene Gene2 Henrique iven iven2 iven3 iven4 Jacky john linda Marco max miguel pablo quincy rob steph steph2 "
        "steph3 victor grandma klatt klatt2 klatt3"
    ),
    "validation": "m6 f4 Annie caleb gustave Lee Mike travis",
    "test": "m7 m8 f5 aunty adam Diogo Hugo kaukovalta marcelo Michael Nguyen robert zac anika grandpa",
}
"""Variants of espeak-ng by split."""
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
CLIPS = {"train": 450, "validation": 60, "test": 120}
"""Utterances of each class by split; training uses each twice, under unlike noise."""
MIXES = {"train": 2, "validation": 1, "test": 1}
RATE, FRAME, HOP, BANDS = 16_000, 640, 320, 10
SNR_DB = (0.0, 20.0)
SEED = 0
VERSION = 1
"""Goes up when the clips change, so that those of an earlier version are not taken from the cache."""

Clip = NDArray[np.float32]


@final
@dataclass(frozen=True)
class Utterance:
    """A word as it is to be said: espeak-ng's voice, words a minute and pitch (0 to 99)."""

    word: str
    voice: str
    speed: int
    pitch: int

    def spoken(self, program: str) -> Clip:
        """Return the samples at 16 kHz, without the silence around them, at most 0.95 s, peak 1."""
        from scipy.signal import resample_poly

        options = ["-v", self.voice, "-s", str(self.speed), "-p", str(self.pitch), "--stdout", self.word]
        wav = subprocess.run([program, *options], check=True, capture_output=True).stdout
        rate = int.from_bytes(wav[24:28], "little")
        samples = np.frombuffer(wav[44 : len(wav) - len(wav) % 2], "<i2").astype(np.float64)
        clip = resample_poly(samples, RATE, rate)
        loud = np.flatnonzero(np.abs(clip) > 0.02 * np.abs(clip).max())
        clip = clip[loud[0] : loud[-1] + 1][: int(0.95 * RATE)]
        return np.asarray(clip / np.abs(clip).max(), np.float32)


def load() -> dict[str, Any]:
    """Return log-mel frames (N, 1, 49, 10) and classes of each split."""
    arrays = cached_arrays(
        "keywords", {"version": VERSION, "espeak": _espeak()[1], "clips": CLIPS}, lambda: make(CLIPS)
    )
    pairs = {split: (arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in VOICES}
    return {**pairs, "class_names": CLASSES}


def make(clips: dict[str, int]) -> Arrays:
    """Return `x_SPLIT` and `y_SPLIT` for so many utterances of each class of each split."""
    program, arrays = _espeak()[0], Arrays()
    for number, (split, count) in enumerate(clips.items()):
        rng = np.random.default_rng([SEED, number])
        utterances, labels = _planned(split, count, rng)
        with ThreadPoolExecutor() as pool:
            spoken = list(pool.map(lambda one: one.spoken(program), utterances))
        silent = [None] * count
        labels = np.repeat([*labels, *[len(CLASSES) - 1] * count], MIXES[split])
        words = [clip for clip in [*spoken, *silent] for _ in range(MIXES[split])]
        mixed = np.stack([_mixed(word, spoken, rng) for word in words])
        arrays[f"x_{split}"], arrays[f"y_{split}"] = log_mel(mixed)[:, None], labels.astype(np.int64)
    return arrays


def _planned(split: str, count: int, rng: np.random.Generator) -> tuple[list[Utterance], list[int]]:
    utterances, labels = list[Utterance](), list[int]()
    for label, words in enumerate([*([word] for word in WORDS), OTHERS]):
        for _ in range(count):
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES[split].split())}"
            utterances.append(Utterance(str(rng.choice(words)), voice, int(rng.integers(120, 211)), _pitch(rng)))
            labels.append(label)
    return utterances, labels


def _pitch(rng: np.random.Generator) -> int:
    return int(rng.integers(20, 81))


def _mixed(word: Clip | None, others: Sequence[Clip], rng: np.random.Generator) -> Clip:
    """Return one second with the word somewhere in it, at a level of its own, under one kind of noise."""
    second = np.zeros(RATE, np.float32)
    if word is not None:
        start = int(rng.integers(0, RATE - len(word) + 1))
        second[start : start + len(word)] = word
    noise = _noise(str(rng.choice(["white", "pink", "brown", "hum", "babble"])), others, rng)
    snr = rng.uniform(*SNR_DB)
    power = float(np.square(word).mean()) if word is not None else 0.02
    noise *= np.sqrt(power / max(float(np.square(noise).mean()), 1e-9) / 10 ** (snr / 10))
    return np.asarray((second + noise) * 10 ** (rng.uniform(-20, 0) / 20), np.float32)


def _noise(kind: str, others: Sequence[Clip], rng: np.random.Generator) -> Clip:
    """Return a second of noise: coloured, of the mains, or of five voices of the same split at once."""
    if kind == "babble":
        voices = np.zeros(RATE, np.float32)
        for number in rng.integers(0, len(others), 5):
            voice = others[number]
            voices += np.roll(np.pad(voice, (0, RATE - len(voice))), int(rng.integers(0, RATE)))
        return voices
    if kind == "hum":
        time, mains = np.arange(RATE) / RATE, float(rng.choice([50, 60]))
        tones = [np.sin(2 * np.pi * (mains * n * time + rng.uniform())) / n for n in range(1, 8)]
        return np.asarray(np.sum(tones, axis=0) + 0.1 * rng.standard_normal(RATE), np.float32)
    spectrum = np.fft.rfft(rng.standard_normal(RATE))
    slope = {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind]
    return np.asarray(np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** slope), np.float32)


def log_mel(clips: Clip) -> NDArray[np.float32]:
    """Return (N, 49, 10): the logarithm of the power in each mel band, 60 to 7,600 Hz, of Hann-windowed frames."""
    frames = np.lib.stride_tricks.sliding_window_view(clips, FRAME, axis=1)[:, ::HOP]
    power = np.stack([np.square(np.abs(np.fft.rfft(some * np.hanning(FRAME), 1024))) for some in frames])
    return np.asarray(np.log(power @ _mel_filters() + 1e-6), np.float32)


def _mel_filters() -> NDArray[np.float64]:
    mel = np.linspace(*(1127 * np.log1p(np.array([60.0, 7600.0]) / 700)), BANDS + 2)
    edges, bins = 700 * np.expm1(mel / 1127), np.fft.rfftfreq(1024, 1 / RATE)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)


def _espeak() -> tuple[str, str]:
    """Return the path of espeak-ng and its version."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise DataError(
            "the program `espeak-ng` is not installed",
            where=f"data: {Path(__file__).name}",
            allowed="It says the words that this experiment learns from",
            do="Run: apt-get install espeak-ng",
        )
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return program, version.split("Data at")[0].strip()
