"""The codebook of a space of stages: one small table for each slot."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

import numpy as np
from numpy.typing import NDArray

from hwnas.network import Placed, placements
from hwnas.ops import Shape
from hwnas.population.codebook import EMPTY_SLOT, Codebook, Codes, Ints, Link
from hwnas.population.shared import SharedCodes
from hwnas.space import Choice, Space, Value
from hwnas.space.canonical import combinations

States = dict[Shape, int]


@dataclass(frozen=True)
class _Slot:
    """A slot's table. Its entries are numbered by the entering shape's state plus a sum of codes times `strides`."""

    strides: Mapping[int, int]
    """By column; no other code matters here."""
    places: Ints
    """(entries,) places in `links`, `EMPTY_SLOT` where the layer is not there."""
    states: Ints | None
    """(entries,) the state of the shape that leaves, None where it always has the number of the one that enters."""


@dataclass(frozen=True)
class _Entering:
    """States of the network's input."""

    numbered: States
    places: Ints
    """The state of each combination of sizes, which are numbered by a sum of codes times `strides`."""
    strides: Mapping[int, int]

    def states(self, codes: Codes) -> Ints:
        number = np.zeros(len(codes), np.intp)
        for column, stride in self.strides.items():
            number += stride * codes[:, column].astype(np.intp)
        return self.places[number]


