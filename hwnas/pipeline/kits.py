"""Kits: a space's timings as one file that runs on a board."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hwnas.boards.pack import PackedKit, pack_kit
from hwnas.config import TimingConfig, parse_setup
from hwnas.latency.build import jobs_of
from hwnas.latency.table import LatencyTable, read_table
from hwnas.network import operators_of
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.spaces import open_space
from hwnas.pipeline.timing import check_networks, exports_of, protocol, reference_of, wished
from hwnas.shipped import find_file


def pack(
    space: str | Path,
    out: Path,
    *,
    checks: int | None = None,
    lacking: str | Path | None = None,
    timing: TimingConfig | None = None,
    narrator: Narrator | None = None,
    **setup: Any,
) -> PackedKit:
    """Write a kit that times all operators of a space, and the `checks` networks that teach most.

    Args:
        space: as for `hwnas bench`.
        out: the kit's file.
        checks: whole networks beside the operators; 20 if left out.
        lacking: a table of the board: only what it lacks is packed.
        timing: the protocol.
        narrator: hears what is done.
        setup: `runtime`, and as wanted `threads`, `batch`, `precision`, `accelerator`, `device`.
    """
    opened, file = open_space(space)
    wanted, timing = wished(parse_setup(setup, where="set-up")), timing or TimingConfig()
    table = LatencyTable(out, wanted) if lacking is None else read_table(find_file(lacking, "latency_tables"))
    networks = check_networks(opened, timing.checks if checks is None else checks)
    artifacts = out.with_name(f"{out.name}.files")
    with (narrator or Silent()).bar(f"packing {out.name}") as bar:
        packed = pack_kit(
            out, jobs_of(table, operators_of(opened), networks), wanted, exports_of(wanted), protocol(timing, 0),
            table=f"{out.name.removesuffix('.pyz')}.jsonl", space=(opened.name, reference_of(space, file)),
            artifacts=artifacts, progress=bar.update,
        )  # fmt: skip
    shutil.rmtree(artifacts, ignore_errors=True)
    return packed
