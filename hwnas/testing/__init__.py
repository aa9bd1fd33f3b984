"""The contracts of operators and tasks, as checks that anybody can run on theirs: by pytest, and of operators
also from Python or on the command line with `hwnas test-operator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.testing.case import Case, cases_of
from hwnas.testing.certify import Certificate, Verdict, certify
from hwnas.testing.checks import CHECKS

if TYPE_CHECKING:
    from hwnas.testing.contract import OperatorContract as OperatorContract
    from hwnas.testing.tasks import TaskContract as TaskContract

__all__ = ["CHECKS", "Case", "Certificate", "OperatorContract", "TaskContract", "Verdict", "cases_of", "certify"]


def __getattr__(name: str) -> Any:
    if name == "OperatorContract":  # it and the next one need pytest, the others do not
        from hwnas.testing.contract import OperatorContract

        return OperatorContract
    if name == "TaskContract":
        from hwnas.testing.tasks import TaskContract

        return TaskContract
    raise AttributeError(f"module `hwnas.testing` has no `{name}`")
