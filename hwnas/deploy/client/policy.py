"""Decisions of the client: when the cloud is asked, how often again, and what is known of the link and of the edge."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

Clock = Callable[[], float]
LATEST_ANSWERS = 8
"""Requests by which the link is judged."""
QUANTILE = 0.75
Z95 = 1.96
LEAST_DOUBT = 1e-4
"""Added to doubts, as the learned rule was fitted."""


@dataclass
class Breaker:
    """Circuit breaker: closed, open after failures in a row, half open for one probe at a time.

    Args:
        clock: seconds, never set back.
        failures: number in a row that opens it.
        cool_down_s: time until the first probe; doubled by each that fails.
        longest_s: most time between probes.
    """

    clock: Clock
    failures: int = 3
    cool_down_s: float = 0.5
    longest_s: float = 15.0
    failed: int = 0
    opened: int = 0
    """Times that it was opened, for whoever watches."""
    _wait_s: float = 0.0
    _next_probe: float = 0.0

    @property
    def is_open(self) -> bool:
        """True while requests are not sent, but for probes."""
        return self._wait_s > 0

    def wants_probe(self) -> bool:
        """Return whether it is time for a probe, which is then taken to be sent."""
        if not self.is_open or self.clock() < self._next_probe:
            return False
        self._next_probe = self.clock() + self._wait_s
        return True

    def succeed(self) -> None:
        """Close it."""
        self.failed, self._wait_s = 0, 0.0

    def fail(self, wait_s: float = 0.0) -> None:
        """Count a failure; one with a time to wait opens it at once."""
        self.failed += 1
        if self.is_open:
            self._wait_s = max(min(2 * self._wait_s, self.longest_s), wait_s)
        elif wait_s or self.failed >= self.failures:
            self._wait_s, self.opened = max(self.cool_down_s, wait_s), self.opened + 1
        if self.is_open:
            self._next_probe = self.clock() + self._wait_s


@dataclass
class ResendBudget:
    """Share of requests that may be sent again, so that retries do not make an overload worse.

    Args:
        share: of requests.
        most: retries that are saved up.
    """

    share: float = 0.1
    most: float = 10.0
    _saved: float = 0.0

    def earn(self) -> None:
        """Count a request."""
        self._saved = min(self._saved + self.share, self.most)

    def spend(self) -> bool:
        """Return whether one more may be sent again, and count it."""
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


@dataclass
class LinkEstimate:
    """Round trip, rate and service time of the latest requests; all times are taken by this machine's clock alone.

    The server tells how long it took; the rest of a request's time is the link's. What is expected is a quantile, which
    one request that an outage held up does not move.

    Args:
        hysteresis: share of the deadline within which an answer is expected before requests are sent again.
    """

    hysteresis: float = 0.8
    switches: int = 0
    """Times that sending was stopped or begun again."""
    sending: bool = True
    _round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    _answers: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=LATEST_ANSWERS))
    """Network's and server's milliseconds, and kilobytes sent."""

    def saw_round_trip(self, ms: float) -> None:
        """Take in a round trip that carried next to nothing, such as that of opening a connection."""
        self._round_trips.append(ms)

    def saw_answer(self, ms: float, service_ms: float, sent_bytes: int) -> None:
        """Take in the time of a request with the server's part in it."""
        self._answers.append((max(ms - service_ms, 0.0), service_ms, sent_bytes / 1024))

    @property
    def rtt_ms(self) -> float:
        """The round trip; not a number before the first."""
        ends = [median(self._round_trips)] if self._round_trips else []
        return min([*ends, *(network for network, _, _ in self._answers)], default=math.nan)

    @property
    def ms_per_kb(self) -> float:
        """Time of sending a kilobyte, beyond the round trip."""
        rtt = self.rtt_ms
        return _quantile([(network - rtt) / max(kilobytes, 0.1) for network, _, kilobytes in self._answers])

    @property
    def service_ms(self) -> float:
        """Time of the server."""
        return _quantile([service for _, service, _ in self._answers])

    def expected_ms(self, sent_bytes: int) -> float:
        """Return the time within which an answer is expected; not a number before the first."""
        return self.rtt_ms + self.ms_per_kb * max(sent_bytes / 1024, 0.1) + self.service_ms

    def can_answer(self, sent_bytes: int, left_ms: float) -> bool:
        """Return whether an answer is expected in time; what is not known yet is tried."""
        expected = self.expected_ms(sent_bytes)
        if math.isnan(expected):
            return True
        wanted = expected <= (left_ms if self.sending else self.hysteresis * left_ms)
        if wanted != self.sending:
            self.sending, self.switches = wanted, self.switches + 1
        return wanted


def _quantile(values: list[float]) -> float:
    return sorted(values)[int(QUANTILE * (len(values) - 1) + 0.5)] if values else math.nan


def cascade_confidence(outputs: Any, cascade: dict[str, Any]) -> float:
    """Return the confidence in a classifier's outputs by the rule of a plan's cascade.

    The learned rule is a logistic regression on the doubts of the others; its coefficients stand under `deferral`.
    """
    if cascade["rule"] != "learned":
        return confidence_of(outputs, cascade["rule"], cascade["temperature"])
    logit = cascade["deferral"]["intercept"]
    for rule, weight in cascade["deferral"]["weights"].items():
        logit -= weight * np.log(1 - confidence_of(outputs, rule, cascade["temperature"]) + LEAST_DOUBT)
    return float(1 / (1 + np.exp(-logit)))


def confidence_of(outputs: Any, rule: str, temperature: float) -> float:
    """Return the confidence in a classifier's outputs by a rule.

    Example:
        >>> confidence_of(np.array([0.0, 0.0]), "max_prob", 1.0)
        0.5
    """
    scaled = np.asarray(outputs, float) / temperature
    logs = scaled - scaled.max() - np.log(np.exp(scaled - scaled.max()).sum())
    shares = np.exp(logs)
    if rule == "entropy":
        return float(min(max(1.0 + (shares * logs).sum() / np.log(len(shares)), 0.0), 1.0))
    second, first = np.partition(shares, -2)[-2:]
    return float(first if rule == "max_prob" else first - second)


def interval_of(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson).

    Example:
        >>> [round(end, 3) for end in interval_of(1, 10)]
        [0.018, 0.404]
    """
    if not count:
        return 0.0, 1.0
    share, z2 = hits / count, Z95**2
    centre, spread = share + z2 / (2 * count), Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    low, high = ((centre + sign * spread) / (1 + z2 / count) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


@dataclass
class Audit:
    """Answers that the edge was sure of and the cloud was asked about all the same: how often they differ.

    Args:
        expected: hits and count of differences on held-out samples, when the plan was exported.
        window: latest answers that count.
    """

    expected: tuple[int, int] = (0, 0)
    window: int = 1000
    _differs: deque[bool] = field(default_factory=deque)

    def add(self, differs: bool) -> None:
        """Take in one comparison."""
        self._differs.append(differs)
        if len(self._differs) > self.window:
            self._differs.popleft()

    @property
    def count(self) -> int:
        """Comparisons that count."""
        return len(self._differs)

    @property
    def disagreement(self) -> float:
        """Share of confident answers that the cloud gives otherwise; not a number without any."""
        return sum(self._differs) / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return interval_of(sum(self._differs), self.count)

    @property
    def alarm(self) -> bool:
        """True if the edge differs more often than it did on held-out samples, both intervals apart."""
        return self.interval[0] > interval_of(*self.expected)[1]
