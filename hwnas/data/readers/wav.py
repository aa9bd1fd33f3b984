"""A folder of sounds: `root/CLASS/*.wav`, or `root/train/CLASS/*.wav` with `validation` and `test` beside it."""

from __future__ import annotations

import inspect
import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from hwnas.data.class_folders import ClassFiles, files_by_class, unreadable, without_unreadable
from hwnas.data.facts import Raw, Step
from hwnas.data.source import Decoded, Inputs, Pool, Source, SplitName
from hwnas.data.spec import check_count
from hwnas.errors import ConfigError, DataError, SpaceError, did_you_mean
from hwnas.io.regular import read_regular
from hwnas.ops.logmel import LogMel

UNSIGNED_ZERO = 128
"""Silence in samples of 8 bits, which have no sign."""
_SETTINGS = tuple(inspect.signature(LogMel).parameters)[3:]  # after the channels and the rate


def read(
    base: Path,
    *,
    path: str,
    length: int | None = None,
    rate: int | None = None,
    log_mel: Mapping[str, Any] | None = None,
    group: str | None = None,
) -> Source:
    """Read sounds as (channels, samples) from -1 to 1, or as log-mel spectrograms (channels, frames, mels).

    Args:
        path: the folder.
        length: cut longer sounds to this many samples at their end, and add silence to shorter ones; without it all
            have one length.
        rate: sampling rate in Hz that all files must have; without it, that of the first one.
        log_mel: settings of the operator `logmel` but `rate`; without them samples are read.
        group: text in file names: those that are the same up to there are of one speaker, or another group.

    Raises:
        ConfigError: a setting that is unknown or out of range.
        DataError: files are missing, of unlike rates, channels or lengths, or too many of them are damaged.
    """
    _check(length, rate, group)
    names, splits = files_by_class(path, base, what="sounds", suffixes={".wav"})
    notes: tuple[str, ...] = ()
    heads: list[_Head] = []
    for split, files in splits.items():
        splits[split], found, left_out = without_unreadable(files, _head, what="sounds")
        heads += found
        notes += left_out
    form = _form(heads, [file for files in splits.values() for file in files.files], rate, length)
    front = None if log_mel is None else _spectrogram(form, log_mel)
    lengths = sorted({head.samples for head in heads})
    steps: list[Step] = [{"step": "subtract", "by": UNSIGNED_ZERO}] if form.bytes_each == 1 else []
    steps.append({"step": "divide", "by": form.full_scale})
    if lengths != [form.samples]:
        steps.append({"step": "length", "length": form.samples, "with": 0})
        notes = (f"sounds of {lengths[0]} to {lengths[-1]} samples are cut or continued to {form.samples}", *notes)
    if front is not None:
        steps.append({"step": "log_mel", "size": list(front.shape[1:]), **front.settings})
    pools: dict[SplitName, Pool] = {split: _pool(files, form, front, group) for split, files in splits.items()}
    order = "classes by name, and the files of each class by path"
    raw = Raw(span=(-1.0, 1.0), steps=tuple(steps), order=order, rate_hz=float(form.rate), notes=notes)
    return Source(names, pools, raw)


@final
@dataclass(frozen=True)
class _Head:
    """Form of a sound."""

    rate: int
    channels: int
    samples: int
    bytes_each: int

    @property
    def full_scale(self) -> int:
        return 1 << (8 * self.bytes_each - 1)


