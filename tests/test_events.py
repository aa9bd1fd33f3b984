"""Events of measuring processes: what is called on one side of a pipe is called on the other."""

from __future__ import annotations

import io
from typing import Any

from hwnas.measure.events import EventWriter, Outcomes, forward


class Calls:
    """Notes every event with its arguments."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def __getattr__(self, event: str) -> Any:
        return lambda *arguments: self.seen.append((event, *arguments))


def report(events: Any) -> None:
    events.started(0)
    events.failed(0, "a line\nand another")
    events.started(None)
    events.round(1, 6)
    events.sample(1, {"rounds_ns": [1.5, 2.0], "conditions": {"mhz": [1, 2]}})
    events.done()


def test_events_cross_a_pipe_unchanged() -> None:
    here, there, pipe = Calls(), Calls(), io.StringIO()
    report(here)
    report(EventWriter(pipe))
    for line in pipe.getvalue().splitlines():
        forward(line, there)  # type: ignore[arg-type]
    assert there.seen == here.seen
    assert len(here.seen) == 6


def test_outcomes_stand_in_the_order_in_which_they_came() -> None:
    counts: list[int] = []
    outcomes = Outcomes(lambda values: len(values["rounds_ns"]), counts.append)
    report(outcomes)
    assert outcomes.results == [(0, "a line\nand another"), (1, 2)]
    assert counts == [1, 2]
