"""Models that are read strictly, and pydantic's errors in hwnas's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from hwnas.errors import ConfigError, did_you_mean, nearest


class StrictModel(BaseModel):
    """Base of models that are strict about keys; numbers may be text, because YAML 1.1 reads `1e-3` as one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that are understood."""
        return list(cls.model_fields)

    @classmethod
    def type_of(cls, key: str) -> Any:
        """Return the type of a key's value."""
        return cls.model_fields[key].annotation

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"`{info.field_name}` takes a value of its own, no yes or no")
        if isinstance(value, str) and _UNCLEAR.search(value) and _is_number(cls.model_fields[str(info.field_name)]):
            raise ValueError("a number is its decimal digits alone, without a zero before them and without `_`")
        return value


_UNCLEAR = re.compile(r"^\s*[-+]?0[0-9]|_")
"""Texts that pydantic takes for a number and readers of YAML disagree about, such as 08 and 1_000."""


def _is_number(field: FieldInfo) -> bool:
    """Return whether a field holds a number and cannot hold a text."""
    arms = {arm for arm in _arms(field.annotation) if not _is_section(arm)}
    return bool(arms) and arms <= {int, float}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _arms(kind: Any) -> set[Any]:
    """Return the types of a union, without None and without what annotates them."""
    if get_origin(kind) is Annotated:
        return _arms(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return set().union(*map(_arms, get_args(kind))) - {NoneType}
    return {kind}


_Config = TypeVar("_Config", bound=StrictModel)


def parsed(model: type[_Config], raw: dict[str, Any], where: str) -> _Config:
    """Return the model that a mapping describes; `where` stands in its errors.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _explained(model, raw, error, where) from None


def _explained(model: type[StrictModel], raw: Any, error: ValidationError, where: str) -> ConfigError:
    """Return the first error; a misspelt key comes before the key that is missing because of it."""
    all_errors = error.errors(include_url=False)
    first = min(all_errors, key=lambda detail: detail["type"] not in ("extra_forbidden", "invalid_key"))
    message = first["msg"].removeprefix("Value error, ")
    trail = _trail(raw, first["loc"])
    if not trail:
        problem, _, allowed = message.partition(". ")
        return ConfigError(problem, where=where, allowed=allowed, do="Correct the name or declare it")
    trail = [_quoted(key, ()) for key in trail]
    name, at = trail[-1], f"{where}: {'.'.join(trail[:-1])}" if len(trail) > 1 else where
    others = {tuple(_trail(raw, detail["loc"])) for detail in all_errors} - {
        tuple(trail)
    }  # a union tells of each member
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] in ("extra_forbidden", "invalid_key"):
        here = _model_at(model, trail[:-1]).known_keys()
        above = None if nearest(name, here) else nearest(name, model.known_keys())
        do = f"Correct or remove it; `{above}` stands at the top" if above else "Correct or remove it"
        return ConfigError(f"unknown key `{name}`{more}", where=at, allowed=did_you_mean(name, here), do=do)
    if first["type"] == "missing":
        keys = ", ".join(_model_at(model, trail[:-1]).model_fields)
        return ConfigError(f"the key `{name}` is missing{more}", where=at, allowed=f"Keys here: {keys}", do="Add it")
    shown = "empty" if first["input"] is None else _quoted(repr(first["input"]), trail)
    return ConfigError(
        f"`{name}` is {shown if len(shown) < 60 else shown[:56] + ' …'}{more}",
        where=at,
        allowed=_allowed(model, trail, first["type"], message, first["input"]),
        do="Correct the value",
    )


def _quoted(text: str, trail: Sequence[str]) -> str:
    """Return the text, unless it may hold a password: that of a storage, or of a URL anywhere."""
    secret = trail[-1:] == ["search"] or "storage" in trail or "://" in text or re.search(r":.*@", text)
    return "text or a section that is not repeated here" if secret else text


def _allowed(model: type[StrictModel], trail: Sequence[str], kind: str, message: str, value: Any) -> str:
    if kind == "literal_error":
        return did_you_mean(str(value), re.findall("'([^']+)'", message))
    if kind == "model_type":
        return f"A section with keys: {', '.join(_model_at(model, trail).model_fields)}"
    if kind == "string_type" and trail in (["data"], ["task"]):
        return f"The name of a {'data set' if trail == ['data'] else 'task'}, or a section with its `name` and options"
    if kind in _ALLOWED:
        return _ALLOWED[kind]
    if kind in ("float_parsing", "int_parsing"):
        return f"`{trail[-1]}` is a number alone; its unit, if it has one, stands in the key's name"
    return message.replace("Input should", f"`{trail[-1]}` should")


_ALLOWED = {
    "string_pattern_mismatch": "A name begins with a letter or a digit, and holds these and `_`, `.`, `-`",
    "string_type": "Text; quote a number or a date that is meant as text",
    "dict_type": "A section of names, each with keys of its own",
    "tuple_type": "A list, such as `[a, b]`",
    "too_short": "There is at least one",
}
"""Allowed values, by pydantic's kinds of errors; the messages of other kinds already say it well."""


def _trail(raw: Any, location: Sequence[int | str]) -> list[str]:
    """Return the keys that lead to an error; pydantic adds its own steps, such as `[key]` and members of a union."""
    trail: list[str] = []
    for step in location:
        if isinstance(raw, list | tuple) and isinstance(step, int):
            trail[-1] += f"[{step}]"
            raw = raw[step]
        elif str(step).startswith("["):
            continue
        elif isinstance(raw, dict):
            trail.append(str(step))
            raw = raw.get(step)
        else:
            break
    return trail


def _model_at(model: type[StrictModel], trail: Sequence[str]) -> type[StrictModel]:
    """Return the section that a trail of keys leads to."""
    kind: Any = model
    for key in trail:
        name, _, index = key.partition("[")
        kind = get_args(kind)[1] if get_origin(kind) is dict else kind.type_of(name)
        kind = get_args(kind)[0] if index else kind
        kind = next((arm for arm in _arms(kind) if _is_section(arm)), kind)
    section: type[StrictModel] = kind
    return section
