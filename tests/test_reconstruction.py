"""Reconstruction of inputs from boundaries: what a linear attack finds, and how similarity is measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._ridge_attack import RidgeAttack, similarity

RNG = np.random.default_rng(0)
IMAGES = np.clip(RNG.normal(0.5, 0.2, (600, 1, 8, 8)).cumsum(axis=3) / 4, 0, 1)
KNOWN, HELD = IMAGES[:450], IMAGES[450:]


def found(boundary: np.ndarray) -> float:
    attack = RidgeAttack.fitted(boundary[:450], KNOWN)
    return similarity(HELD, attack.invert(boundary[450:])).psnr_db


def test_the_input_itself_is_found_exactly() -> None:
    assert similarity(HELD, HELD) == (float("inf"), 1.0)
    assert found(IMAGES) > 70


def test_what_has_an_inverse_is_found_and_what_is_lost_is_not() -> None:
    turned = IMAGES.reshape(600, 64) @ RNG.normal(0, 1, (64, 64))
    nothing = similarity(HELD, np.broadcast_to(KNOWN.mean(axis=0), HELD.shape)).psnr_db
    by_width = [found(turned[:, :width]) for width in (4, 16, 64)]
    assert nothing < by_width[0] < by_width[1] < by_width[2]
    assert by_width[2] > 50
    assert found(RNG.normal(0, 1, (600, 64))) == pytest.approx(nothing, abs=0.6)


def test_both_systems_give_the_same_map() -> None:
    """That of D by D where there are more samples than numbers, and that of N by N where there are fewer."""
    boundary = RNG.normal(0, 1, (40, 39))
    targets = RNG.random((40, 5))
    wide = np.concatenate([boundary, boundary], axis=1)  # twice the same, so that weights halve
    small = RidgeAttack._at(boundary, targets, 0.02)
    large = RidgeAttack._at(wide, targets, 0.04)
    assert large.invert(wide) == pytest.approx(small.invert(boundary))


def test_similarity_is_that_of_its_definitions() -> None:
    noisy = np.clip(HELD + RNG.normal(0, 0.1, HELD.shape), 0, 1)
    like = similarity(HELD, noisy)
    assert like.psnr_db == pytest.approx(10 * np.log10(1 / ((HELD - noisy) ** 2).mean()))
    assert like.ssim is not None
    assert 0 < like.ssim < 1
    ones, halves = np.ones((1, 1, 7, 7)), np.full((1, 1, 7, 7), 0.5)
    assert similarity(ones, halves).ssim == pytest.approx((2 * 0.5 + 1e-4) / (1 + 0.25 + 1e-4))
    assert similarity(np.ones((3, 7)), np.ones((3, 7))).ssim is None
