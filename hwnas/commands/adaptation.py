"""Result of adapting a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwnas.words import brief, counted


@brief
@dataclass(frozen=True)
class Adaptation:
    """Result of adapting.

    Args:
        how: head, norm, full, space or watch.
        folder: with the files that were written; empty if none were.
        report: all that is known of it, ready for JSON.
        lines: the same for a terminal.
        drifted: of `watch`, whether the samples are unlike those before.

    Example:
        >>> Adaptation("head", "runs/mini/adapted/head", {"samples": 3}).as_dict()["samples"]
        3
    """

    how: str
    folder: str
    report: dict[str, Any]
    lines: tuple[str, ...] = ()
    drifted: bool = field(default=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but the lines, ready for JSON."""
        return {"how": self.how, "folder": self.folder, **self.report}


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report on an adapted network as lines."""
    lines = []
    if "layers" in report:
        lines.append(f"statistics of {counted(report['samples'], 'sample')} in {counted(report['layers'], 'layer')}")
    if (test := report.get("test")) is not None:
        parts = [
            f"{label} {test[key]['value']:.1%}"
            for key, label in (("before", "before"), ("head", "with a new head"), ("after", "after"))
            if test.get(key)
        ]
        lines.append(
            f"test accuracy on the new data: {', '.join(parts)} ({counted(test['after']['samples'], 'sample')})"
        )
    if "teacher" in report:
        lines.append(f"normalisation: {report['normalisation']}")
        teacher = report["teacher"]
        lines.append(
            "no teacher: the network before names none of the classes"
            if teacher is None
            else f"the network before teaches {counted(teacher['classes'], 'class', 'classes')}, "
            f"{teacher['weight']:.0%} of the loss"
        )
    if "validation" in report:
        lines.append(f"better on validation samples, and what was written: {report['validation']['shipped']}")
    if (lost := report.get("forgetting")) is not None:
        lines.append(
            f"on {counted(lost['samples'], 'validation sample')} of the data before: {lost['before']:.1%} before, "
            f"{lost['after']:.1%} after"
        )
    return lines
