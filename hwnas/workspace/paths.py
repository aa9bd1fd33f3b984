"""Names of what an experiment leaves in its folder, and of the files that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import ConfigError
from hwnas.io.regular import resolve_path
from hwnas.io.resources import find_file


@dataclass(frozen=True)
class RunPaths:
    """Paths in a run's folder, and of the files that its experiment names."""

    folder: Path
    base: Path
    """Folder, beside the current one, that relative paths in the experiment begin at: that of its file."""
    tables: Mapping[str, str | None]
    """Latency tables that the experiment chooses, by set-up."""

    @property
    def train(self) -> Path:
        """Folder of the supernet's checkpoints."""
        return self.folder / "train"

    @property
    def elapsed(self) -> Path:
        """File of the seconds by stage."""
        return self.folder / "elapsed.json"

    @property
    def importance(self) -> Path:
        """File of the importance by which the channels of a user's network are sorted."""
        return self.folder / "network" / "importance.npz"

    @property
    def scores(self) -> Path:
        """File of all scores."""
        return self.folder / "scores.jsonl"

    def study(self, tier: str) -> Path:
        """Return the journal of a tier's or a pair's studies, where the experiment names no storage."""
        return self.folder / f"study-{tier}.log"

    def table(self, setup: str) -> Path:
        """Return the latency table of a set-up: the experiment's choice, else one in the run's folder.

        The choice is a file, from here or from `base`, else a shipped table, else a file that is still to be made.
        """
        chosen = self.tables[setup]
        if chosen is None:
            return self.folder / "latency" / f"{setup}.jsonl"
        try:
            return find_file(chosen, "latency_tables", self.base)
        except ConfigError:
            return Path(chosen).expanduser()

    def front_table(self, setup: str) -> Path:
        """Return the table of the set-up's fronts, timed as whole networks."""
        return self.folder / "latency" / f"{setup}-front.jsonl"

    def front(self, tier: str) -> Path:
        """Return the file of a tier's front."""
        return self.folder / "fronts" / f"{tier}.json"

    def resolve(self, file: str) -> Path:
        """Return a file that the experiment names: from the current folder, else from the experiment's own."""
        return resolve_path(file, self.base)
