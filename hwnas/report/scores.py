"""Training-free scores of many networks: facts, their JSON and CSV, and the table for the terminal."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report.units import GAP, digits
from hwnas.words import brief, counted


@dataclass(frozen=True)
class ProxyScore:
    """Score of a network by a proxy: a value, or the reason why there is none."""

    value: float | None
    failed: str | None
    ms: float
    """Time that it took, including building the network."""


@brief
@dataclass(frozen=True)
class ScoredNetwork:
    """A network with its scores by proxy. `rank` is by the first proxy: 1 is the best, equal scores share one."""

    key: str
    architecture: Mapping[str, Any]
    rank: int | None
    scores: Mapping[str, ProxyScore]


@brief
@dataclass(frozen=True)
class Scored:
    """A population by falling score of the first proxy; networks without one are at the end."""

    space: str
    proxies: Mapping[str, str]
    """Origin of the scores, by proxy: a few words."""
    networks: tuple[ScoredNetwork, ...]

    def median_ms(self, proxy: str) -> float:
        """Milliseconds a network; the first ones of a process take longer."""
        return statistics.median(network.scores[proxy].ms for network in self.networks)

    def failures(self, proxy: str) -> Counter[str]:
        """Reasons with the number of networks that have no score because of them."""
        return Counter(reason for network in self.networks if (reason := network.scores[proxy].failed) is not None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "space": self.space,
            "proxies": {
                name: {
                    "producer": producer,
                    "ms": round(self.median_ms(name), 3),
                    "failed": sum(self.failures(name).values()),
                }
                for name, producer in self.proxies.items()
            },
            "networks": [
                {
                    "key": network.key,
                    "rank": network.rank,
                    "scores": {name: score.value for name, score in network.scores.items()},
                    "failed": {name: score.failed for name, score in network.scores.items() if score.failed},
                    "architecture": network.architecture,
                }
                for network in self.networks
            ],
        }

    def as_csv(self) -> str:
        """A line for each network: rank, key; for each proxy score, milliseconds, why there is none; picks as JSON."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = (column for name in self.proxies for column in (name, f"{name}_ms", f"{name}_failed"))
        writer.writerow(["rank", "key", *head, "architecture"])
        for network in self.networks:
            cells = (cell for name in self.proxies for cell in _cells(network.scores[name]))
            writer.writerow([_blank(network.rank), network.key, *cells, json.dumps(network.architecture)])
        return text.getvalue()


def _cells(score: ProxyScore) -> tuple[object, ...]:
    return _blank(score.value), round(score.ms, 3), score.failed or ""


def _blank(value: object) -> object:
    return "" if value is None else value


def ranked(values: Sequence[float | None]) -> list[int | None]:
    """Ranks by falling value; equal values share the best of their ranks, what has no value has no rank.

    >>> ranked([2.0, 5.0, None, 5.0])
    [3, 1, None, 1]
    """
    known = sorted((value for value in values if value is not None), reverse=True)
    first = {value: rank for rank, value in reversed(list(enumerate(known, 1)))}
    return [None if value is None else first[value] for value in values]


def score_title(scored: Scored) -> str:
    """Return the title of the table: the space, the number of networks, and the proxy."""
    return f"{scored.space}: {counted(len(scored.networks), 'network')} by {next(iter(scored.proxies))}"


def score_table(scored: Scored, most: int) -> Table:
    """Return a table of the best networks, at most `most`."""
    left = len(scored.networks) - most
    caption = Text(f"and {left:,} more; --csv writes all") if left > 0 else None
    table = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    table.add_column("rank", justify="right")
    table.add_column("network", no_wrap=True)
    for name in scored.proxies:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for network in scored.networks[:most]:
        scores = (_shown(network.scores[name].value) for name in scored.proxies)
        table.add_row(GAP if network.rank is None else str(network.rank), network.key, *scores)
    return table


def _shown(value: float | None) -> str:
    return GAP if value is None else f"{value:.4g}"


def score_lines(scored: Scored) -> Iterator[str]:
    """Yield for each proxy its cost, its origin, and the reasons for missing scores."""
    for name, producer in scored.proxies.items():
        yield f"{name}: {digits(scored.median_ms(name))} ms a network; {producer}"
        for reason, count in scored.failures(name).most_common():
            yield f"  no score for {count:,}: {reason}"
