"""A verification as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hwnas.report import units
from hwnas.words import counted

if TYPE_CHECKING:
    from typing import Protocol

    class Verified(Protocol):
        """A verification."""

        bundle: str
        checked: list[str]
        findings: list[Any]
        measured: dict[str, Any]


def _quality(one: Mapping[str, Any]) -> str:
    """Return a quality in words; one that is undefined is None in JSON."""
    return f"{one['metric']} {'undefined' if one['value'] is None else format(one['value'], '.6g')}"


def _two_runtimes(one: Mapping[str, Any]) -> Iterator[str]:
    """Yield what two runtimes give for one file."""
    for side in (one["here"], one["there"]):
        quality = f", {_quality(side['quality'])}" if "quality" in side else ""
        test = side["self_test"]
        yield f"{test.get('runtime', 'a runtime')} is {test['max_difference']:.3g} from the exported outputs{quality}"
    if ratio := one.get("latency"):
        yield f"{ratio['ratio']:.3f} times as long ({ratio['low']:.3f} to {ratio['high']:.3f})"


def verification_lines(verification: Verified) -> Iterator[str]:
    """Yield what was checked, the numbers that were measured, and what is wrong."""
    yield verification.bundle
    for what in verification.checked:
        yield f"  checked: {what}"
    for name, one in verification.measured.get("quality", {}).items():
        yield f"  {name}: {_quality(one)} on {counted(one['samples'], 'sample')}"
    for name, one in verification.measured.get("latency", {}).items():
        before = f", {units.milliseconds(one['manifest_ms'])} when exported" if one.get("manifest_ms") else ""
        yield f"  {name}: {units.milliseconds(one['low_ms'])} a call{before}"
    for name, one in verification.measured.get("against", {}).items():
        yield f"  {name}: {', '.join(_beside(one))}"
    for name, one in verification.measured.get("runtimes", {}).items():
        yield f"  {name}: {', '.join(_two_runtimes(one))}"
    for one in verification.findings:
        yield f"  {one.severity}: {one.message}"
        yield f"    where: {one.where}"
        yield f"    next:  {one.do}"
    errors = sum(one.severity == "error" for one in verification.findings)
    yield f"  {'sound' if not errors else counted(errors, 'error')}"


def _beside(one: Mapping[str, Any]) -> Iterator[str]:
    if (ratio := one.get("latency")) is not None:
        yield f"{ratio['ratio']:.3f} times as long ({ratio['low']:.3f} to {ratio['high']:.3f})"
    yield f"{one['growth']:+.1%} in size"
    if (quality := one.get("quality")) is not None:
        yield f"{quality['metric']} {quality['new']:.6g} after {quality['old']:.6g}"


def load_lines(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each file that was put under load."""
    for name, one in results.items():
        queries = counted(one["queries"], "query", "queries")
        yield f"{name}: {one['scenario']} {one['result']:.4g} {one['unit']}, {queries} in {one['seconds']:.1f} s"