@final
@dataclass(frozen=True, eq=False)
class _Front:
    """Front end that turns a sound into its spectrogram."""

    operator: LogMel
    shape: tuple[int, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return {key: value for key, value in self.operator.knobs.items() if key in (*_SETTINGS, "rate")}


def _check(length: object, rate: object, group: object) -> None:
    check_count("length", length)
    check_count("rate", rate)
    if group is not None and (not isinstance(group, str) or not group):
        raise ConfigError(
            f"`group` is {group!r}",
            where="data",
            allowed="`group` is a text in file names, such as `_nohash_`",
            do="Correct it",
        )


def _opened(file: Path) -> tuple[_Head, bytes]:
    content = read_regular(file)
    try:
        with wave.open(io.BytesIO(content)) as sound:
            head = _Head(sound.getframerate(), sound.getnchannels(), sound.getnframes(), sound.getsampwidth())
            frames = sound.readframes(head.samples)
    except (wave.Error, EOFError) as error:
        why = "it is damaged, or no WAV file of whole numbers" if content else "it is empty"
        raise unreadable(error, file, what="sounds", why=why) from error
    read = len(frames) // (head.channels * head.bytes_each)
    if read != head.samples or not read:
        why = f"it ends after {read:,} of {head.samples:,} samples" if head.samples else "it holds no samples"
        raise unreadable(ValueError(), file, what="sounds", why=why)
    return head, frames


def _head(file: Path) -> _Head:
    return _opened(file)[0]


def _form(heads: list[_Head], files: list[Path], rate: int | None, length: int | None) -> _Head:
    """Return the form that all sounds have, or are brought to."""
    first = heads[0]
    for head, file in zip(heads, files, strict=True):
        if head.rate != (rate or first.rate):
            of = "the option `rate` is" if rate else f"{files[0].name} has"
            raise DataError(
                f"sampling rates differ: this sound has {head.rate:,} Hz, {of} {rate or first.rate:,} Hz",
                where=str(file),
                allowed="All sounds have one sampling rate",
                do="Resample them to one rate",
            )
        if (head.channels, head.bytes_each) != (first.channels, first.bytes_each):
            own, other = (f"{one.channels} channels of {8 * one.bytes_each} bits" for one in (head, first))
            raise DataError(
                f"this sound has {own}, {files[0].name} {other}",
                where=str(file),
                allowed="All sounds have as many channels and bits",
                do="Convert them to one form",
            )
    lengths = {head.samples for head in heads}
    if length is None and len(lengths) > 1:
        raise DataError(
            f"sounds have {min(lengths):,} to {max(lengths):,} samples",
            where=str(files[0].parent.parent),
            allowed="All sounds have one length, unless the option `length` is set",
            do=f"Set `length`, to {max(lengths)} for example: longer ones are cut, shorter ones end in silence",
        )
    return _Head(first.rate, first.channels, length or first.samples, first.bytes_each)


def _spectrogram(form: _Head, settings: Mapping[str, Any]) -> _Front:
    where = "data: log_mel"
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"`log_mel` is {settings!r}",
            where="data",
            allowed=f"It maps {', '.join(_SETTINGS)} to values",
            do="Correct it",
        )
    for key in settings:
        if key not in _SETTINGS:
            raise ConfigError(
                f"unknown key `{key}`", where=where, allowed=did_you_mean(str(key), _SETTINGS), do="Correct it"
            )
    try:
        operator = LogMel(form.channels, form.channels, form.rate, **settings)
    except SpaceError as error:
        raise ConfigError(error.met, where=where, allowed=error.allowed, do=error.do) from error
    if (window := round(form.rate * operator.window_ms / 1000)) > form.samples:
        raise DataError(
            f"the window has {window:,} samples, a sound has {form.samples:,}",
            where=where,
            allowed="A window fits into each sound",
            do="Use a smaller `window_ms`, or a larger `length`",
        )
    with torch.no_grad():
        shape = operator.module()(torch.zeros(1, form.channels, form.samples)).shape[1:]
    return _Front(operator, tuple(shape))


def _pool(files: ClassFiles, form: _Head, front: _Front | None, group: str | None) -> Pool:
    decode = _Decoder(files.files, form, front.operator if front else None)
    inputs: Inputs = Decoded(
        len(files.files), front.shape if front else (form.channels, form.samples), decode, torch.float32
    )
    groups = None if group is None else np.array([file.name.partition(group)[0] for file in files.files])
    return Pool(inputs, files.labels, str(files.folder), groups)


class _Decoder:
    """Number of a sound -> its samples or its spectrogram."""

    def __init__(self, files: tuple[Path, ...], form: _Head, operator: LogMel | None) -> None:
        self.files, self.form = files, form
        self.front = None if operator is None else operator.module().eval()

    def __call__(self, index: int) -> Tensor:
        _, frames = _opened(self.files[index])
        samples = as_samples(frames, self.form.channels, self.form.bytes_each)[:, : self.form.samples]
        padded = np.pad(samples, ((0, 0), (0, self.form.samples - samples.shape[1])))
        sound = torch.from_numpy(padded)
        if self.front is None:
            return sound
        with torch.no_grad():
            return self.front(sound[None])[0]  # type: ignore[no-any-return]


def as_samples(frames: bytes, channels: int, bytes_each: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (channels, samples) from -1 to 1 of the frames of a WAV file: whole numbers of 8, 16, 24 or 32 bits."""
    if bytes_each == 1:
        whole = np.frombuffer(frames, np.uint8).astype(np.int32) - UNSIGNED_ZERO
    elif bytes_each == 3:
        parts = np.frombuffer(frames, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = ((parts[:, 0] << 8) | (parts[:, 1] << 16) | (parts[:, 2] << 24)) >> 8
    else:
        whole = np.frombuffer(frames, f"<i{bytes_each}").astype(np.int32)
    return (whole.reshape(-1, channels).T / (1 << (8 * bytes_each - 1))).astype(np.float32)
