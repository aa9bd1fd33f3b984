"""Scores of accuracy without full training. A new one is one file and one row here."""

from collections.abc import Mapping

PROXIES: Mapping[str, str] = {  # name after the @ of a metric -> where it lives; imported on use
    "inherited": "hwnas.proxies.inherited:InheritedAccuracy",
}

__all__ = ["PROXIES"]
