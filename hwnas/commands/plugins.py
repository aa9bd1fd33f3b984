"""Members that installed distributions add to families: which there are, and which of them can be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwnas.errors import HwnasError, did_you_mean
from hwnas.registry import Family, distribution_of, imported, installed_members, member
from hwnas.search.consistency import Issue

FAMILIES: Mapping[str, str] = {  # name of a group of entry points after `hwnas.` -> its table
    "operators": "hwnas.ops:OPERATORS",
    "tasks": "hwnas.tasks:TASKS",
    "quantities": "hwnas.quantities:QUANTITIES",
    "notations": "hwnas.notation:NOTATIONS",
    "data_sets": "hwnas.data:DATA_SETS",
    "strategies": "hwnas.supernet.strategies:STRATEGIES",
    "published_supernets": "hwnas.supernet.published:PUBLISHED_SUPERNETS",
    "accuracy_sources": "hwnas.accuracy:PROXIES",
    "zero_cost_proxies": "hwnas.accuracy.zero_cost_proxies:TRAINING_FREE",
    "samplers": "hwnas.search.samplers:SAMPLERS",
    "runtimes": "hwnas.runtimes:RUNTIMES",
    "formats": "hwnas.export:FORMATS",
    "energy_sensors": "hwnas.measure.energy:SENSORS",
}


def examine_plugins(looked: list[str]) -> Iterator[Issue]:
    """Yield an issue for each member from outside that cannot be used, and note in `looked` those that can.

    Each is imported; what one of them raises does not keep the others from being examined.
    """
    for point in installed_members():
        name, where = point.group.partition(".")[2], f"entry point `{point.name}` of `{point.group}`"
        source = distribution_of(point)
        if name not in FAMILIES:
            yield Issue(
                "error",
                f"{source} adds `{point.name}` to a family that there is not",
                where,
                did_you_mean(name, FAMILIES),
                "Correct the group in that distribution, or uninstall it",
            )
            continue
        family: Family = imported(FAMILIES[name], what="family", where=where)
        if point.name in family.own or family.installed[point.name] != point:
            yield Issue(
                "error",
                f"{source} adds `{point.name}`, a name that is taken",
                where,
                "A distribution cannot replace a member",
                "Rename it in that distribution, or uninstall it",
            )
            continue
        try:
            member(family, point.name, what="member", where=name)
        except HwnasError as error:
            yield Issue.of(error)
        else:
            looked.append(f"{name}: {point.name} of {source}")
