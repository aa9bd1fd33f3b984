"""All checks on all cases of an operator, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hwnas.errors import HwnasError, raised
from hwnas.ops import Operator
from hwnas.ops.plugins import fault_of
from hwnas.registry import place_of, source_of
from hwnas.testing.case import Case
from hwnas.testing.checks import CHECKS, Broken, Check, NotRun

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """What came of a check; `why` says what was found, or why nothing was looked at."""

    check: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class Certificate:
    """The verdicts on an operator, one a check."""

    operator: str
    tried: tuple[str, ...]
    """What it was tried with."""
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """No check failed; some may have been skipped."""
        return all(verdict.outcome != "failed" for verdict in self.verdicts)


def certify(kind: type[Operator], cases: Sequence[Case]) -> Certificate:
    """Hold an operator to the contract. A check fails with the first case that it fails on."""
    name = kind.__name__.lower()
    if fault := fault_of(kind):
        first, *others = CHECKS
        why = "nothing can be made of the class"
        verdicts = [
            Verdict(first, "failed", f"`{kind.__name__}` {fault}"),
            *(Verdict(c, "skipped", why) for c in others),
        ]
        return Certificate(name, (), tuple(verdicts))
    tried = tuple(operator.describe() for case in cases for operator in case.operators)
    return Certificate(name, tried, tuple(verdict_of(check, cases) for check in CHECKS))


def verdict_of(check: str, cases: Sequence[Case]) -> Verdict:
    """What one check says of all cases."""
    if not cases:
        return Verdict(check, "skipped", "there is nothing to try")
    for case in cases:
        verdict = _judged(check, CHECKS[check], case)
        if verdict.outcome != "passed":
            return verdict
    return Verdict(check, "passed")


def _judged(name: str, check: Check, case: Case) -> Verdict:
    try:
        check(case)
    except NotRun as reason:
        return Verdict(name, "skipped", str(reason))
    except Broken as found:
        return Verdict(name, "failed", str(found))
    except HwnasError as error:
        at = error.where if error.where.startswith(case.operators[0].kind) else case.operators[0].describe()
        return Verdict(name, "failed", f"{at}: {error.met}")
    except Exception as error:  # a user's operator may raise anything
        source = source_of(case.kind)
        at = f" in {place_of(error, source.path)}" if source else ""
        first = case.operators[0].describe()
        return Verdict(name, "failed", f"{first}: {raised(error)}{at}")
    return Verdict(name, "passed")
