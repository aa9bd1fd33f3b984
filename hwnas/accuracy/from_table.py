"""Accuracies of a published benchmark, or of any file of the user's."""

from __future__ import annotations

from hwnas.accuracy.source import AccuracyContext
from hwnas.errors import ConfigError
from hwnas.io.regular import resolve_path
from hwnas.tabular import TableMetric, Wanted, read_metric
from hwnas.tabular.metric import Scale


def from_table(ingredients: AccuracyContext) -> TableMetric:
    """Return the column that the experiment names: accuracies as 0 to 1, other qualities in their unit.

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
    quality = ingredients.space.task.quality
    if quality.unit != "fraction" and settings.scale == "percent":
        raise ConfigError(
            f"`scale` is percent, and `{quality.name}` is no share",
            where="accuracy",
            allowed=f"Values of `{quality.name}` are taken as they are{f', in {quality.unit}' if quality.unit else ''}",
            do="Leave `scale` out",
        )
    scale: Scale = settings.scale if quality.unit == "fraction" else "as_is"
    path = resolve_path(settings.file, ingredients.base)
    return read_metric(Wanted(path, settings.column, settings.key, scale, settings.rows), ingredients.names)
