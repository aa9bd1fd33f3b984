"""Once-for-all's notation: kernels `ks` and expansions `e` by layer, depths `d` by stage, resolution `r`.

Source: mit-han-lab/once-for-all (Cai et al., ICLR 2020). Its lists hold an entry for every layer that a network can
have; entries of layers that a network does not have mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwnas.errors import SpaceError, did_you_mean
from hwnas.notation import Notation
from hwnas.space import Architecture, Choice, Space, Value

_KEYS = {"ks": "kernel", "e": "expand"}
_FACTS = ("params", "macs")  # what golden files say beside an architecture


def read(space: Space, raw: Any, where: str) -> Architecture:
    """The architecture of `{"ks": [...], "e": [...], "d": [...], "r": resolution}`."""
    if not isinstance(raw, Mapping):
        raise _error(f"a {type(raw).__name__} is no architecture", where, "The form is {ks: [], e: [], d: [], r: 224}")
    places = _places(space)
    known = {key for key, _ in places.values()}
    for key in raw:
        if key not in known and key not in _FACTS:
            raise _error(f"unknown key `{key}`", where, did_you_mean(str(key), known))
    for key in known:
        _check_length(raw, key, 1 + max(index for name, index in places.values() if name == key), where)

    def pick(choice: Choice) -> Value:
        key, index = places[choice.name]
        return choice.option(raw[key][index] if isinstance(raw[key], list) else raw[key], where=f"{where}: `{key}`")

    return space.sample(pick)


def write(space: Space, architecture: Architecture) -> dict[str, Any]:
    """The same form; an entry of a layer that is not there holds its first option."""
    picks = dict(architecture.picks)
    written: dict[str, Any] = {}
    for choice in space.choices:
        key, _ = _places(space)[choice.name]
        written.setdefault(key, []).append(picks.get(choice.name, choice.options[0]))
    return {key: values[0] if key == "r" else values for key, values in written.items()}


def _places(space: Space) -> dict[str, tuple[str, int]]:
    """By choice, the key and the entry that decide it."""
    found: dict[str, tuple[str, int]] = {}
    counts: dict[str, int] = {}
    for name, key in _keys(space):
        found[name] = key, counts.get(key, 0)
        counts[key] = counts.get(key, 0) + 1
    return found


def _keys(space: Space) -> Iterator[tuple[str, str]]:
    for choice in space.choices:
        last = choice.name.rpartition(".")[2]
        key = {"resolution": "r", "depth": "d", **{knob: key for key, knob in _KEYS.items()}}.get(last)
        if key is None:
            raise _error(
                f"the choice `{choice.name}` has no place in once-for-all's notation",
                f"space `{space.name}`",
                "It knows kernel, expand, depth and resolution",
            )
        yield choice.name, key


def _check_length(raw: Mapping[str, Any], key: str, length: int, where: str) -> None:
    if key not in raw:
        raise _error(f"the key `{key}` is missing", where, "Every open choice is decided")
    held: Sequence[Any] = raw[key] if isinstance(raw[key], list) else [raw[key]]
    if len(held) != length:
        raise _error(f"`{key}` holds {len(held)} entries", where, f"It holds {length} for this space")


def _error(met: str, where: str, allowed: str) -> SpaceError:
    return SpaceError(met, where=where, allowed=allowed, do="Correct the architecture, or name the space it is of")


OFA = Notation(read, write)
