"""Latency tables: what the set-ups of a run, or a space on one set-up, need measured."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwnas.config import SetupConfig, TimingConfig, parse_setup
from hwnas.export import EXPORTERS
from hwnas.latency.build import Export, build_table, plan_table
from hwnas.latency.measure import Timing
from hwnas.latency.table import LatencyTable, open_table
from hwnas.lookup import member
from hwnas.network import Network, lower, operators_of
from hwnas.ops import Operator, Shape
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.spaces import open_space
from hwnas.pipeline.workspace import Run, open_run
from hwnas.runtimes import Runtime, open_runtime
from hwnas.space import AnySpace, Suggest


@dataclass(frozen=True)
class Benched:
    """A table after `bench`: where it is, what it holds, what was measured now."""

    table: Path
    setup: dict[str, object]
    rows: int
    checks: int
    missing: int
    """Rows that a dry run found missing; 0 after measuring."""


def bench(
    reference: str | Path, *, runs: Path = Path("runs"), dry_run: bool = False, narrator: Narrator | None = None
) -> list[Benched]:
    """Measure what the tables of an experiment's set-ups lack; rows that are there stay."""
    run = open_run(reference, runs=runs)
    if dry_run:
        operators = list(operators_of(run.space))
        return [_lacking(operators, setup, run.table_path(name)) for name, setup in run.experiment.setups.items()]
    with run.opened():
        return bench_run(run, narrator or Silent())


def bench_run(run: Run, narrator: Narrator) -> list[Benched]:
    """Measure, for an opened run."""
    config, artifacts = run.experiment, run.folder / "artifacts"
    with run.timed("latency"):
        operators = list(operators_of(run.space))
        networks = check_networks(run.space, config.timing.checks, config.seed)
        return [
            _measured(
                fill(runtime_of(setup), run.table_path(name), config.timing, artifacts, narrator, f"timing {name}",
                     operators, networks),
                narrator,
            )
            for name, setup in config.setups.items()
        ]  # fmt: skip


def bench_space(
    space: str | Path,
    *,
    runtime: str,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    table: Path,
    dry_run: bool = False,
    narrator: Narrator | None = None,
) -> Benched:
    """Measure what a table lacks of one space's operators."""
    opened, _ = open_space(space)
    wanted = {"runtime": runtime, "threads": threads, "batch": batch, "precision": precision}
    setup, timing, narrator = parse_setup(wanted, where="set-up"), TimingConfig(), narrator or Silent()
    operators = list(operators_of(opened))
    if dry_run:
        return _lacking(operators, setup, table)
    networks = check_networks(opened, timing.checks, 0)
    with tempfile.TemporaryDirectory(prefix="hwnas-") as artifacts:
        title = f"timing {table.stem}"
        filled = fill(runtime_of(setup), table, timing, Path(artifacts), narrator, title, operators, networks)
    return _measured(filled, narrator)


def _lacking(operators: Sequence[tuple[Operator, Shape]], setup: SetupConfig, path: Path) -> Benched:
    """What would be measured; where there is no table, none is begun."""
    wanted = runtime_of(setup).setup
    table = open_table(path, wanted) if path.exists() else LatencyTable(path, wanted)
    return Benched(path, wanted.as_dict(), len(table.rows), len(table.checks), len(plan_table(operators, table)))


def _measured(table: LatencyTable, narrator: Narrator) -> Benched:
    for notice in table.notices:
        narrator.say(notice)
    return Benched(table.path, table.setup.as_dict(), len(table.rows), len(table.checks), 0)


def fill(
    runtime: Runtime,
    path: Path,
    timing: TimingConfig,
    artifacts: Path,
    narrator: Narrator,
    title: str,
    operators: Sequence[tuple[Operator, Shape]],
    networks: Sequence[Network],
) -> LatencyTable:
    """Measure what a table lacks, with a bar."""
    with narrator.bar(title) as bar:
        return build_table(
            operators,
            runtime,
            exporter_of(runtime),
            protocol(timing, 0),
            path,
            artifacts=artifacts / runtime.setup.runtime,
            networks=networks,
            progress=bar.update,
        )


def check_networks(space: AnySpace, count: int, seed: int) -> list[Network]:
    """Networks, fixed by the seed, that are timed whole: evidence on what operators cost together.

    The smallest and the largest, then random ones; every other one is uniform at each choice instead of over all
    architectures, most of which are deep.
    """
    rng = random.Random(seed)
    hands: tuple[Suggest, ...] = (lambda choice: choice.draw(rng), lambda choice: rng.choice(choice.options))
    drawn = (space.sample(hands[number % 2]) for number in range(count))
    chosen = dict.fromkeys(itertools.islice(itertools.chain((space.smallest(), space.largest()), drawn), count))
    return [lower(space, architecture) for architecture in chosen]


def runtime_of(setup: SetupConfig) -> Runtime:
    """The runtime of a set-up on this machine."""
    return open_runtime(
        setup.runtime, threads=setup.threads, precision=setup.precision, batch=setup.batch, device=setup.device
    )


def exporter_of(runtime: Runtime) -> Export:
    """The function that writes a module as the runtime's file, at the set-up's batch."""
    return partial(member(EXPORTERS, runtime.setup.runtime, what="runtime", where="export"), batch=runtime.setup.batch)


def protocol(timing: TimingConfig, seed: int) -> Timing:
    """The measuring protocol of an experiment."""
    return Timing(**timing.model_dump(exclude={"checks"}), seed=seed)
