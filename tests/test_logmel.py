"""The log-mel front end: equal to what SciPy and the formulas give, in the reader and in the network's file alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import rfft, rfftfreq
from scipy.signal.windows import hann
from torch.testing import assert_close

from hwnas import lower, parse_space
from hwnas.data import load_data
from hwnas.errors import SpaceError
from hwnas.ops.logmel import LogMel
from hwnas.supernet import Supernet
from tests.helpers.data_files import RATE, write_wav


def reference(sound: np.ndarray[Any, Any], rate: int, mels: int, window: int, hop: int, low: float, high: float) -> Any:
    """Power by SciPy's transform, bands by interpolation between the corners of each triangle."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, window, -1)[..., ::hop, :]
    power = np.abs(rfft(frames * hann(window, sym=False))) ** 2
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), mels + 2)
    corners = 700 * (10 ** (mel / 2595) - 1)
    bands = np.stack([np.interp(rfftfreq(window, 1 / rate), corners[i : i + 3], [0, 1, 0]) for i in range(mels)])
    return np.log(power @ bands.T + 1e-6)


FORMS: list[dict[str, Any]] = [
    {"rate": 16000, "mels": 10, "window_ms": 30.0, "hop_ms": 20.0},
    {"rate": 16000, "mels": 40, "window_ms": 40.0, "hop_ms": 10.0, "low_hz": 80.0, "high_hz": 7600.0},
    {"rate": 8000, "mels": 20, "window_ms": 32.0, "hop_ms": 16.0, "low_hz": 0.0},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_what_scipy_gives(form: dict[str, Any]) -> None:
    operator = LogMel(2, 2, **form)
    rng = np.random.default_rng(0)
    time = np.arange(operator.rate) / operator.rate
    sound = np.stack(
        [rng.normal(0, 0.1, len(time)), np.sin(2 * np.pi * 440 * time**2) + rng.normal(0, 0.01, len(time))]
    )
    window, hop = (round(operator.rate * ms / 1000) for ms in (operator.window_ms, operator.hop_ms))
    expected = reference(sound, operator.rate, operator.mels, window, hop, operator.low_hz, operator.top_hz)
    found = operator.module()(torch.from_numpy(sound).float()[None])[0]
    assert found.shape == (2, 1 + (len(time) - window) // hop, operator.mels)
    assert_close(found.double(), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


def test_as_a_signal_it_has_a_channel_for_each_band() -> None:
    sound = torch.randn(3, 2, 400)
    image, signal = (LogMel(2, width, 1000, 6).module()(sound) for width in (2, 12))
    assert_close(signal, image.transpose(2, 3).reshape(3, 12, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out_channels": 3}, "the width is 3"),
        ({"rate": 0}, "`rate` is 0"),
        ({"mels": 2.5}, r"`mels` is 2\.5"),
        ({"window_ms": "long"}, "`window_ms` is 'long'"),
        ({"high_hz": 600.0}, "the band is 20 to 600 Hz at 1000 Hz"),
        ({"hop_ms": 0.1}, "a hop 0"),
        ({"mels": 40, "out_channels": 1}, "of 40 bands hold no line of the spectrum"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        LogMel(**{"in_channels": 1, "out_channels": 1, "rate": 1000, "mels": 6, **change})
    assert all((caught.value.where, caught.value.allowed, caught.value.do))


def test_a_network_that_takes_samples_gives_what_one_of_spectrograms_gives(tmp_path: Path) -> None:
    """The same weights behind the front end, with the spectrograms of the reader."""
    front = {"mels": 6, "low_hz": 0.0}
    head = [{"name": "stem", "op": "conv", "width": 8}, {"name": "head", "op": "classifier"}]
    samples = parse_space(
        {
            "name": "samples", "input": {"shape": [1, 200]}, "classes": 3,
            "stages": [{"name": "front", "op": "logmel", "width": 1, "rate": RATE, **front}, *head],
        },
        where="test",
    )  # fmt: skip
    spectra = parse_space(
        {"name": "spectra", "input": {"shape": [1, 9, 6]}, "classes": 3, "stages": head}, where="test"
    )
    sounds = load_data({"name": "wav", "path": str(write_wav(tmp_path))}, seed=0).test
    pictures = load_data({"name": "wav", "path": str(tmp_path), "log_mel": front}, seed=0).test
    torch.manual_seed(0)
    whole, rest = (Supernet(space) for space in (samples, spectra))
    whole.load_state_dict(rest.state_dict())
    raw = sounds.every() * sounds.std + sounds.mean
    expected = rest.eval()(pictures.every() * pictures.std + pictures.mean, lower(spectra, spectra.smallest()))
    assert_close(whole.eval()(raw, lower(samples, samples.smallest())), expected, atol=1e-4, rtol=1e-4)
