"""Methods of tasks that others wrote: what they raise or return wrongly is told with their name and their line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hwnas.errors import ConfigError
from hwnas.tasks.ends import TensorSpec
from hwnas.tasks.metrics.estimate import Estimate
from hwnas.user_code import calling


def guarded(name: str, method: Callable[..., Any], kind: type | None = None) -> Callable[..., Any]:
    """Return a method of a user's task that raises `ConfigError` for whatever the own one raises or returns wrongly.

    Args:
        name: of the method, one of `GUARDED`.
        method: the user's own.
        kind: class of what it returns, where that is one of the contract's own.
    """
    form, fault = _RESULTS[name]

    @functools.wraps(method)
    def call(task: Any, *args: Any, **kwargs: Any) -> Any:
        title = f"{type(task).__name__}.{name}"
        with calling(method, ConfigError, name=title, allowed=form):
            result = method(task, *args, **kwargs)
        odd = kind is not None and not isinstance(result, kind)
        problem = f"{type(result).__name__}, no {kind.__name__}" if odd and kind else fault(task, result, args)
        if problem is not None:
            raise ConfigError(
                f"`{title}` returns {problem}", where=line_of(method), allowed=form, do="Correct the method"
            )
        return result

    return call


def line_of(method: Callable[..., Any]) -> str:
    """Return `FILE:LINE` of a function."""
    code = inspect.unwrap(method).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _loss(task: Any, loss: Any, args: Any) -> str | None:
    import torch

    if not isinstance(loss, torch.Tensor):
        return f"{type(loss).__name__}, no tensor"
    if loss.ndim:
        return f"a tensor of shape {tuple(loss.shape)}"
    return None


def _statistics(task: Any, sums: Any, args: Any) -> str | None:
    from torch.utils._pytree import tree_leaves

    samples = len(tree_leaves(args[1].targets)[0])
    if sums.count != samples:
        return f"the sums of {sums.count} samples for a batch of {samples}"
    short = [name for name, rows in sums.samples.items() if len(rows) != samples]
    return f"`samples[{short[0]!r}]` with {len(sums.samples[short[0]])} rows for {samples} samples" if short else None


def _values(task: Any, values: Any, args: Any) -> str | None:
    if not isinstance(values, Mapping):
        return f"{type(values).__name__}, no mapping"
    for metric in task.metrics:
        if metric.name not in values:
            return f"no value of the metric `{metric.name}`"
        if not isinstance(values[metric.name], Estimate):
            return f"{type(values[metric.name]).__name__} for the metric `{metric.name}`, no Estimate"
    return None


def _specs(task: Any, specs: Any, args: Any) -> str | None:
    ends = specs if isinstance(specs, tuple) and len(specs) == 2 else ()
    tuples = [isinstance(end, tuple) and bool(end) for end in ends]
    sound = tuples == [True, True] and all(isinstance(one, TensorSpec) for end in ends for one in end)
    return None if sound else "what is no pair of inputs and outputs"


_Fault = Callable[[Any, Any, Any], str | None]
_RESULTS: Mapping[str, tuple[str, _Fault]] = {
    "loss": ("It returns the mean loss of a batch, a tensor without axes", _loss),
    "distill": ("It returns the mean loss against a teacher's outputs, a tensor without axes", _loss),
    "statistics": ("It returns `Sums` of the batch, with as many samples as that has", _statistics),
    "values": ("It maps each metric's name to an `Estimate`", _values),
    "agreement": ("It returns an `Agreement`: the largest difference, and the share of same answers", lambda *_: None),
    "specs": ("It returns two tuples of `TensorSpec`: the inputs, and the outputs", _specs),
}
GUARDED = tuple(_RESULTS)
"""Names of methods that are guarded."""
