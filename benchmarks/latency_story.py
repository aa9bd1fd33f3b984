"""Which plan is fastest for a phone and a server, by link: latencies alone, nothing trained and no accuracy.

    python benchmarks/latency_story.py 224_lookup_table.yaml --picture docs/results/latency_story.svg \
        --output docs/results/latency_story.json

The phone is the Note 10 of once-for-all's published table at 224 pixels (mit-han-lab/once-for-all, MIT: at commit
698a5c10, tutorial/checkpoints/latency_table@note10), which is of width 1.2. The server is the shipped table of an EPYC;
its rows are of width 1.0, so that those of width 1.2 are estimated from them. Each network is answered by the phone
alone, by the server with raw input bytes, or cut after an operator, with the boundary in int8 or fp16. The picture is
of the largest network over links that never vary, with the presets at their medians.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _results import publish, stamped

from hwnas.collaborate.codecs import BoundaryCodec
from hwnas.collaborate.cuts import ChainCosts, enumerate_cuts
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.collaborate.links.presets import PRESETS
from hwnas.collaborate.wire import HTTP_BYTES
from hwnas.io.resources import find_file
from hwnas.latency.model import LatencyModel
from hwnas.latency.published.importing import import_tables
from hwnas.measure.table import read_table
from hwnas.network import Network, lower
from hwnas.problem.plans.drafts import boundary_bytes, network_answer_bytes
from hwnas.report.charts.chart import Callout, ChartAxis, Figure, Marks, Tint
from hwnas.report.charts.chart_file import Chart
from hwnas.report.plans.figures import KIND_COLORS
from hwnas.report.plans.table import KIND_NAMES
from hwnas.space import Space, read_space

SERVER = "epyc_onnxruntime_fp32_1t_ofa224.jsonl"
LINKS = ("wired", "wifi", "5g", "lte", "3g", "cable", "dsl")
NETWORKS = 50
DOWN_TO_UP = 1 / 0.39
"""The rate down beside the rate up: the ratio of medians in ERRANT's tests."""
RATES_MBPS, RTTS_MS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0), (
    0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0,
)  # fmt: skip
PLACES = {"lte": (12, -14), "5g": (12, 16), "3g": (-10, -20), "wired": (-40, -18)}
"""Pixels from a preset's mark to its name, where others are near."""
WIDTH = 560
"""Of the picture: on a phone its text is still read."""
CODECS = (BoundaryCodec("int8"), BoundaryCodec("fp16"))


def space_at_224(folder: Path) -> Space:
    """The space of width 1.2 at the resolution of the table."""
    raw = yaml.safe_load(find_file("ofa_mobilenet_v3_w1.2", "search_spaces").read_text())
    raw["input"]["resolution"] = 224
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(raw))
    return read_space(path)


def winner(network: Network, costs: ChainCosts, link: LinkModel) -> dict[str, Any]:
    """Mean latencies of the two ends and of the best cut, and which is least."""
    sizes = np.column_stack([boundary_bytes(network, codec, None) for codec in CODECS]) + HTTP_BYTES
    raw = float(np.prod(network.input_shape))
    sizes[0] = [raw + HTTP_BYTES, np.inf]
    ms = enumerate_cuts(costs, sizes, network_answer_bytes(network) + HTTP_BYTES, link.quick_draws(0)).ms
    cut, codec = np.unravel_index(int(np.argmin(ms[1:-1])), ms[1:-1].shape)
    found = {"edge_only": float(ms[-1, 0]), "cloud_only": float(ms[0, 0]), "split": float(ms[1:-1].min())}
    best = min(found, key=lambda kind: found[kind])
    return {"winner": best, "mean_ms": found, "cut": int(cut) + 1, "codec": CODECS[codec].name}


def constant_link(up_mbps: float, rtt_ms: float) -> LinkModel:
    """A link that never varies."""
    rates = (Quantiles.constant(up_mbps), Quantiles.constant(up_mbps * DOWN_TO_UP))
    return LinkModel("constant", *rates, Quantiles.constant(rtt_ms))


def regime_chart(network: Network, costs: ChainCosts) -> tuple[Chart, dict[str, Any]]:
    """Who wins at each rate and round trip of a constant link; presets at their medians."""
    cells = [[winner(network, costs, constant_link(rate, rtt)) for rtt in RTTS_MS] for rate in RATES_MBPS]
    tints = [
        Tint([(i - 0.5, j - 0.5), (i + 0.5, j - 0.5), (i + 0.5, j + 0.5), (i - 0.5, j + 0.5)], color, 0.4)
        for i, column in enumerate(cells)
        for j, cell in enumerate(column)
        if (color := KIND_COLORS[cell["winner"]])
    ]
    presets = {name: PRESETS[name] for name in LINKS}
    x, y = (
        [float(np.interp(np.log(getattr(one, key).p50), np.log(grid), range(len(grid)))) for one in presets.values()]
        for key, grid in (("up_mbps", RATES_MBPS), ("rtt_ms", RTTS_MS))
    )
    callouts = [
        Callout(px, py, name, *(PLACES.get(name, (12, -14))), "--ink")
        for name, px, py in zip(presets, x, y, strict=True)
    ]
    names = [tuple(f"{value:,g}" for value in grid) for grid in (RATES_MBPS, RTTS_MS)]
    figure = Figure(
        (Marks("Presets", x, y, "--ink", radius=4.0),),
        ChartAxis(
            (-0.5, len(RATES_MBPS) - 0.5),
            "Mbps up",
            names=tuple(n if i % 2 == 0 else "" for i, n in enumerate(names[0])),
        ),
        ChartAxis((-0.5, len(RTTS_MS) - 0.5), names=names[1]),
        360,
        "Fastest plan of the largest network by rate up and round trip in ms",
        tints=tuple(tints),
        callouts=tuple(callouts),
    )
    entries = tuple((KIND_COLORS[kind], KIND_NAMES[kind]) for kind in ("edge_only", "split", "cloud_only"))
    grid = {
        "up_mbps": list(RATES_MBPS),
        "rtt_ms": list(RTTS_MS),
        "winners": [[c["winner"] for c in col] for col in cells],
    }
    return Chart(figure, "Fastest plan by round trip in ms and rate up", entries), grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--picture", type=Path, help="file for the map of who wins")
    parser.add_argument("--output", type=Path)
    options, rng = parser.parse_args(), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        space = space_at_224(Path(folder))
        phone = LatencyModel.of(import_tables([options.table], Path(folder) / "phone.jsonl", format="ofa").table)
    server = LatencyModel.of(read_table(find_file(SERVER, "latency_tables")), missing="estimate")
    some = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(NETWORKS - 2))]
    networks = [lower(space, one) for one in some]
    costs = [ChainCosts.of(network, phone, server) for network in networks]
    links = {}
    for name in LINKS:
        rows = [
            winner(network, own, LinkModel.of_preset(name, PRESETS[name]))
            for network, own in zip(networks, costs, strict=True)
        ]
        won = Counter(row["winner"] for row in rows)
        links[name] = {"won": dict(won), "smallest": rows[0], "largest": rows[1]}
    times = {
        kind: {"phone_ms": float(own.head_ms[-1]), "server_ms": float(own.tail_ms[0])}
        for kind, own in (("smallest", costs[0]), ("largest", costs[1]))
    }
    chart, grid = regime_chart(networks[1], costs[1])
    if options.picture:
        chart.save(options.picture, width=WIDTH)
    publish(stamped({"networks": NETWORKS, "times": times, "links": links, "largest": grid}), options.output)


if __name__ == "__main__":
    main()
