"""Write the tables of docs/results/edge_cloud.md anew that `server.py --json` and `server_ray.py --json` tell.

    python benchmarks/server_tables.py

The first table below each heading is replaced; the words around it are yours to check.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
PAGE = RESULTS / "edge_cloud.md"
NETWORKS = {"sleeping": "sleeps", "batches": "sleeps, batches of 8", "computing": "computes"}
Row = Sequence[object]


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def speed(server: dict[str, Any]) -> list[str]:
    """Return requests a second of clients that ask again at once."""
    measured = server["speed"]
    head = "Clients that ask again at once", "Requests a second", "Median, ms", "99 %, ms", "Server's processor time"
    rows = [
        (
            clients,
            f"{one['requests_per_second']:,}",
            f"{one['latency_ms']['p50']:.2f}",
            f"{one['latency_ms']['p99']:.1f}",
            f"{one['processor_us_per_request'] / 1e3:.2f} ms",
        )
        for clients in (1, 8, 64)
        for one in [measured[f"closed_loop_{clients}"]]
    ]
    added = measured["added_ms_at_200_per_second"]
    rows.append(("20, together 200 a second", "200", f"{added['p50']:.2f} added", f"{added['p99']:.1f} added", "-"))
    return table(head, rows)


def queues(server: dict[str, Any]) -> list[str]:
    """Return predicted and measured quantiles of all windows."""
    head = "Network", "Clients", "Load", "Requests a second", "99 %: predicted, ms", "measured, ms", "Error"
    rows = [
        (
            NETWORKS[part],
            f"{one['clients']:,}",
            one["load"],
            f"{one['requests_per_second']:.0f}",
            f"{one['predicted_ms']['p99']:.1f}",
            f"{one['measured_ms']['p99']:.1f}",
            f"{100 * one['p99_error']:+.0f} %",
            f"{100 * one['own_p99_error']:+.0f} %" if "own_p99_error" in one else "-",
            "{:.1f} to {:.1f}".format(*one["p99_of_windows_ms"]),
        )
        for part in NETWORKS
        for one in server.get(part, [])
    ]
    return table((*head, "by its own service times", "of windows, ms"), rows)


def overload(server: dict[str, Any]) -> list[str]:
    """Return what is served of more requests than can be."""
    head = "Load", "Answered a second", "Refused", "Served: median, ms", "99 %, ms", "Bound, ms"
    rows = [
        (
            one["load"],
            f"{one['answered_per_second']:.0f}",
            f"{100 * one['refused_share']:.1f} %",
            f"{one['served_ms']['p50']:.1f}",
            f"{one['served_ms']['p99']:.1f}",
            f"{one['bound_ms']:.1f}",
        )
        for one in server.get("shed", [])
    ]
    return table(head, rows)


def ray(measured: dict[str, Any]) -> list[str]:
    """Return the engines beside each other."""

    def cell(one: dict[str, Any]) -> str:
        return f"{one['requests_per_second']:,}, {one['latency_ms']['p50']:.2f} ms"

    rows = [
        (name.removesuffix("_clients"), *(cell(of[engine]) for engine in ("threads", "ray_1", "ray_2")))
        for name, of in measured.items()
        if name.endswith("_clients")
    ]
    return table(("Clients", "In threads: requests a second, median", "1 replica", "2 replicas"), rows)


def replaced(page: list[str], heading: str, lines: Sequence[str]) -> list[str]:
    """Return the page with the first table below a heading replaced."""
    begin = next(n for n in range(page.index(heading), len(page)) if page[n].startswith("|"))
    end = next(n for n in range(begin, len(page)) if not page[n].startswith("|"))
    return [*page[:begin], *lines, *page[end:]]


def main() -> None:
    """Replace the tables."""
    server, other = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("server", "server_ray"))
    page = PAGE.read_text().split("\n")
    page = replaced(page, "## The server", speed(server))
    page = replaced(page, "## Queues", queues(server))
    if server.get("shed"):
        page = replaced(page, "### Overload", overload(server))
    page = replaced(page, "## Ray Serve", ray(other))
    PAGE.write_text("\n".join(page))
    print(f"{server['p99_within_15%']} windows within 15 %; machine load {server['machine_load']}")


if __name__ == "__main__":
    main()
