"""Values in a space file, read strictly."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.errors import ConfigError, SpaceError, did_you_mean
from hwnas.space.architecture import LARGEST, MOST_LETTERS, MOST_OPTIONS, Value, ascends

NAME = re.compile(r"[a-z][a-z0-9_]*")


def known_keys(raw: Mapping[str, Any], known: Sequence[str], where: str, do: str = "Correct or remove it") -> None:
    """Refuse a key that nothing reads, naming the nearest one that is read."""
    for key in raw:
        if key not in known:
            raise space_error(f"unknown key `{key}`", where, did_you_mean(str(key), known), do)


def parse_shape(text: str, option: str, *, where: str, batch: bool = False) -> tuple[int, ...]:
    """Return the sizes that an option of a command lists, such as `3,32,32` or `3x32x32`.

    Args:
        text: of the option.
        option: its name.
        where: the command.
        batch: whether the first size is that of the batch.

    Raises:
        ConfigError: it lists something else.
    """
    words = text.replace("x", ",").split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        first, example = ("the batch first", "1,3,32,32") if batch else ("without the batch axis", "3,32,32")
        raise ConfigError(
            f"`{option} {text}` is no shape",
            where=where,
            allowed=f"Whole numbers with commas between them, {first}: {example}",
            do=f"Correct it, such as {option} {example}",
        )
    return tuple(map(int, words))


def refuse_unordered(options: Sequence[Value], where: str, name: str) -> None:
    """Refuse sizes that do not stand from small to large; of other knobs, `check_space` knows what makes them large."""
    if not ascends(options):
        raise space_error(
            f"`{name}` does not list its options from small to large",
            where,
            "The last option makes the largest network, which a supernet is trained from, and the first the smallest",
            f"Write [{', '.join(map(str, sorted(options)[:20]))}{', ...' if len(options) > 20 else ''}]",
        )


def options_of(raw: Any, where: str, name: str) -> tuple[Value, ...]:
    """Return the options of a choice: those in a list, or the one value."""
    options = tuple(raw) if isinstance(raw, list) else (raw,)
    if not options:
        raise space_error(
            f"the choice `{name}` has no options", where, "A list holds at least one option", "Add an option"
        )
    if len(options) > MOST_OPTIONS:
        raise space_error(
            f"the choice `{name}` has {len(options):,} options",
            where,
            f"A choice has {MOST_OPTIONS:,} at most: each is built before a run, and timed for a table",
            "List fewer, such as every eighth",
        )
    for option in options:
        known = isinstance(option, int | float | str | bool)
        size = len(option) if isinstance(option, str) else 0
        if (
            not known or size > MOST_LETTERS or (not isinstance(option, str) and not abs(option) <= LARGEST)
        ):  # nor a NaN
            raise space_error(
                f"`{name}` holds {reprlib.repr(option)}",
                where,
                f"An option is a number up to {LARGEST:,}, a word of up to {MOST_LETTERS} letters, or true/false",
                "Correct it",
            )
    if len(set(options)) < len(options):  # 1, 1.0 and true are equal, and so would be the networks
        raise space_error(
            f"the choice `{name}` repeats an option", where, "Options differ from each other", "Remove the repeat"
        )
    return options


def whole(raw: Any, where: str, name: str, least: int = 1) -> int:
    """Return a whole number from `least` on."""
    if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= LARGEST:
        allowed = f"`{name}` is a whole number from {least} to {LARGEST:,}"
        raise space_error(f"`{name}` is {reprlib.repr(raw)}", where, allowed, "Correct it")
    return raw


def name_of(raw: Any, where: str) -> str:
    """Return a name: lower-case letters, digits and `_`."""
    if not isinstance(raw, str) or not NAME.fullmatch(raw):
        raise space_error(
            f"`{told(raw)}` is no name",
            where,
            "Names are lower-case letters, digits and `_`, a letter first",
            "Rename it",
        )
    return raw


def told(raw: Any) -> str:
    """Return a short text of a value that an error quotes."""
    return raw if isinstance(raw, str) else reprlib.repr(raw)


def space_error(met: str, where: str, allowed: str, do: str) -> SpaceError:
    """Return an error of a space file."""
    return SpaceError(met, where=where, allowed=allowed, do=do)
