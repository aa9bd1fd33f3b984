"""Decisions that an opened network leaves open: widths of groups of channels, and blocks that may be left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwnas.errors import SpaceError, did_you_mean
from hwnas.opened.groups import Channels

HIDDEN_SHARES = (0.25, 0.5, 0.75)
"""Widths beside the whole one, as shares of it, of channels within one operator."""
FLOWING_SHARES = (0.5, 0.75)
"""The same of channels that several operators list: each option multiplies the rows of all of them."""

MOST_FLOWING = 3
"""Groups between operators that one operator lists, each with a width of its own."""


@dataclass(frozen=True)
class Decision:
    """One choice between widths, of one group or of all hidden groups of an operator."""

    name: str
    options: tuple[int | float, ...]
    members: tuple[Mapping[int, int], ...]
    """For each option, how many members each group keeps, by the groups' numbers."""


def decisions_of(
    groups: Mapping[int, Channels],
    hidden: Sequence[Sequence[int]],
    slots: Sequence[str],
    flowing: Sequence[Sequence[int]] = (),
) -> tuple[Decision, ...]:
    """Return the decisions over groups, by number; `hidden` lists those that one operator alone knows, by operator.

    Several hidden groups of an operator are decided together, so that its rows in a latency table stay few. So are
    those that flow between operators, `flowing` by operator, where one lists more than `MOST_FLOWING` of them.
    """
    inside = {number for numbers in hidden for number in numbers}
    found = []
    for cluster in _clusters([n for n in groups if n not in inside], flowing):
        if len(cluster) == 1:
            found.append(_single(cluster[0], groups[cluster[0]], FLOWING_SHARES))
        else:
            found.append(_together(groups[cluster[0]].name, {n: groups[n] for n in cluster}, FLOWING_SHARES))
    for slot, numbers in zip(slots, hidden, strict=True):
        if len(numbers) == 1:
            found.append(_single(numbers[0], groups[numbers[0]], HIDDEN_SHARES))
        elif numbers:
            found.append(_together(slot, {number: groups[number] for number in numbers}, HIDDEN_SHARES))
    return tuple(decision for decision in found if len(decision.options) > 1)


def _single(number: int, channels: Channels, shares: Iterable[float]) -> Decision:
    options = channels.options(shares)
    return Decision(f"{channels.name}.width", options, tuple({number: option // channels.unit} for option in options))


def _clusters(groups: Sequence[int], flowing: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return groups that are decided together, in their order: those that an operator lists too many of."""
    cluster = {number: {number} for number in groups}
    for numbers in flowing:
        own = [number for number in numbers if number in cluster]
        if len(own) > MOST_FLOWING:
            merged = set().union(*(cluster[number] for number in own))
            cluster |= dict.fromkeys(merged, merged)
    return [sorted(one) for one in {id(one): one for one in cluster.values()}.values()]


def _together(slot: str, groups: Mapping[int, Channels], shares: Iterable[float]) -> Decision:
    kept: dict[float, dict[int, int]] = {}
    for share in (*shares, 1.0):
        members = {}
        for number, channels in groups.items():
            options = channels.options([share] if share < 1 else [])
            members[number] = (options[0] if share < 1 else channels.width) // channels.unit
        if members not in kept.values():
            kept[share] = members
    whole = {number: channels.group.size for number, channels in groups.items()}
    kept = {share: members for share, members in kept.items() if members != whole}
    return Decision(f"{slot}.width", (*kept, 1.0), (*kept.values(), whole))


def narrowed(
    decisions: Sequence[Decision], chosen: Mapping[str, Sequence[int | float]], optional: Sequence[str], where: str
) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    """Return the decisions and the optional blocks that a space's file keeps, with the options that it lists.

    Raises:
        SpaceError: it names what is none, or options that there are not.
    """
    known = {decision.name: decision for decision in decisions}
    depths = {f"{slot}.depth": slot for slot in optional}
    for name in chosen:
        if name not in known and name not in depths:
            raise _refused(where, f"`{name}` is no choice of the network", did_you_mean(name, [*known, *depths]))
    kept = []
    for name, decision in known.items():
        if name not in chosen:
            continue
        options = list(chosen[name])
        if strange := [option for option in options if option not in decision.options]:
            listed = ", ".join(map(str, decision.options))
            raise _refused(where, f"`{name}` lists {strange[0]!r}", f"Widths that can be cut: {listed}")
        if not options or options[-1] != decision.options[-1] or options != sorted(set(options)):
            last = decision.options[-1]
            raise _refused(
                where, f"`{name}` lists {options}", f"From small to large, with the whole, {last}, at the end"
            )
        members = tuple(decision.members[decision.options.index(option)] for option in options)
        if len(options) > 1:
            kept.append(Decision(name, tuple(options), members))
    for name in depths.keys() & chosen.keys():
        if list(chosen[name]) != [0, 1]:
            raise _refused(where, f"`{name}` lists {list(chosen[name])}", "A block that may be left out has [0, 1]")
    return tuple(kept), tuple(slot for name, slot in depths.items() if name in chosen)


def _refused(where: str, problem: str, allowed: str) -> SpaceError:
    return SpaceError(
        problem, where=f"{where}: choices", allowed=allowed, do="Correct it, or remove it to close the choice"
    )
