"""Tiers whose candidates are timed while they are searched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hwnas.config import LiveConfig
from hwnas.errors import DiskError, ExportError, HostAway, NoScore, RunError, TableError
from hwnas.io.atomic import part_of
from hwnas.latency.live import LiveTimes, RetryBudget, Timed
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.table import check_key, read_table
from hwnas.measure.worker_process import TIMED_OUT
from hwnas.network import Network
from hwnas.problem.cost_models import refuse_another_setup
from hwnas.search.evaluate import Scorer
from hwnas.space import Architecture
from hwnas.workspace.measuring.setups import bench_request, measure_missing, measurement_protocol
from hwnas.workspace.progress import NoProgress, NullReporter, Reporter
from hwnas.workspace.workspace import Workspace


@dataclass(frozen=True)
class SetupHost:
    """The device of a set-up: networks go there one by one, as whole tables do."""

    run: Workspace
    setup: str
    live: LiveConfig
    reporter: Reporter = field(default_factory=NullReporter)
    """Reporter that is informed if others measure there; it shows no bar for each network."""

    @property
    def name(self) -> str:
        """The host, as the user wrote it."""
        return self.run.experiment.setups[self.setup].host or "this machine"

    def time(self, network: Network) -> Timed:
        """Time one network, into a temporary table."""
        config, key = self.run.experiment.setups[self.setup], check_key(network)
        timing = self.run.experiment.timing
        limit_s = min(self.live.timeout_s, timing.process_seconds or self.live.timeout_s)
        part = part_of(live_path(self.run, self.setup))
        part.unlink(missing_ok=True)
        protocol = replace(measurement_protocol(timing, 0), process_seconds=limit_s)
        try:
            request = bench_request(config, part, [], [network], wait_s=timing.device_lock_timeout_s)
            request = replace(request, energy=None, memory=False)
            table = measure_missing(request, protocol, self.run.folder / "artifacts", NoProgress(self.reporter), "")
        except HostAway:
            raise
        except (RunError, TableError, DiskError) as error:
            raise self._why(error) from error
        finally:
            part.unlink(missing_ok=True)
        return Timed(table.checks[key], table.setup, table.check_bytes.get(key))

    def _why(self, error: RunError | TableError | DiskError) -> HostAway | ExportError:
        if TIMED_OUT in error.met:
            return HostAway(
                f"it did not time a network within {self.live.timeout_s:g} s",
                where=self.name,
                allowed="A timing ends within `live.timeout_s`",
                do="Look at the device, or allow more seconds",
            )
        # What the network itself is to blame for is told by these words; a full disk will be as full for the next one.
        kind = ExportError if "could not be" in error.met else HostAway
        return kind(error.met, where=error.where, allowed=error.allowed, do=error.do)


def live_path(run: Workspace, setup: str) -> Path:
    """Return the table of the networks that were timed for a set-up's live tiers."""
    return run.folder / "latency" / f"{setup}-live.jsonl"


def live_before(run: Workspace, tier: str) -> Scorer:
    """Return the latencies that a live tier's networks had when they were timed; nothing is timed now.

    Raises:
        TableError: there are none, they are damaged, or of another set-up than the experiment's.
    """
    setup = run.experiment.tiers[tier].setup
    path = live_path(run, setup)
    refuse_another_setup(run, setup, path)
    table = read_table(path)
    first = next(iter(table.checks.values()), None)

    def latency_ms(architecture: Architecture) -> float:
        key = check_key(run.network(architecture))
        if first is None or key not in table.checks:
            raise NoScore(
                f"architecture {architecture.key} was not timed",
                where=str(path),
                allowed="Networks of a live tier are timed while it is searched",
                do="Search the tier",
            )
        return drift_corrected_ms([table.checks[key]], reference_ns([first]))[0]

    return latency_ms


def live_times(run: Workspace, tier: str, reporter: Reporter) -> LiveTimes:
    """Return the latencies of a live tier, as its host measures them."""
    config = run.experiment.tiers[tier]
    patience = RetryBudget(config.live.tries, config.live.pause_s)
    host = SetupHost(run, config.setup, config.live, reporter)
    return LiveTimes(host, live_path(run, config.setup), patience, say=reporter.info)


def raise_if_paused(paused: Iterable[tuple[str, HostAway]]) -> None:
    """Raise HostAway for tiers that wait for their devices, once everything else is done.

    Raises:
        HostAway: there is one.
    """
    waiting = list(paused)
    if waiting:
        reasons = "; ".join(f"{name}: {error.where}: {error.met}" for name, error in waiting)
        raise HostAway(
            f"{len(waiting)} tier{'s'[: len(waiting) > 1]} paused ({reasons})",
            where="search",
            allowed="What was tried and timed is kept, the other tiers are done",
            do="Bring the device back and run the same command again: it continues where it stopped",
        )
