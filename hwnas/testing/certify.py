"""All checks on all cases of an operator, and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hwnas.errors import HwnasError, raised
from hwnas.ops import Operator
from hwnas.ops.plugins import fault_of
from hwnas.testing.case import Case
from hwnas.testing.checks import CHECKS, Broken, Check, NotRun
from hwnas.user_code import place_of, source_of
from hwnas.words import brief

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """Result of a check; `why` is the problem, or the reason why the check was skipped."""

    check: str
    outcome: Outcome
    why: str = ""


@brief
@dataclass(frozen=True)
class Certificate:
    """The verdicts on an operator, one per check."""

    operator: str
    tried: tuple[str, ...]
    """Descriptions of the cases that it was tested with."""
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed; some may have been skipped."""
        return all(verdict.outcome != "failed" for verdict in self.verdicts)


def certify(kind: type[Operator], cases: Sequence[Case]) -> Certificate:
    """Check an operator against the contract. A check fails with the first case that it fails on."""
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
    """Return the verdict of one check on all cases."""
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
    except Broken as broken:
        return Verdict(name, "failed", str(broken))
    except HwnasError as error:
        at = error.where if error.where.startswith(case.operators[0].kind) else case.operators[0].describe()
        return Verdict(name, "failed", f"{at}: {error.met}")
    except Exception as error:  # a user's operator may raise anything
        source = source_of(case.kind)
        at = f" in {place_of(error, source.path)}" if source else ""
        first = case.operators[0].describe()
        return Verdict(name, "failed", f"{first}: {raised(error)}{at}")
    return Verdict(name, "passed")
