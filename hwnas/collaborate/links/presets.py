"""Links that come with hwnas: quantiles that were measured and published, and the sources of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.collaborate.links.distribution import Quantiles


@dataclass(frozen=True)
class Radio:
    """Power that a device draws while it sends and receives; each figure belongs to one device of one year.

    Energy is power times the time of the transfer: `up_mw + up_mw_per_mbps * rate` while it sends, the same of `down`
    while it receives.
    """

    device: str
    year: int
    source: str
    up_mw: float
    up_mw_per_mbps: float
    down_mw: float
    down_mw_per_mbps: float

    def up_mj(self, ms: Any, mbps: Any) -> Any:
        """Return the millijoules of sending for so long at a rate."""
        return (self.up_mw + self.up_mw_per_mbps * mbps) * ms / 1e3

    def down_mj(self, ms: Any, mbps: Any) -> Any:
        """Return the millijoules of receiving for so long at a rate."""
        return (self.down_mw + self.down_mw_per_mbps * mbps) * ms / 1e3


@dataclass(frozen=True)
class Preset:
    """A link by the quantiles of its rates and round trips, with where they come from.

    An origin begins with `published` or `estimated`: that of an estimate is not a source.
    """

    title: str
    up_mbps: Quantiles
    down_mbps: Quantiles
    rtt_ms: Quantiles
    origins: Mapping[str, str]
    promotion_ms: float = 0.0
    radio: Radio | None = None


ERRANT = "published, ERRANT sample of speed tests in Norway and Sweden"
NUWINS = "published, NUWiNS measurements in six countries, means of cells"
ATC = "published, profile of facebook/augmented-traffic-control"
S20U = "Samsung Galaxy S20 Ultra, whole phone with its screen on, Verizon"
RADIO_FIT = "least-squares fit to MN-Transfer_combined.csv of the SIGCOMM 2021 5G artifact"

PRESETS: Mapping[str, Preset] = {
    "wired": Preset(
        "Ethernet in one building",
        Quantiles.constant(1000.0),
        Quantiles.constant(1000.0),
        Quantiles(0.3, 0.5, 1.0),
        {
            "up_mbps": "estimated, the nominal rate of gigabit Ethernet",
            "down_mbps": "estimated, the nominal rate of gigabit Ethernet",
            "rtt_ms": "estimated, one switch and two hosts",
        },
    ),
    "wifi": Preset(
        "Wi-Fi and the fixed access behind it",
        Quantiles(7.0, 34.0, 170.0),
        Quantiles(27.0, 137.0, 680.0),
        Quantiles(5.0, 12.0, 40.0),
        {
            "up_mbps": "estimated, a quarter of the rate down",
            "down_mbps": "median published, UUSpeedtest of 2021 in the USA (SIGCOMM 2022); ends estimated",
            "rtt_ms": "estimated",
        },
    ),
    "lte": Preset(
        "4G",
        Quantiles(1.2, 10.6, 42.5),
        Quantiles(3.1, 27.1, 109.0),
        Quantiles(43.0, 85.0, 201.0),
        {
            "up_mbps": f"{ERRANT}, 909 tests",
            "down_mbps": f"median {ERRANT}; ends estimated, in the ratio of those up",
            "rtt_ms": f"{ERRANT}, 909 tests",
        },
        radio=Radio(S20U, 2021, f"published, {RADIO_FIT}", 2926.0, 76.7, 2839.0, 11.5),
    ),
    "5g": Preset(
        "5G below 6 GHz",
        Quantiles(4.2, 49.6, 141.0),
        Quantiles(13.0, 154.0, 438.0),
        Quantiles(30.0, 47.0, 86.0),
        {
            "up_mbps": f"{NUWINS}, 2,340 cells",
            "down_mbps": "median published, 570 low-band speed tests of the SIGCOMM 2021 5G artifact; ends estimated, "
            "in the ratio of those up",
            "rtt_ms": f"{NUWINS}, 2,029 cells",
        },
        radio=Radio(S20U, 2021, f"published, {RADIO_FIT}, low band", 3199.0, 32.2, 3059.0, 11.5),
    ),
    "3g": Preset(
        "3G",
        Quantiles(0.5, 2.7, 4.0),
        Quantiles(2.4, 13.2, 19.6),
        Quantiles(43.0, 80.0, 203.0),
        {
            "up_mbps": f"{ERRANT}, 91 tests",
            "down_mbps": f"median {ERRANT}; ends estimated, in the ratio of those up",
            "rtt_ms": f"{ERRANT}, 91 tests",
        },
    ),
    "cable": Preset(
        "Cable access",
        Quantiles.constant(1.0),
        Quantiles.constant(6.0),
        Quantiles.constant(4.0),
        dict.fromkeys(("up_mbps", "down_mbps", "rtt_ms"), ATC),
    ),
    "dsl": Preset(
        "DSL access",
        Quantiles.constant(0.256),
        Quantiles.constant(2.0),
        Quantiles.constant(10.0),
        dict.fromkeys(("up_mbps", "down_mbps", "rtt_ms"), ATC),
    ),
    "edge": Preset(
        "EDGE, of 2G",
        Quantiles.constant(0.2),
        Quantiles.constant(0.24),
        Quantiles.constant(840.0),
        dict.fromkeys(("up_mbps", "down_mbps", "rtt_ms"), ATC),
    ),
}
"""Links by name. Figures were read in the sources' own files, and quantiles computed from them, in 2026."""
