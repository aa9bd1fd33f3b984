"""How far a latency table can be trusted: its predictions against whole networks that it has not seen."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from hwnas import __version__
from hwnas.config import TimingConfig
from hwnas.errors import ConfigError, HwnasError, RunError, SpaceError, TableError
from hwnas.export import format_of
from hwnas.io.atomic import why_unwritable
from hwnas.io.resources import find_file
from hwnas.latency.agreement import Floats, PredictionQuality
from hwnas.latency.anchors import anchors_of, table_state
from hwnas.latency.building import table_builder as build
from hwnas.latency.building.table_builder import MeasureContext
from hwnas.latency.model import LatencyEstimate, LatencyModel
from hwnas.measure.device_lock import WAIT_S, LockWait
from hwnas.measure.drift import reference_ns
from hwnas.measure.table import LatencyTable, check_key, read_table
from hwnas.measure.table_lines import CheckKey
from hwnas.measure.timing import Measurement, Timing
from hwnas.network import Network, costs, known_operators, lower
from hwnas.report import units
from hwnas.report.validation.table_check import Checked, CheckedNetwork
from hwnas.report.validation.table_check_page import write_check_page
from hwnas.runtimes import Runtime, checked_setup, open_setup
from hwnas.runtimes.setup import cpu_name
from hwnas.space import AnySpace, Architecture, Suggest
from hwnas.words import counted
from hwnas.workspace.measuring.setups import exporter_of, measurement_protocol
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.spaces import open_space, split_reference

MAX_REPEATED_DRAWS = 200
"""Number of draws in a row without a new network after which a space is taken to hold no more."""


def check(
    table: str | Path,
    *,
    networks: int = 60,
    space: str | Path | None = None,
    seed: int = 0,
    device: str | None = None,
    artifacts: Path | None = None,
    plot: Path | None = None,
    wait_s: float = WAIT_S,
    reporter: Reporter | None = None,
) -> Checked:
    """Predict fresh networks of the table's spaces, time them whole in two sittings, and compare.

    Half of the networks are uniform over architectures, half uniform at each choice; none is among the table's checks.
    Nothing is written into the table.

    Args:
        table: a table measured on this machine, or the name of a shipped one.
        networks: number to draw; fewer if the spaces hold fewer.
        space: the space to draw from, instead of those that stand in the table.
        seed: of the draw, and of the order of measurements.
        device: this machine's name, where the table's set-up gave it a name.
        artifacts: a folder for the model files; those that are there are used.
        plot: an HTML file to write.
        wait_s: seconds to wait for this machine while somebody else measures on it.
        reporter: receives messages and progress; silent if left out.

    Returns:
        Errors of the table's model and of baselines, as fractions, and the times of each network in milliseconds.

    Raises:
        TableError: this is not the table's set-up, a network's operator has no row, or a file could not be timed.
        HostAway: somebody else measures on this machine, for longer than `wait_s`.
        RunError: `plot` cannot be written.
        ConfigError, SpaceError: no space is known, or it cannot be opened.

    Example:
        >>> from hwnas import pipeline
        >>> checked = pipeline.check("runs/mini/latency/cpu.jsonl", networks=2)
        >>> checked.model.networks
        2
    """
    reporter, loaded = default_reporter(reporter), read_table(find_file(table, "latency_tables"))
    if plot is not None:
        _refuse_unwritable(plot)
    if space is not None:
        find_file(split_reference(space)[0], "search_spaces")
    from hwnas.commands.baselines import baselines  # PyTorch comes with it: the table is looked at first

    runtime, spaces = _runtime_of(loaded, device), [opened for _, opened in _spaces(loaded, space)]
    command = _bench_command(loaded, space or next(iter(loaded.spaces.values()), "SPACE"))
    drawn = sample_unseen(spaces, networks, seed, set(loaded.checks))
    if len(drawn) < networks:
        reporter.info(f"the space holds only {counted(len(drawn), 'network')} that are not among the table's checks")
    chains, operators = [network for _, network in drawn], known_operators(*spaces)
    model = LatencyModel.of(loaded, bench=command, operators=operators)
    predicted = [(architecture, network, model.predict(network)) for architecture, network in drawn]
    rivals = baselines(loaded, spaces, chains)
    timing, anchors = measurement_protocol(TimingConfig(), seed), anchors_of(loaded, operators=operators)
    reporter.info(_forecast([*chains, *anchors.values()], runtime, timing))
    every = [*chains, *anchors.values()]
    with _folder(artifacts) as folder:
        export = exporter_of(runtime.setup)
        context = MeasureContext(runtime, (export, export), folder, queue=LockWait(wait_s, reporter.info))
        sittings = [
            _sitting(every, replace(timing, seed=seed + 100 * number), context, reporter, title)
            for number, title in enumerate(("timing unseen networks", "timing them again"))
        ]
    count = len(chains)
    states = [table_state(loaded, sitting[:count], list(anchors), sitting[count:]) for sitting in sittings]
    checked = _checked(loaded, model, seed, predicted, sittings[0][:count], states, rivals)
    if plot is not None:
        _plot(checked, plot)
    return checked


def _refuse_unwritable(plot: Path) -> None:
    if why := why_unwritable(plot):
        raise RunError(
            f"the page cannot be written ({why})",
            where=str(plot),
            allowed="The page is a file, in a folder that can be written and on a disk with room",
            do="Name another file with --plot",
        )


def _plot(checked: Checked, path: Path) -> None:
    now = units.now()
    write_check_page(checked, path, hwnas_version=__version__, created_at=now)


def sample_unseen(
    spaces: Sequence[AnySpace], count: int, seed: int, seen: set[CheckKey]
) -> list[tuple[Architecture, Network]]:
    """Return networks that differ from each other and from those seen, fixed by the seed; the spaces take turns.

    Raises:
        SpaceError: there is none.
    """
    rng = random.Random(f"unseen {seed}")  # not the numbers that chose the table's checks
    hands: tuple[Suggest, ...] = (lambda choice: choice.draw(rng), lambda choice: rng.choice(choice.options))
    drawn: dict[CheckKey, tuple[Architecture, Network]] = {}
    turns = [(hand, space) for hand in hands for space in spaces]
    in_vain = 0
    for hand, space in cycle(turns):
        if len(drawn) == count or in_vain == len(turns):
            break
        in_vain += 1
        for architecture in (space.sample(hand) for _ in range(MAX_REPEATED_DRAWS)):
            network = lower(space, architecture)
            key = check_key(network)
            if key not in seen and key not in drawn:
                drawn[key], in_vain = (architecture, network), 0
                break
    if not drawn:
        raise SpaceError(
            "every network is among the table's checks",
            where=", ".join(space.name for space in spaces),
            allowed="A table is checked on networks that it holds no timing of",
            do="Name a larger space with --space",
        )
    return list(drawn.values())


def _runtime_of(table: LatencyTable, device: str | None) -> Runtime:
    """Return the table's runtime on this machine; raise TableError unless the whole set-up agrees."""
    setup, where = table.setup, str(table.path)
    allowed = "A table is checked on the machine and the runtime that it was measured on"
    if table.origin.kind == "emulated":
        raise TableError(
            f"the table was {table.origin}", where=where, allowed=allowed, do="Measure on the board itself"
        )
    try:
        own = device or (cpu_name() if setup.accelerator == "cpu" else "")
        runtime = open_setup(checked_setup(replace(setup, device=own, runtime_version="")))
    except ConfigError as error:
        raise TableError(
            f"its set-up is not to be had here ({error.met})", where=where, allowed=allowed, do=error.do
        ) from error
    if unlike := setup.differences(runtime.setup):
        raise TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then this one)",
            where=where,
            allowed=allowed,
            do="Check it there, measure a table here with `hwnas bench`, or give this machine its name with --device",
        )
    return runtime


