"""A task as spaces and experiments name it: its class, and values of its fields as options."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, did_you_mean
from hwnas.quantities import Quantity
from hwnas.tasks.task import Task
from hwnas.user_code import calling, named, source_of

TASK_FORM = (
    "A task is a frozen dataclass of `hwnas.tasks.Task` with `metrics`, `loss`, `statistics`, `values` and `agreement`"
)


def named_spec(spec: Any, *, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a task, and its options.

    Raises:
        ConfigError: it has no name.
    """
    if isinstance(spec, str):
        return spec, {}
    name = spec.get("name") if isinstance(spec, Mapping) else None
    if not isinstance(name, str):
        raise ConfigError(
            f"`task` is {spec!r}, which names no task",
            where=where,
            allowed="Write `task: NAME`, `task: my_task.py:MyTask` or `task: {name: NAME, option: value}`",
            do="Add the name",
        )
    return name, {str(key): value for key, value in spec.items() if key != "name"}


def user_task(reference: str, *, base: Path, where: str) -> type[Task]:
    """Return the class that a user names as `file.py:Class` or `module:Class`.

    Raises:
        ConfigError: there is none, or it is no task.
    """
    kind = named(reference, base=base, where=where)
    if fault := fault_of(reference, kind):
        raise ConfigError(
            f"`{reference}` {fault}", where=_place(kind, where), allowed=TASK_FORM, do="Correct the class"
        )
    checked: type[Task] = kind
    return checked


def fault_of(name: str, value: Any) -> str | None:
    """Return the fault of what is no class of tasks; None if it is one."""
    if not (isinstance(value, type) and issubclass(value, Task)):
        return f"is {value!r}, and a `Task` is needed"
    if "__dataclass_fields__" not in vars(value):
        return "is no dataclass of its own"
    if missing := sorted(getattr(value, "__abstractmethods__", ())):
        return f"has no method `{missing[0]}`"
    metrics = inspect.getattr_static(value, "metrics", ())
    if not isinstance(metrics, property) and not _are_metrics(metrics):
        return "has no `metrics`, a tuple of `hwnas.quantities.Quantity`"
    return None


def with_options(kind: type[Task], options: Mapping[str, Any], *, name: str, where: str) -> Task:
    """Return the task of a class with these options, the others being at their defaults.

    Raises:
        ConfigError: it has no such option, or the value is of another type or refused by the class.
    """
    known = options_of(kind)
    for key in options:
        if key not in known:
            raise ConfigError(
                f"the task `{name}` has no option `{key}`",
                where=where,
                allowed=did_you_mean(key, known) if known else "It has none",
                do="Correct or remove it",
            )
    values = {known[key].name: _checked(kind, known[key], value, key, where) for key, value in options.items()}
    allowed = f"Options of `{name}`: {', '.join(known)}"
    with calling(kind, ConfigError, where=where, name=name, options=options, allowed=allowed):
        task = kind(**values)
        hash(task)
        metrics = [metric.name for metric in task.metrics]
    if (quality := options.get("quality", metrics[0])) not in metrics:
        raise ConfigError(
            f"the task `{name}` has no metric `{quality}`",
            where=f"{where}.quality",
            allowed=did_you_mean(str(quality), metrics),
            do="Name one of its metrics",
        )
    return task


def options_of(kind: type[Task]) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of a task that a space or an experiment may set, by the keys that set them."""
    keys = {field.metadata.get("key", field.name): field for field in dataclasses.fields(kind) if field.init}
    return {key: field for key, field in keys.items() if key is not None}


def code_of(task: Task) -> str:
    """Return the name and the digest of the user's file that a task's class is from; empty if it is from none."""
    source = source_of(type(task))
    return "" if source is None else f"{source.path.name} {source.digest}"


def hint_of(kind: type[Task], field: dataclasses.Field[Any]) -> Any:
    """Return the type of a field; Any if its annotation names what only type checkers import."""
    try:
        return typing.get_type_hints(kind)[field.name]
    except (NameError, TypeError):
        return Any


def _checked(kind: type[Task], field: dataclasses.Field[Any], value: Any, key: str, where: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    hint = hint_of(kind, field)
    if isinstance(value, bool) and hint is not bool and hint is not Any:
        raise _wrong(hint, value, key, where)
    try:
        return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError:
        raise _wrong(hint, value, key, where) from None


def _wrong(hint: Any, value: Any, key: str, where: str) -> ConfigError:
    words = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    if words:
        allowed = did_you_mean(str(value), [str(word) for word in words])
    else:
        allowed = f"`{key}` is of type {_NAMES.get(hint, str(hint).replace('typing.', ''))}"
    return ConfigError(f"`{key}` is {value!r}", where=f"{where}.{key}", allowed=allowed, do="Correct the value")


_NAMES: Mapping[Any, str] = {bool: "yes or no", int: "whole number", float: "number", str: "text"}


def _are_metrics(metrics: Any) -> bool:
    return isinstance(metrics, tuple) and bool(metrics) and all(isinstance(one, Quantity) for one in metrics)


def _place(kind: Any, where: str) -> str:
    try:
        return f"{where}: {inspect.getsourcefile(kind)}:{inspect.getsourcelines(kind)[1]}"
    except (OSError, TypeError):
        return where
