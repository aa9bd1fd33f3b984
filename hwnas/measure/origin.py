"""Origin of a table. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwnas.runtimes.emulation import emulator

ORIGIN_KINDS: Mapping[str, str] = {  # of an origin -> how it is told
    "measured": "measured by hwnas",
    "emulated": "made under emulation ({})",
    "published": "published by {}",
}


@dataclass(frozen=True)
class Origin:
    """Origin of a table: measured here, under an emulator, or somebody's publication."""

    kind: str = "measured"
    """One of `ORIGIN_KINDS`."""
    source: str = ""
    """Publisher and place of publication; or what emulated the processor."""
    licence: str = ""
    format: str = ""
    """The publication's format: a name of `hwnas bench import --format`."""

    def __post_init__(self) -> None:
        if self.kind not in ORIGIN_KINDS or not all(isinstance(v, str) for v in vars(self).values()):
            raise ValueError(f"an origin's kind is one of {', '.join(ORIGIN_KINDS)}, its other fields are text")

    def __str__(self) -> str:
        return ORIGIN_KINDS[self.kind].format(self.source or "nobody named")


MEASURED = Origin()


def origin_here() -> Origin:
    """Return the origin of what is timed in this process: no measurement of a device, if the processor is emulated."""
    by = emulator()
    return Origin("emulated", by) if by else MEASURED