@final
class StageCodebook(Codebook):
    """The codebook of a space of stages.

    An operator depends on a few choices and on the shape that enters it. So each slot has a table, indexed by the codes
    of these choices and by a *state*, the number of the entering shape among those that the slot can see. The table
    holds the link and the next state; a population is followed from slot to slot.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self._space = space
        self._shared = SharedCodes.of(space)
        self._columns = {choice.name: column for column, choice in enumerate(self.choices)}
        self._needs = [
            (self._columns[name], self._columns[other], np.isin(range(len(known)), [known.index(o) for o in options]))
            for name, needs in space.conditions.items()
            for other, options in needs.items()
            for known in [self.choices[self._columns[other]].options]
        ]
        self._blocks = [need for need in self._needs if self.choices[need[1]].name.endswith(".op")]
        self._block_of = {column: (op, opens.tobytes()) for column, op, opens in self._blocks}
        by_slot: dict[str, list[Placed]] = {}
        self._links: dict[Link, int] = {}
        for placed in placements(space):
            by_slot.setdefault(placed.slot, []).append(placed)
        for placed in (placed for slot in by_slot.values() for placed in slot):
            self._links.setdefault(placed.link, len(self._links))
        self._every_link = tuple(self._links)
        self._entering = self._inputs()
        self._slots = list(self._chain(by_slot))
        strides = np.zeros((len(self._slots), len(self.choices)))
        for row, slot in zip(strides, self._slots, strict=True):
            row[list(slot.strides)] = list(slot.strides.values())
        small = max(len(slot.places) for slot in self._slots) < 2**24  # whole numbers up to here are exact in float32
        self._strides = strides.astype(np.float32 if small else np.float64)

    @property
    def links(self) -> Sequence[Link]:
        return self._every_link

    def meet(self, codes: Codes) -> None:
        pass

    def _settled(self, codes: Codes) -> Codes:
        return codes if self._shared is None else self._shared.settle(codes)

    def active(self, codes: Codes) -> NDArray[np.bool_]:
        codes = self._settled(codes)
        active = np.ones(codes.shape, dtype=np.bool_)
        for column, other, opens in self._needs:
            active[:, column] &= opens[codes[:, other]]
        return active

    def draw(self, count: int, rng: np.random.Generator) -> Codes:
        codes = np.empty((count, len(self.choices)), dtype=self._dtype)
        for column, choice in enumerate(self.choices):
            codes[:, column] = _drawn(choice, count, rng)
        if self._shared is not None:
            codes[:, self._shared.columns] = self._shared.distinct[_drawn(self._shared.joint, count, rng)]
        return self.canonical(codes)

    def every(self) -> Codes:
        codes = np.zeros((1, len(self.choices)), dtype=self._dtype)
        decided: tuple[int, ...] = ()
        if self._shared is not None:
            decided = self._shared.columns
            codes = codes.repeat(len(self._shared.distinct), axis=0)
            codes[:, decided] = self._shared.distinct
        for column, choice in enumerate(self.choices):  # what a choice hangs on comes before it
            if column not in decided:
                count, options = len(codes), len(choice.options)
                codes = codes.repeat(options, axis=0)
                codes[:, column] = np.tile(np.arange(options), count)
                codes = codes[(codes[:, column] == 0) | self.active(codes)[:, column]]
        return codes

    def _tables(self) -> list[Ints]:
        return [slot.places for slot in self._slots]

    def _entries(self, codes: Codes) -> Iterator[Ints]:
        if self._blocks:
            codes = codes.copy()
            for column, op, opens in self._blocks:
                codes[:, column] *= opens[codes[:, op]]
        entries = (self._strides @ codes.T.astype(self._strides.dtype)).astype(np.intp)
        state = self._entering.states(codes)
        for slot, entry in zip(self._slots, entries, strict=True):
            entry += state
            yield entry
            if slot.states is not None:
                state = slot.states.take(entry)

    def _inputs(self) -> _Entering:
        """The shapes of the network's input, by the codes of the choices that decide its sizes."""
        sizes = self._space.input
        options = {knob.shared or name: knob.options for name, knob in sizes.items()}
        shapes = [
            self._space.shape({name: int(picks[knob.shared or name]) for name, knob in sizes.items()})
            for picks in combinations(options)
        ]
        numbered, stride, strides = _numbered(shapes), len(shapes), dict[int, int]()
        for name, known in options.items():
            stride //= len(known)
            if name in self._columns:
                strides[self._columns[name]] = stride
        return _Entering(numbered, np.array([numbered[shape] for shape in shapes], dtype=np.intp), strides)

    def _chain(self, by_slot: Mapping[str, Sequence[Placed]]) -> Iterator[_Slot]:
        """The tables, slot by slot along the network."""
        entering = self._entering.numbered
        for stage in self._space.stages:
            for index in range(1, max(map(int, stage.depth.options)) + 1):
                placed = by_slot[f"{stage.name}_{index}"]
                deep = np.array([int(depth) >= index for depth in stage.depth.options])
                leaving = _numbered((*(one.leaving for one in placed), *(() if deep.all() else entering)))
                depth = None if deep.all() else self._columns[stage.depth_choice]
                yield self._slot(placed, entering, leaving, depth, deep)
                entering = leaving

    def _slot(
        self, placed: Sequence[Placed], entering: States, leaving: States, depth: int | None, deep: NDArray[np.bool_]
    ) -> _Slot:
        picks = [self._codes(one.picks) for one in placed]
        strides, size = self._place_values(picks, depth, len(entering))
        entries = np.arange(size)
        state = entries % len(entering)
        places, states = np.full(size, EMPTY_SLOT), np.full(size, EMPTY_SLOT)
        if depth is not None:
            passed = np.array([leaving[shape] for shape in entering])
            absent = ~deep[entries // strides[depth] % len(deep)]
            states[absent] = passed[state[absent]]
        for one, codes in zip(placed, picks, strict=True):
            at = entering[one.shape] + sum(strides[column] * code for column, code in codes.items())
            # the same operator stands there at every depth that reaches it
            repeats = np.flatnonzero(deep) * strides[depth] if depth is not None and depth not in codes else 0
            places[at + repeats], states[at + repeats] = self._links[one.link], leaving[one.leaving]
        stays = ((states == state) | (states == EMPTY_SLOT)).all()
        return _Slot(strides, places, None if stays else np.maximum(states, 0))

    def _codes(self, picks: Mapping[str, Value]) -> dict[int, int]:
        """Return the codes of picks by column; only open choices are included."""
        open_picks = {self._columns[name]: value for name, value in picks.items() if name in self._columns}
        return {column: self.choices[column].options.index(value) for column, value in open_picks.items()}

    def _place_values(
        self, picks: Sequence[Mapping[int, int]], depth: int | None, size: int
    ) -> tuple[dict[int, int], int]:
        """Return the stride of each column's code in an entry's number, and the number of entries.

        Choices that belong to different blocks of a layer are never active together, so they share their digits.
        """
        columns = sorted({column for codes in picks for column in codes} | (set() if depth is None else {depth}))
        strides: dict[int, int] = {}
        for column in (column for column in columns if column not in self._block_of):
            strides[column], size = size, size * int(self._sizes[column])
        ends = [size]
        for block in dict.fromkeys(self._block_of[column] for column in columns if column in self._block_of):
            end = size
            for column in (column for column in columns if self._block_of.get(column) == block):
                strides[column], end = end, end * int(self._sizes[column])
            ends.append(end)
        return strides, max(ends)


def _numbered(shapes: Iterable[Shape]) -> States:
    return {shape: state for state, shape in enumerate(dict.fromkeys(shapes))}


def _drawn(choice: Choice, count: int, rng: np.random.Generator) -> Ints:
    """Codes of one choice, each as likely as its weight; exact for weights of any size."""
    if choice.weights is None:
        return rng.integers(len(choice.options), size=count)
    upto = list(accumulate(choice.weights))
    if upto[-1] < 2**63:
        return np.searchsorted(upto, rng.integers(upto[-1], size=count), side="right")
    hand = random.Random(int(rng.integers(2**63)))
    return np.array([bisect_right(upto, hand.randrange(upto[-1])) for _ in range(count)], dtype=np.intp)
