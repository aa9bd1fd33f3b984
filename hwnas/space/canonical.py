"""Equal networks as equal architectures, where unlike decisions make one network: a function names those that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product

from hwnas.errors import SpaceError
from hwnas.space.architecture import Value
from hwnas.user_code import calling

Picks = Mapping[str, Value]
Canonical = Callable[[Picks], Picks]
"""Function from picks of the shared choices to those of the architecture that stands for the same network."""
Shared = Mapping[str, tuple[Value, ...]]
FORM = "It maps all shared picks to such picks, every one an option, and applied again it changes no more"
MAX_COMBINATIONS = 200_000
"""Most combinations of shared choices that are walked to find the unlike ones; a space with more is refused."""


def combinations(shared: Shared) -> Iterator[Picks]:
    """Yield each combination of picks that the shared choices can make."""
    for picked in product(*shared.values()):
        yield dict(zip(shared, picked, strict=True))


def settled(canonical: Canonical, picks: Picks, shared: Shared, *, where: str) -> dict[str, Value]:
    """Return the picks that `canonical` maps these picks to.

    Raises:
        SpaceError: `canonical` raises, leaves a choice out, adds one, or picks a value that is not an option.
    """
    with calling(canonical, SpaceError, where=f"{where}: canonical", options=picks, allowed=FORM):
        image = dict(canonical(picks))
    if image.keys() != shared.keys():
        raise _error(f"the function returns picks of {', '.join(map(str, image))}", picks, where)
    for name, value in image.items():
        if value not in shared[name]:
            raise _error(f"the function picks {value!r} for `{name}`, which is no option", picks, where)
        image[name] = shared[name][shared[name].index(value)]  # 3.0 is 3: it would have another key
    return image


def distinct(canonical: Canonical, shared: Shared, *, where: str) -> tuple[Picks, ...]:
    """Return the combinations that stand for a network, each once, in the order in which they first occur.

    Raises:
        SpaceError: there are too many combinations, or an image of the function has another image.
    """
    if (count := math.prod(map(len, shared.values()))) > MAX_COMBINATIONS:
        raise SpaceError(
            f"the shared choices have {count:,} combinations",
            where=f"{where}: canonical",
            allowed=f"Up to {MAX_COMBINATIONS:,} are walked to count the unlike ones",
            do="Share fewer choices, or give them fewer options",
        )
    images: dict[tuple[Value, ...], Picks] = {}
    for picks in combinations(shared):
        made = settled(canonical, picks, shared, where=where)
        images.setdefault(tuple(made[name] for name in shared), made)
    for image in images.values():
        if settled(canonical, image, shared, where=where) != dict(image):
            raise _error("the function maps what it returned to something else", image, where)
    return tuple(images.values())


def _error(met: str, picks: Picks, where: str) -> SpaceError:
    return SpaceError(
        met,
        where=f"{where}: canonical of {dict(picks)}",
        allowed=FORM,
        do="Correct the function",
    )