def _spaces(table: LatencyTable, space: str | Path | None) -> list[tuple[str, AnySpace]]:
    """Return references and spaces: the one that is named, else those that the table was measured for."""
    if space is not None:
        return [(str(space), open_space(space)[0])]
    if not table.spaces:
        raise ConfigError(
            "the table does not say which space it was measured for",
            where=str(table.path),
            allowed="Networks are drawn from the space that stands in the table, or from one that is named",
            do="Name the space with --space SPACE",
        )
    opened = []
    for name, reference in table.spaces.items():
        try:
            opened.append((reference, open_space(reference, base=table.path.parent)[0]))
        except HwnasError as error:
            raise ConfigError(
                f"the table's space `{name}` cannot be opened as `{reference}`: {error.met}",
                where=str(table.path),
                allowed=error.allowed,
                do="Name the space with --space SPACE",
            ) from error
    return opened


def _bench_command(table: LatencyTable, space: str | Path) -> str:
    setup = table.setup
    command = f"hwnas bench {space} --runtime {setup.runtime} --precision {setup.precision} --threads {setup.threads}"
    command += f" --batch {setup.batch}" if setup.batch > 1 else ""
    command += f" --accelerator {setup.accelerator}" if setup.accelerator != "cpu" else ""
    command += f" --cores {setup.cores}" if setup.cores else ""
    return f"{command} --table {table.path}"


