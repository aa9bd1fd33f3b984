"""The contract as a class of tests for pytest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from hwnas.ops import Operator
from hwnas.testing.case import DEFAULT_SIZES, Case, cases_of
from hwnas.testing.certify import verdict_of
from hwnas.testing.checks import CHECKS


class OperatorContract:
    """Subclass it in a test file and name the operator; each check is a separate test.

    >>> class TestBlock(OperatorContract):
    ...     operator = Block
    """

    operator: ClassVar[type[Operator]]
    knobs: ClassVar[Sequence[object]] = ()
    """Knobs that it is tested with, as `given` of `cases_of`; `examples` of the class or its defaults if left out."""
    sizes: ClassVar[tuple[int, ...]] = DEFAULT_SIZES
    """The input's axes after the channels."""

    @pytest.fixture
    def cases(self) -> Sequence[Case]:
        """Return the cases that the checks run on."""
        return cases_of(self.operator, self.knobs, self.sizes)  # type: ignore[arg-type]

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(self, check: str, cases: Sequence[Case]) -> None:
        """A skipped check is a skipped test."""
        verdict = verdict_of(check, cases)
        if verdict.outcome == "skipped":
            pytest.skip(verdict.why)
        assert verdict.outcome == "passed", verdict.why
