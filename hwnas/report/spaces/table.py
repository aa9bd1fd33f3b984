"""A space as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.cost_ranges import Range
from hwnas.report import units
from hwnas.report.spaces.facts import KnobFacts, SpaceView, StageFacts, options, sides
from hwnas.words import counted


def space_table(view: SpaceView) -> Table:
    """Stages in order: operators, resolutions, widths, depths, ways, parameters and MACs; it fits 80 columns."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    counted = any(stage.ways is not None for stage in view.stages)
    table.add_column("stage" if counted else "slot", no_wrap=True)
    table.add_column("operator", no_wrap=True)
    for name in ("in", "width", "depth", "ways" if counted else "kinds", "params", "MACs"):
        table.add_column(name, justify="right", no_wrap=name in ("params", "MACs"))
    for stage in view.stages:
        ways = stage.ways if counted else stage.operators
        table.add_row(
            Text(stage.name, "bold"),
            Text("\n".join(dict.fromkeys(block.op for block in stage.blocks))),
            Text(sides(stage.entering).replace(" to ", "\nto ").replace(" positions", "\nlong")),
            Text(_told(stage.width)),
            Text(_told(stage.depth)),
            Text(units.GAP if ways is None else units.architectures(ways)),
            Text(_stacked(stage.params)),
            Text(_stacked(stage.macs)),
        )
    return table


def choice_lines(view: SpaceView) -> Iterator[str]:
    """The knobs of each stage; stages with the same ones share a line."""
    alike: dict[str, list[str]] = {}
    for stage in view.stages:
        if words := "; ".join(_stage_words(stage)):
            alike.setdefault(words, []).append(stage.name)
    for words, names in alike.items():
        yield f"{', '.join(names)}:  {words}"


def _stage_words(stage: StageFacts) -> Iterator[str]:
    several = len(stage.blocks) > 1
    yield from (knob_words(knob) for knob in (stage.width, stage.depth) if len(knob.options) > 1)
    for block in stage.blocks:
        if several or block.knobs:
            knobs = "; ".join(map(knob_words, block.knobs))
            yield f"{block.label} ({knobs})" if knobs else block.label
    yield from map(knob_words, stage.knobs)
    if stage.stride > 1:
        yield f"stride {stage.stride}"


def knob_words(knob: KnobFacts) -> str:
    """`kernel 3, 5, 7`, `expand 4, 6 once`, and `heads $heads` of what a shared choice decides."""
    if knob.per in ("layer", "stage") or len(knob.options) == 1:
        open_once = knob.per == "stage" and len(knob.options) > 1 and knob.name not in ("width", "depth")
        once = " once" if open_once else ""
        return f"{knob.name} {options(knob)}{once}"
    return f"${knob.per}" if knob.per == knob.name else f"{knob.name} ${knob.per}"


def headline(view: SpaceView) -> Iterator[str]:
    """Count, resolution, shared choices and ranges, a line each."""
    decisions = counted(view.decisions, "choice")
    if view.architectures is None:
        power = view.architectures_log10
        size = "more architectures than can be counted" if power is None else f"10^{power:.1f} architectures"
        yield f"{size}, {decisions}"
    else:
        about = f" ({units.architectures(view.architectures)})" if view.architectures >= 10**9 else ""
        yield f"{counted(view.architectures, 'architecture')}{about}, {decisions}"
    if view.uncut is not None:
        yield f"one operator for the whole network: {view.uncut}"
    yield f"{view.resolution.name}  {options(view.resolution)}"
    yield f"parameters  {span(view.params)}{_origin(view)}"
    ends = sorted(side for side in view.resolution.options if isinstance(side, int | float))
    at = f", at resolutions {ends[0]:g} and {ends[-1]:g}" if len(ends) > 1 and view.looked_at is None else ""
    yield f"MACs  {span(view.macs)}{_origin(view)}{at}"
    sign = "" if any(stage.ways is None for stage in view.stages) else "$"
    for knob in view.shared:
        yield f"{sign}{knob.name}  {options(knob)}"


def _origin(view: SpaceView) -> str:
    return "" if view.looked_at is None else f", of {counted(view.looked_at, 'network')}"


def span(bounds: Range) -> str:
    """`464`, `3.41 M to 7.66 M`."""
    if bounds.least == bounds.most:
        return units.count(bounds.least)
    return f"{units.count(bounds.least)} to {units.count(bounds.most)}"


def _stacked(extent: Range) -> str:
    return span(extent).replace(" to ", "\nto ")


def _told(knob: KnobFacts) -> str:
    """The options, or the ends of more than four of them or of wide ones."""
    whole = options(knob)
    if len(whole) <= 10 or len(knob.options) < 2:
        return whole
    return f"{knob.options[0]}\nto {knob.options[-1]}"