def _forecast(networks: Sequence[Network], runtime: Runtime, timing: Timing) -> str:
    both = replace(timing, rounds=2 * timing.rounds, processes=2 * max(1, timing.processes))
    export = exporter_of(runtime.setup)
    expected_s = build.expected_seconds([], networks, format_of(runtime.setup.runtime).suffix, export, export, both)
    return (
        f"{counted(len(networks), 'network')}, model files and two timings of each: about {units.seconds(expected_s)}"
    )


@contextmanager
def _folder(artifacts: Path | None) -> Iterator[Path]:
    if artifacts is not None:
        yield artifacts
        return
    with tempfile.TemporaryDirectory(prefix="hwnas-check-") as folder:
        yield Path(folder)


def _sitting(
    networks: Sequence[Network], timing: Timing, context: MeasureContext, reporter: Reporter, title: str
) -> list[Measurement]:
    with reporter.bar(title) as bar:
        return build.time_networks(networks, timing, replace(context, progress=bar.update))


def _checked(
    table: LatencyTable,
    model: LatencyModel,
    seed: int,
    drawn: Sequence[tuple[Architecture, Network, LatencyEstimate]],
    sitting: Sequence[Measurement],
    states: Sequence[tuple[Floats, float | None]],
    rivals: tuple[dict[str, Floats | None], dict[str, str]],
) -> Checked:
    estimates, (guesses, absent) = [estimate for _, _, estimate in drawn], rivals
    (measured, drift), (again, drift_again) = ((times.tolist(), drift) for times, drift in states)
    has_reference = reference_ns(table.rows.values()) is not None
    raw = [m.median_ms if has_reference else m.low_ms for m in sitting]  # what is corrected are medians
    predicted = [estimate.ms for estimate in estimates]
    low, high = [estimate.low_ms for estimate in estimates], [estimate.high_ms for estimate in estimates]
    networks = tuple(
        CheckedNetwork(
            architecture.key,
            architecture.space,
            len(network.operators),
            costs(network).macs,
            predicted[i],
            low[i],
            high[i],
            measured[i],
            again[i],
            raw[i],
            {name: float(guess[i]) for name, guess in guesses.items() if guess is not None},
        )
        for i, (architecture, network, _) in enumerate(drawn)
    )
    return Checked(
        table=table.path,
        setup=table.setup.as_dict(),
        spaces=tuple(dict.fromkeys(architecture.space for architecture, _, _ in drawn)),
        seed=seed,
        origin=model.origin,
        model=PredictionQuality.of(predicted, measured, low=low, high=high),
        uncorrected=PredictionQuality.of(predicted, raw, low=low, high=high),
        noise=PredictionQuality.of(again, measured),
        baselines={
            name: None if guess is None else PredictionQuality.of(guess.tolist(), measured)
            for name, guess in guesses.items()
        },
        absent=absent,
        drift=drift,
        drift_again=drift_again,
        networks=networks,
    )
