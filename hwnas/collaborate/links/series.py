"""A link's state as it was recorded over time, replayed or resampled in blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from hwnas.latency.posterior import Floats

BYTES_PER_MS = 125.0
"""Bytes in a millisecond at one megabit per second."""


class Capacity(Protocol):
    """One direction of a link: how long bytes need at its rate, whatever the delay."""

    def finish_ms(self, start_ms: Floats, size: Floats) -> Floats:
        """Return when the last of so many bytes has left that begin to leave at `start_ms`."""

    def scaled(self, factor: float) -> Capacity:
        """Return so many times the rate."""


class Delay(Protocol):
    """Round trips of a link."""

    def at_ms(self, time_ms: Floats) -> Floats:
        """Return the round trip that begins at these times."""

    def up_ms(self, time_ms: Floats) -> Floats:
        """Return the way to the cloud that begins at these times."""

    def down_ms(self, time_ms: Floats) -> Floats:
        """Return the way back that begins at these times."""

    def scaled(self, factor: float) -> Delay:
        """Return round trips so many times as long."""


@dataclass(frozen=True, eq=False)
class ConstantRate:
    """A rate that each request keeps: one number, or one for each request."""

    mbps: Floats

    def finish_ms(self, start_ms: Floats, size: Floats) -> Floats:
        ends: Floats = start_ms + size / (self.mbps * BYTES_PER_MS)
        return ends

    def scaled(self, factor: float) -> ConstantRate:
        return ConstantRate(self.mbps * factor)


@dataclass(frozen=True, eq=False)
class ConstantDelay:
    """A round trip that each request keeps."""

    ms: Floats

    def at_ms(self, time_ms: Floats) -> Floats:
        return np.broadcast_to(self.ms, np.broadcast_shapes(np.shape(self.ms), np.shape(time_ms)))

    def up_ms(self, time_ms: Floats) -> Floats:
        return self.at_ms(time_ms) / 2

    def down_ms(self, time_ms: Floats) -> Floats:
        return self.at_ms(time_ms) / 2

    def scaled(self, factor: float) -> ConstantDelay:
        return ConstantDelay(self.ms * factor)


@dataclass(frozen=True, eq=False)
class Steps:
    """Values that hold from one time to the next, from 0 to `period_ms`; then the record begins anew.

    Args:
        starts_ms: ascending, the first is 0.
        values: one for each start.
        period_ms: end of the last one.
    """

    starts_ms: Floats
    values: Floats
    period_ms: float

    def at(self, time_ms: Floats) -> Floats:
        """Return the values at these times."""
        index = np.searchsorted(self.starts_ms, np.mod(time_ms, self.period_ms), side="right") - 1
        return self.values[index]

    @property
    def durations_ms(self) -> Floats:
        """How long each value holds."""
        return np.diff(self.starts_ms, append=self.period_ms)

    def resampled(self, rng: np.random.Generator, block_ms: float, repeats: int = 1) -> Steps:
        """Return a record of `repeats` times the length, of blocks that begin at random (circular block bootstrap).

        Neighbours stay together within a block, so that outages and fades keep their lengths; values that are drawn one
        by one would end every outage at once. Over all repeats the blocks begin evenly over the record: of a short one,
        some dozens of random blocks would hold its few bad moments far too often, or too seldom.
        """
        count, usual_ms = len(self.values), self.period_ms / len(self.values)
        length = int(np.clip(round(block_ms / usual_ms), 1, count))
        blocks = -(-count * repeats // length)
        begins = ((rng.permutation(blocks) + rng.random(blocks)) * count / blocks).astype(int)
        index = ((begins[:, None] + np.arange(length)) % count).ravel()[: count * repeats]
        durations = self.durations_ms[index]
        ends = np.cumsum(durations)
        return Steps(np.concatenate([[0.0], ends[:-1]]), self.values[index], float(ends[-1]))


@dataclass(frozen=True, eq=False)
class RateSeries:
    """A recorded rate in Mbps; bytes wait where it is 0."""

    steps: Steps

    @cached_property
    def _sent(self) -> tuple[Floats, Floats]:
        """Times and the bytes that could have left until then."""
        times = np.append(self.steps.starts_ms, self.steps.period_ms)
        carried = np.cumsum(self.steps.values * BYTES_PER_MS * self.steps.durations_ms)
        return times, np.concatenate([[0.0], carried])

    def finish_ms(self, start_ms: Floats, size: Floats) -> Floats:
        times, sent = self._sent
        rounds = np.floor(start_ms / self.steps.period_ms)
        within = start_ms - rounds * self.steps.period_ms
        index = np.clip(np.searchsorted(times, within, side="right") - 1, 0, len(times) - 2)
        rates = self.steps.values * BYTES_PER_MS
        target = sent[index] + (within - times[index]) * rates[index] + size
        more = np.floor(target / sent[-1])
        left = target - more * sent[-1]
        index = np.clip(np.searchsorted(sent, left, side="left") - 1, 0, len(times) - 2)
        rest = left - sent[index]
        lasts = np.divide(rest, rates[index], out=np.zeros_like(rest), where=rates[index] > 0)
        ends: Floats = (rounds + more) * self.steps.period_ms + times[index] + lasts
        return np.where(size > 0, np.maximum(ends, start_ms), start_ms)

    def scaled(self, factor: float) -> RateSeries:
        return RateSeries(replace(self.steps, values=self.steps.values * factor))


@dataclass(frozen=True, eq=False)
class DelaySeries:
    """Recorded round trips in ms. A packet that an outage holds back has a long one.

    The way back always takes half of the shortest one, and the way there the rest: what leaves at any time returns as
    the record has it, and nothing passes within an outage.
    """

    steps: Steps

    def at_ms(self, time_ms: Floats) -> Floats:
        return self.steps.at(time_ms)

    def up_ms(self, time_ms: Floats) -> Floats:
        return self.at_ms(time_ms) - self._back_ms

    def down_ms(self, time_ms: Floats) -> Floats:
        return np.full(np.shape(time_ms), self._back_ms)

    @cached_property
    def _back_ms(self) -> float:
        return float(self.steps.values.min()) / 2

    def scaled(self, factor: float) -> DelaySeries:
        return DelaySeries(replace(self.steps, values=self.steps.values * factor))


@dataclass(frozen=True, eq=False)
class LinkSeries:
    """Records of a link, each of which may be missing.

    Args:
        up: rates from the edge to the cloud, in Mbps.
        down: rates to the edge, in Mbps.
        rtt: round trips, in ms.
    """

    up: Steps | None = None
    down: Steps | None = None
    rtt: Steps | None = None

    @cached_property
    def records(self) -> dict[str, Steps]:
        """Those that there are, by name."""
        each = {"up": self.up, "down": self.down, "rtt": self.rtt}
        return {name: steps for name, steps in each.items() if steps is not None}

    @property
    def period_ms(self) -> float:
        """Length of the longest record."""
        return max(steps.period_ms for steps in self.records.values())

    def resampled(self, seed: int, block_ms: float, repeats: int = 1) -> LinkSeries:
        """Return the records resampled in blocks; records with the same starts keep their common blocks."""
        fresh = {
            name: steps.resampled(np.random.default_rng(seed), block_ms, repeats)
            for name, steps in self.records.items()
        }
        return replace(self, **fresh)
