"""Latencies that an experiment takes from files, each file read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from hwnas.config import SetupConfig
from hwnas.space import AnySpace
from hwnas.tabular import TableMetric, Wanted, read_metric
from hwnas.tabular.rows import Names
from hwnas.workspace.paths import RunPaths


@dataclass(frozen=True)
class PublishedTables:
    """Files of numbers of whole networks, and the reader of the architectures that they name."""

    space: AnySpace
    paths: RunPaths
    setups: Mapping[str, SetupConfig]
    _read: dict[Wanted, TableMetric] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """Reader of the architectures that files name, each read once."""
        return Names(self.space)

    def latencies(self, setup: str) -> TableMetric:
        """Return the latencies that a file holds of a set-up, in milliseconds.

        Raises:
            DataError: the file cannot be used.
        """
        config = self.setups[setup].latencies
        assert config is not None
        wanted = Wanted(self.paths.resolve(config.file), config.column, config.key, config.unit, config.rows)
        if wanted not in self._read:
            self._read[wanted] = read_metric(wanted, self.names)
        return self._read[wanted]
