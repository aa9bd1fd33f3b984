"""Findings of lint, and the observations that it checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """Problem in a table."""

    severity: Literal["error", "warning"]
    rule: str
    where: str
    """file:line"""
    what: str
    why: str
    do: str


@dataclass(frozen=True)
class Rule:
    """A kind of finding: how grave, why it matters, what to do."""

    severity: Literal["error", "warning"]
    why: str
    do: str


LINT_RULES: Mapping[str, Rule] = {
    "damage": Rule(
        "error", "the table is refused as a whole", "delete the line to have it measured again, or restore the file"
    ),
    "format": Rule(
        "error",
        "a table is read by the version that wrote it, and by later ones",
        "install a newer version of hwnas: `pip install --upgrade hwnas`; the table is as it should be",
    ),
    "empty": Rule(
        "warning", "nothing is predicted from it", "run the kit or `hwnas bench` to its end, which says why it stopped"
    ),
    "cut": Rule("warning", "a kill cut it short; it is left out", "bench again: the row is measured anew"),
    "no-duration": Rule(
        "error",
        "no call takes 0 or less, or more than an hour, and every sum with it is wrong",
        "measure anew, or leave the value out",
    ),
    "slower-than-whole": Rule(
        "error",
        "an operator alone takes no longer than the whole network that holds it; nothing is predicted from it",
        "delete the line that is wrong and bench again",
    ),
    "faster-than-nothing": Rule(
        "error",
        "every call takes what a call takes that computes nothing; nothing is predicted from it",
        "delete the line and bench again",
    ),
    "off-neighbours": Rule(
        "error",
        "it is off by far more than sizes differ; nothing is predicted from it",
        "delete the line and bench again",
    ),
    "off-sum": Rule(
        "error",
        "it is off by far more than the other whole networks are; nothing is predicted from it",
        "delete the line and bench again",
    ),
    "emulated": Rule(
        "warning",
        "an emulator's times are no board's: no search, check or experiment takes them",
        "measure on the board itself",
    ),
    "copied": Rule(
        "error", "nobody measured this: clocks never give the same samples twice", "delete the line and measure it"
    ),
    "same": Rule("warning", "it is one observation, not two", "merge the tables, or keep one of them"),
    "duplicate": Rule("warning", "the first observation is used, this one never", "delete the line"),
    "spread": Rule(
        "warning", "the machine was busy or its clock changed", "close other programs, delete the line and bench again"
    ),
    "disturbed": Rule(
        "warning", "others used the processor meanwhile", "close other programs, delete the line and bench again"
    ),
    "throttled": Rule(
        "warning",
        "the machine had slowed itself down, and its times are those of a slower one",
        "cool it or lower its clock, set `timing.pause_above_c`, delete the line and bench again",
    ),
    "faster-though-larger": Rule(
        "warning",
        "more work in less time: one of the two is off, or the runtime has a better kernel for the larger",
        "delete both lines and bench again; if it stays, the runtime is so",
    ),
}


@dataclass(frozen=True)
class Observed:
    """A value or samples, and what they are about."""

    where: str
    about: str
    subject: Any
    """Equal for two observations of the same thing."""
    ms: float
    spread: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    setup: Any = None


def finding(rule: str, where: str, what: str) -> Finding:
    """Return a finding of a rule."""
    kind = LINT_RULES[rule]
    return Finding(kind.severity, rule, where, what, kind.why, kind.do)
