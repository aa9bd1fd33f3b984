"""Scores of accuracy without full training. A new one is one file and one row here."""

from collections.abc import Iterable, Mapping

from hwnas.errors import ConfigError, did_you_mean
from hwnas.proxies.source import Accuracy, Ingredients, Quantity, Settings, Source
from hwnas.proxies.training_free import TRAINING_FREE
from hwnas.proxies.training_free.ensembles import ENSEMBLES

PROXIES: Mapping[str, Source] = {  # name in YAML, and after the @ of a metric; what it makes is imported on use
    "inherited": Source(
        "hwnas.proxies.inherited:inherited", "top1", "measured", "validation images, inherited weights", supernet=True
    ),
    "short": Source(
        "hwnas.proxies.trained:short", "top1", "measured", "validation images, inherited weights trained on",
        supernet=True,
    ),
    "alone": Source("hwnas.proxies.trained:alone", "top1", "measured", "validation images, trained alone"),
    "predicted": Source(
        "hwnas.proxies.predicted:predicted", "top1", "predicted", "learned from a run's accuracies", data=False
    ),
    "table": Source("hwnas.proxies.table:from_table", "top1", "published", "a table's accuracies", data=False),
}  # fmt: skip
TRAINLESS = Source("hwnas.proxies.trainless:trainless", "score", "scored", "untrained networks", data=False)
"""Of every name in `TRAINING_FREE`."""
RANKED = Source("hwnas.proxies.ranked:ranked", "score", "scored", "ranks of untrained networks", data=False)
"""Of every name in `ENSEMBLES`."""
FUNCTION = Source("hwnas.proxies.function:from_function", "score", "given", "a function of the user's", data=False)
"""Of `file.py:function` in place of a name."""


def source_of(name: str, *, where: str) -> Source:
    """The source under a name, or that of a user's function.

    Raises:
        ConfigError: there is none of that name.
    """
    if ":" in name:
        return FUNCTION
    if name in TRAINING_FREE:
        return TRAINLESS
    if name in ENSEMBLES:
        return RANKED
    if name not in PROXIES:
        known = [*PROXIES, *TRAINING_FREE, *ENSEMBLES]
        raise ConfigError(
            f"unknown source of accuracy `{name}`",
            where=where,
            allowed=f"{did_you_mean(name, known)}; or a function of yours, `file.py:function`",
            do="Use one of them",
        )
    return PROXIES[name]


def check_training_free(names: Iterable[str], *, where: str) -> None:
    """Refuse a name that is neither in `TRAINING_FREE` nor in `ENSEMBLES`.

    Raises:
        ConfigError: there is no such proxy.
    """
    known = [*TRAINING_FREE, *ENSEMBLES]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"unknown proxy `{name}`", where=where, allowed=did_you_mean(name, known), do="Use a known proxy"
            )


__all__ = [
    "FUNCTION",
    "PROXIES",
    "RANKED",
    "TRAINLESS",
    "Accuracy",
    "Ingredients",
    "Quantity",
    "Settings",
    "Source",
    "check_training_free",
    "source_of",
]
