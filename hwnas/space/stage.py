"""Stages: the parts that a space is written as, and the layers that an architecture makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.space.architecture import Value


@dataclass(frozen=True)
class Knob:
    """One or more options for one knob; `shared` names the space-wide choice that decides it."""

    options: tuple[Value, ...]
    shared: str | None = None


@dataclass(frozen=True)
class Block:
    """An operator with its own knobs; `label` is its option in a choice between blocks."""

    label: str
    op: str
    knobs: Mapping[str, Knob] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """`depth` layers of one width. The first layer takes the stride; `per_stage` knobs are decided once."""

    name: str
    blocks: tuple[Block, ...]
    depth: Knob
    width: Knob | None
    stride: int | None
    knobs: Mapping[str, Knob]
    per_stage: frozenset[str] = frozenset()

    def picks(self, index: int, block: Block, decided: Mapping[str, Value]) -> dict[str, Value]:
        """Return the picks, by choice name, that make layer `index` this block with these knobs decided."""
        slot = f"{self.name}.{index}"
        picks: dict[str, Value] = {f"{slot}.op": block.label}
        for name, value in decided.items():
            if name == "out_channels":
                knob, own = self.width, f"{self.name}.width"
            elif name in block.knobs:
                knob, own = block.knobs[name], f"{slot}.{block.label}.{name}"
            else:
                knob, own = self.knobs[name], f"{self.name if name in self.per_stage else slot}.{name}"
            picks[own if knob is None or knob.shared is None else knob.shared] = value
        return picks

    @property
    def may_be_empty(self) -> bool:
        """True if the stage may have no layer at all."""
        return 0 in self.depth.options

    @property
    def stage_knobs(self) -> dict[str, Knob]:
        """Knobs decided once for all layers: width, knobs per stage, and knobs that a shared choice decides."""
        width = {} if self.width is None else {"width": self.width}
        once = {n: knob for n, knob in self.knobs.items() if n in self.per_stage or knob.shared is not None}
        return width | once

    @property
    def depth_choice(self) -> str:
        """The choice that decides how many layers there are."""
        return self.depth.shared or f"{self.name}.depth"


@dataclass(frozen=True, eq=False)
class Layer:
    """One operator yet to be made: its place in the space, its kind, its knobs (input channels excepted).

    Compared by identity, which is quick: a space keeps the layers that it made and hands them out again.
    """

    slot: str
    op: str
    knobs: Mapping[str, Value]


@dataclass(frozen=True)
class Blueprint:
    """All that one architecture decides: sizes of the input, and layers."""

    input: Mapping[str, int]
    """By the keys of the space's `input`."""
    layers: tuple[Layer, ...]
