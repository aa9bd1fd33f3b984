"""Accuracies of a published benchmark, or of any file of the user's."""

from __future__ import annotations

from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import ConfigError
from hwnas.io.regular import resolve_path
from hwnas.tabular import TableMetric, Wanted, read_metric


def from_table(ingredients: AccuracyContext) -> TableMetric:
    """Return the column that the experiment names, as accuracies of 0 to 1.

    Raises:
        ConfigError: no file or no column is named.
        DataError: the file cannot be used.
    """
    settings = ingredients.settings
    if lacking := [name for name in ("file", "column") if not getattr(settings, name)]:
        raise ConfigError(
            f"`{lacking[0]}` is missing",
            where="accuracy",
            allowed="`source: table` takes a `file`, its `column` of accuracies, and the `key` by which rows are named",
            do="Add it",
        )
    path = resolve_path(settings.file, ingredients.base)
    return read_metric(Wanted(path, settings.column, settings.key, settings.scale, settings.rows), ingredients.names)
