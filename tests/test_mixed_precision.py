"""Mixed precision: the programme is exact, files hold the kernels that were asked for, and no wish is dropped."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwnas.mixed_precision.programme import Chain, fastest_within, pareto_assignments


def _random_chain(rng: np.random.Generator, *, whole: bool) -> Chain:
    count = int(rng.integers(1, 13))

    def drawn(*shape: int) -> np.ndarray:
        return rng.integers(0, 6, shape).astype(float) if whole else rng.uniform(0, 1, shape)

    losses = drawn(count, 2)
    losses[:, 0] = 0.0
    boundaries = drawn(count + 1, 2, 2) / 4
    boundaries[:, [0, 1], [0, 1]] = 0.0
    return Chain(drawn(count, 2), losses, boundaries, constant_ms=0.25)


def _by_force(chain: Chain) -> list[tuple[float, float]]:
    priced = sorted({chain.price(one) for one in product((0, 1), repeat=len(chain.ms))})
    front, least = [], np.inf
    for ms, loss in priced:
        if loss < least:
            front.append((ms, loss))
            least = loss
    return front


@pytest.mark.parametrize("part", range(4))
def test_the_programme_is_brute_force(part: int) -> None:
    """On 200 random chains, half of them full of ties, and under any limit of loss."""
    rng = np.random.default_rng(part)
    for number in range(50):
        chain = _random_chain(rng, whole=number % 2 == 0)
        front, expected = pareto_assignments(chain), _by_force(chain)
        np.testing.assert_allclose([(one.ms, one.loss) for one in front], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            [chain.price(one.precisions) for one in front], [(one.ms, one.loss) for one in front], rtol=1e-12
        )
        limit = float(rng.uniform(0, chain.losses.sum() + 0.1))
        best = fastest_within(front, limit)
        assert best is not None
        assert best.ms == pytest.approx(min(ms for ms, loss in expected if loss <= limit))
        assert fastest_within(front, -1.0) is None
