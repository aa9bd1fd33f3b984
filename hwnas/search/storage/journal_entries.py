"""The entries of a journal, read strictly line by line, so that Optuna can replay them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages.journal import _storage as optunas
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from hwnas.errors import RunError
from hwnas.io.fields import FieldError, Fields, loads

STATES = frozenset(state.value for state in TrialState)
DIRECTIONS = (0, 1, 2)


def read_entries(path: Path, after_bytes: int = 0, after_lines: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the entries behind the first bytes and lines, each with the bytes of its line, but no cut last line.

    Raises:
        RunError: a line is no entry; it is named.
    """
    with path.open("rb") as file:
        file.seek(after_bytes)
        for number, line in enumerate(file, after_lines + 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield checked(loads(line)), len(line)
            except FieldError as error:
                raise RunError(
                    f"the line is no entry of a study: {error}",
                    where=f"{path}:{number}",
                    allowed="A study is a log that Optuna wrote; only its last line may be cut off",
                    do="Restore it, or remove it and search again; scores that are stored are not computed again",
                ) from error


def checked(raw: object) -> dict[str, Any]:
    """Return the entry, which can be replayed whatever stands before it.

    Raises:
        FieldError: a field is missing, of another kind, or out of range.
    """
    entry = Fields(raw)
    operation = entry.integer("op_code")
    entry.text("worker_id")
    if operation not in _CHECKS:
        raise FieldError(f"`op_code` is {operation}, and Optuna knows none beyond {max(_CHECKS)}")
    for check in _CHECKS[operation]:
        check(entry)
    return entry.raw  # type: ignore[return-value]  # it came from JSON


@contextmanager
def shared_distributions() -> Iterator[None]:
    """Make equal distributions one object within the block: Optuna parses those of each trial anew, and keeps them."""
    before, name = json_to_distribution, "json_to_distribution"
    setattr(optunas, name, _distribution)
    try:
        yield
    finally:
        setattr(optunas, name, before)


@lru_cache(maxsize=100_000)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


# --- checks of each operation ---

_Check = Callable[[Fields], object]


def _directions(entry: Fields) -> None:
    entry.text("study_name")
    directions = entry.array("directions")
    if not directions or not all(type(one) is int and one in DIRECTIONS for one in directions):
        raise FieldError("`directions` holds something else than 0, 1 and 2")


def _one(name: str) -> _Check:
    def check(entry: Fields) -> None:
        if len(entry.object(name).names()) != 1:
            raise FieldError(f"`{name}` holds one attribute")

    return check


def _time(entry: Fields, name: str) -> None:
    if entry.optional(name):
        try:
            datetime.fromisoformat(entry.text(name)).astimezone()
        except (ValueError, OverflowError, OSError) as error:
            raise FieldError(f"`{name}` is no time") from error


def _state(entry: Fields) -> None:
    if entry.integer("state") not in STATES:
        raise FieldError(f"`state` is {entry.integer('state')}, a trial's is one of {sorted(STATES)}")


def _values(entry: Fields) -> None:
    if entry.optional("values"):
        entry.numbers("values")


def _new_state(entry: Fields) -> None:
    entry.value("values")
    _state(entry)
    _values(entry)
    _time(entry, "datetime_start")
    _time(entry, "datetime_complete")
    if entry.integer("state") in (0, 1, 2, 3):
        entry.text("datetime_start" if entry.integer("state") == 0 else "datetime_complete")


def _trial(entry: Fields) -> None:
    entry.value("datetime_start")
    for name in ("datetime_start", "datetime_complete"):
        _time(entry, name)
    if "datetime_complete" in entry:
        entry.text("datetime_complete")
    if "state" in entry:
        _state(entry)
    _values(entry)
    if entry.optional("value"):
        entry.number("value")
        if entry.optional("values"):
            raise FieldError("`value` and `values` are both given")
    for name in ("user_attrs", "system_attrs", "params", "distributions", "intermediate_values"):
        if name in entry:
            entry.object(name)
    if "intermediate_values" in entry and not all(map(_whole, entry.raw["intermediate_values"])):
        raise FieldError("`intermediate_values` has a step that is no whole number")
    _params(entry)


def _params(entry: Fields) -> None:
    """Check parameters, and make names that recur in every trial one object: 100,000 trials are held in memory."""
    texts: Mapping[str, Any] = entry.raw.get("distributions", {})
    params: Mapping[str, Any] = entry.raw.get("params", {})
    for name, text in texts.items():
        if type(text) is not str:
            entry.object("distributions").text(name)
    for name, value in params.items():
        if name not in texts:
            raise FieldError(f"`params.{name}` has no distribution")
        if type(value) not in (int, float) or (texts[name], value) not in _HELD:
            _param(f"params.{name}", value, texts[name])
    for field in ("params", "distributions"):
        if field in entry.raw:
            assert isinstance(entry.raw, dict)
            entry.raw[field] = dict(zip(map(sys.intern, entry.raw[field]), entry.raw[field].values(), strict=True))
    tried = entry.raw.get("user_attrs", {}).get("architecture")
    if isinstance(tried, dict) and isinstance(tried.get("picks"), dict):
        tried["picks"] = dict(zip(map(sys.intern, tried["picks"]), tried["picks"].values(), strict=True))


_HELD: set[tuple[str, float]] = set()
"""Distributions and values that were checked before."""


def _param(name: str, value: object, text: object) -> None:
    """Check that a distribution is one, and holds a parameter's value."""
    if not isinstance(text, str):
        raise FieldError(f"the distribution of `{name}` is no text")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(f"`{name}` is no number")
    try:
        distribution = _distribution(text)
        inside = distribution._contains(value)
    except Exception as error:  # Optuna takes its own texts for granted
        raise FieldError(f"the distribution of `{name}` cannot be read") from error
    if not inside:
        raise FieldError(f"`{name}` is {json.dumps(value)}, which its distribution does not hold")
    if len(_HELD) < 100_000:
        _HELD.add((text, value))


def _set_param(entry: Fields) -> None:
    _param(entry.text("param_name"), entry.value("param_value_internal"), entry.value("distribution"))


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20


def _step(entry: Fields) -> None:
    entry.integer("step")
    entry.number("intermediate_value")


def _study(entry: Fields) -> None:
    entry.integer("study_id")


def _number(entry: Fields) -> None:
    entry.integer("trial_id")


_CHECKS: Mapping[int, tuple[_Check, ...]] = {
    JournalOperation.CREATE_STUDY: (_directions,),
    JournalOperation.DELETE_STUDY: (_study,),
    JournalOperation.SET_STUDY_USER_ATTR: (_study, _one("user_attr")),
    JournalOperation.SET_STUDY_SYSTEM_ATTR: (_study, _one("system_attr")),
    JournalOperation.CREATE_TRIAL: (_study, _trial),
    JournalOperation.SET_TRIAL_PARAM: (_number, _set_param),
    JournalOperation.SET_TRIAL_STATE_VALUES: (_number, _new_state),
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE: (_number, _step),
    JournalOperation.SET_TRIAL_USER_ATTR: (_number, _one("user_attr")),
    JournalOperation.SET_TRIAL_SYSTEM_ATTR: (_number, _one("system_attr")),
    JournalOperation.DISCARD_TRIALS: (),
}
