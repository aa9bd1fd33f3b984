"""Augmentations of signals, and which kinds of input have which."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from hwnas.errors import ConfigError
from hwnas.tasks import DEFAULT_TASK
from hwnas.tasks.augmentation import IN_PLACE, augmentations_of
from hwnas.tasks.augmentation.images import AUGMENTATIONS
from hwnas.tasks.augmentation.signals import SIGNAL_AUGMENTATIONS
from hwnas.tasks.regression import Regression
from hwnas.tasks.segmentation import Segmentation

SIGNALS = DEFAULT_TASK.at((3, 64), 4)
RAMP = torch.arange(64.0).expand(200, 3, 64)


def of(kind: str, signals: Tensor = RAMP, seed: int = 0) -> Tensor:
    changed: Tensor = SIGNALS.augment(signals.clone(), torch.Generator().manual_seed(seed), kind)
    return changed


def test_the_rank_of_the_input_decides() -> None:
    assert SIGNALS.augmentations is SIGNAL_AUGMENTATIONS
    assert DEFAULT_TASK.at((3, 8, 8), 4).augmentations is DEFAULT_TASK.augmentations is AUGMENTATIONS
    assert Regression().at((3, 64), 1).augmentations is SIGNAL_AUGMENTATIONS
    assert list(Regression().at((5,), 1).augmentations) == ["none"]
    tokens = Regression().at((3, 64), 1)
    tokens = replace(tokens, inputs=(replace(tokens.inputs[0], dtype="int64"),))
    assert list(tokens.augmentations) == ["none"]


def test_targets_for_each_place_allow_what_moves_nothing() -> None:
    assert tuple(Segmentation().at((3, 64), 4).augmentations) == IN_PLACE
    assert list(Segmentation().at((3, 8, 8), 4).augmentations) == ["none"]
    for name in IN_PLACE[1:]:
        how = SIGNAL_AUGMENTATIONS[name]
        assert (how.shift, how.time_mask) == (0, 0)
    assert set(augmentations_of(2)) == set(SIGNAL_AUGMENTATIONS)


@pytest.mark.parametrize("kind", SIGNAL_AUGMENTATIONS)
def test_chance_is_the_generator(kind: str) -> None:
    state = torch.get_rng_state()
    assert of(kind).shape == RAMP.shape
    assert torch.equal(of(kind), of(kind))
    assert torch.equal(of(kind), of(kind, seed=1)) == (kind == "none")
    assert torch.equal(state, torch.get_rng_state())


def test_a_shift_moves_all_channels_by_up_to_an_eighth_and_repeats_the_border() -> None:
    changed = of("shift")
    assert torch.equal(changed[:, 0], changed[:, 2])
    moves = (changed[:, 0, 32] - 32).int()
    assert set(moves.tolist()) == set(range(-8, 9))
    for signal, move in zip(changed[:, 0], moves.tolist(), strict=True):
        assert torch.equal(signal, (torch.arange(64.0) + move).clamp(0, 63))


def test_a_scale_is_a_factor_for_each_channel() -> None:
    factors = of("scale")[..., 1:] / RAMP[..., 1:]
    assert_close(factors, factors[..., :1].expand_as(factors))
    assert 0.8 <= factors.min() < 0.83
    assert 1.17 < factors.max() <= 1.2
    assert not torch.allclose(factors[:, 0], factors[:, 1])


def test_noise_is_a_tenth_of_a_standard_deviation() -> None:
    noise = of("noise") - RAMP
    assert_close(noise.std(), torch.tensor(0.1), atol=2e-3, rtol=0)
    assert abs(noise.mean()) < 2e-3


def test_a_mask_is_a_stretch_of_the_mean_in_all_channels() -> None:
    hole = of("time_mask", torch.ones(400, 3, 64)) == 0
    assert torch.equal(hole[:, 0], hole[:, 2])
    lengths = hole[:, 0].sum(1)
    assert lengths.max() == 8
    assert lengths.min() >= 4
    assert (hole[:, 0].int().diff().abs().sum(1) <= 2).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown augmentation `time_mark`\. Did you mean `time_mask`"):
        of("time_mark")
