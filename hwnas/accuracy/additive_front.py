"""Exact front where score and cost are sums over blocks: a dynamic programme over their widths and depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORE_STEPS = 10_000
"""Costs are told apart to this part of the whole network's."""
Picks = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """One form of a block: the options that make it, what it adds to the cost, and to the loss."""

    picks: Picks
    cost: float
    loss: float


@dataclass(frozen=True)
class _Labels:
    """Partial networks, none of which is both dearer and worse than another; by their last form and what it follows."""

    cost: NDArray[np.float64]
    loss: NDArray[np.float64]
    form: NDArray[np.int64]
    before: NDArray[np.int64]
    state_before: NDArray[np.int64]


def exact_front(blocks: Sequence[Sequence[Form]]) -> list[tuple[float, float, dict[str, Any]]]:
    """Return (cost, loss, options) of every network that no other one beats in both, by rising cost.

    Forms of several blocks may name the same choice: they go together where they name the same option. Exact but for
    networks whose costs differ by less than a ten-thousandth of the dearest.
    """
    grid = sum(max(form.cost for form in forms) for forms in blocks) / SCORE_STEPS or 1.0
    later = [{name for forms in blocks[i + 1 :] for form in forms for name in form.picks} for i in range(len(blocks))]
    zero = np.zeros(1)
    none = np.full(1, -1, dtype=np.int64)
    states: list[dict[str, Any]] = [{}]
    stages = [[_Labels(zero, zero, none, none, none)]]
    for forms, alive in zip(blocks, later, strict=True):
        grown: dict[tuple[tuple[str, Any], ...], list[_Labels]] = {}
        for number, (state, labels) in enumerate(zip(states, stages[-1], strict=True)):
            for index, form in enumerate(forms):
                if any(state.get(name, option) != option for name, option in form.picks.items()):
                    continue
                merged = {**state, **form.picks}
                key = tuple(sorted((name, option) for name, option in merged.items() if name in alive))
                grown.setdefault(key, []).append(_extended(labels, form, index, number))
        states = [dict(key) for key in grown]
        stages.append([_pruned(several, grid) for several in grown.values()])
    return _read(blocks, stages)


def _extended(labels: _Labels, form: Form, index: int, state: int) -> _Labels:
    count = len(labels.cost)
    same = np.full(count, index), np.arange(count), np.full(count, state)
    return _Labels(labels.cost + form.cost, labels.loss + form.loss, *same)


def _pruned(several: Sequence[_Labels], grid: float) -> _Labels:
    joined = _Labels(*(np.concatenate([getattr(one, key) for one in several]) for key in _Labels.__annotations__))
    order = np.lexsort((joined.cost, joined.loss, np.floor(joined.cost / grid)))
    loss = joined.loss[order]
    least = np.minimum.accumulate(np.concatenate([[np.inf], loss[:-1]]))
    kept = order[loss < least]
    return _Labels(*(getattr(joined, key)[kept] for key in _Labels.__annotations__))


def _read(
    blocks: Sequence[Sequence[Form]], stages: Sequence[Sequence[_Labels]]
) -> list[tuple[float, float, dict[str, Any]]]:
    """Follow each label of the last stage back to the options that it stands for."""
    (last,) = stages[-1]
    front = []
    for label in range(len(last.cost)):
        picks: dict[str, Any] = {}
        at, state = label, 0
        for stage in range(len(blocks), 0, -1):
            labels = stages[stage][state]
            picks |= blocks[stage - 1][int(labels.form[at])].picks
            at, state = int(labels.before[at]), int(labels.state_before[at])
        front.append((float(last.cost[label]), float(last.loss[label]), picks))
    return front
