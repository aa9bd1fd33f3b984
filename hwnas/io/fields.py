"""JSON from outside, read strictly: errors name the field that they are about. Board side: Python 3.9 syntax, no
numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class FieldError(ValueError):
    """A field that is missing, or holds another kind of value than it should; the message names it."""


def loads(text: str | bytes, *, constants: bool = False) -> Any:
    """Parse JSON strictly: no NaN and no infinity, and excessive depth or digits are an error like others.

    Args:
        text: JSON, as bytes in UTF-8.
        constants: let NaN and infinities through, for a reader of numbers that names the field they stand in.

    Raises:
        FieldError: the text is no JSON.

    >>> loads('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        return json.loads(text) if constants else json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise FieldError(
            f"it is no JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"
        ) from error
    except RecursionError:
        raise FieldError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise FieldError("it is no UTF-8 text") from error
    except FieldError:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise FieldError(str(error).partition(";")[0]) from error


def _refuse(constant: str) -> NoReturn:
    raise FieldError(f"{constant} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise FieldError(f"{digits[:30]} is too large a number")
    return number


class Fields:
    """A JSON object that is read field by field.

    Every reader raises FieldError, whose message begins with the field, such as `scores.top1`.

    >>> line = Fields({"key": "ab", "rounds": [[1, 2], [3]], "at": {"macs": 7}})
    >>> line.text("key"), line.object("at").integer("macs")
    ('ab', 7)
    >>> line.optional("note")
    False
    """

    __slots__ = ("_trail", "raw")

    def __init__(self, raw: object, trail: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise FieldError(f"{_named(trail)} is {_kind(raw)}, an object is needed")
        self.raw: Mapping[str, Any] = raw
        self._trail = trail

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def names(self) -> tuple[str, ...]:
        """Return the names of its fields, in order."""
        return tuple(self.raw)

    def at(self, name: str) -> str:
        """Return the full name of a field, such as `models[0].files`."""
        return f"{self._trail}.{name}" if self._trail else name

    def value(self, name: str) -> Any:
        """Return the value of a field that must be there, of any kind."""
        try:
            return self.raw[name]
        except KeyError:
            raise FieldError(f"`{self.at(name)}` is missing") from None

    def text(self, name: str) -> str:
        """Return the field's text."""
        return _text(self.value(name), self.at(name))

    def number(self, name: str) -> float:
        """Return the field's number, finite."""
        return _number(self.value(name), self.at(name))

    def integer(self, name: str) -> int:
        """Return the field's whole number."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError(f"`{self.at(name)}` is {_kind(value)}, a whole number is needed")
        return value

    def flag(self, name: str) -> bool:
        """Return the field's true or false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise FieldError(f"`{self.at(name)}` is {_kind(value)}, true or false is needed")
        return value

    def object(self, name: str) -> Fields:
        """Return the field's object."""
        return Fields(self.value(name), self.at(name))

    def array(self, name: str) -> list[Any]:
        """Return the field's list."""
        value = self.value(name)
        if not isinstance(value, list):
            raise FieldError(f"`{self.at(name)}` is {_kind(value)}, a list is needed")
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects in the field's list."""
        for number, one in enumerate(self.array(name)):
            yield Fields(one, f"{self.at(name)}[{number}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts in the field's list."""
        return tuple(_text(one, f"{self.at(name)}[{n}]") for n, one in enumerate(self.array(name)))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the finite numbers in the field's list."""
        return tuple(_number(one, f"{self.at(name)}[{n}]") for n, one in enumerate(self.array(name)))

    def number_map(self, name: str) -> dict[str, float]:
        """Return the finite numbers in the field's object, by name."""
        inner = self.object(name)
        return {key: inner.number(key) for key in inner.names()}

    def text_map(self, name: str) -> dict[str, str]:
        """Return the texts in the field's object, by name."""
        inner = self.object(name)
        return {key: inner.text(key) for key in inner.names()}

    def optional(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self.raw.get(name) is not None


def _text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise FieldError(f"`{at}` is {_kind(value)}, a text is needed")
    return value


def _number(value: object, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FieldError(f"`{at}` is {_kind(value)}, a number is needed")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FieldError(f"`{at}` is not finite, a finite number is needed")
    return number


def _named(trail: str) -> str:
    return f"`{trail}`" if trail else "it"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, (list, tuple)) else "an object"
