"""The contract of all operators, as checks that anybody can run on theirs: by pytest, from Python, or on the command
line with `hwnas test-operator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.testing.case import Case, cases_of
from hwnas.testing.certify import Certificate, Verdict, certify
from hwnas.testing.checks import CHECKS

if TYPE_CHECKING:
    from hwnas.testing.contract import OperatorContract as OperatorContract

__all__ = ["CHECKS", "Case", "Certificate", "OperatorContract", "Verdict", "cases_of", "certify"]


def __getattr__(name: str) -> Any:
    if name != "OperatorContract":
        raise AttributeError(f"module `hwnas.testing` has no `{name}`")
    from hwnas.testing.contract import OperatorContract  # it needs pytest, the others do not

    return OperatorContract
