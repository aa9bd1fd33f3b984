"""Scores of accuracy without full training. A new one is one file and one row here."""

from collections.abc import Iterable

from hwnas.accuracy.source import Accuracy, AccuracyContext, AccuracySource, Settings
from hwnas.accuracy.zero_cost_proxies import TRAINING_FREE
from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
from hwnas.errors import ConfigError, did_you_mean
from hwnas.quantities import Metric
from hwnas.registry import Family, InstanceOf, member
from hwnas.stored_names import stored_source

PROXIES = Family(
    "accuracy_sources",
    {  # name in YAML; what it makes is imported on use
        "inherited": AccuracySource(
            "hwnas.accuracy.inherited:inherited",
            "quality",
            "measured",
            "validation {samples}, inherited weights",
            supernet=True,
        ),
        "finetuned": AccuracySource(
            "hwnas.accuracy.trained:finetuned",
            "quality",
            "measured",
            "validation {samples}, inherited weights trained on",
            supernet=True,
        ),
        "standalone": AccuracySource(
            "hwnas.accuracy.trained:standalone", "quality", "measured", "validation {samples}, trained alone"
        ),
        "blockwise": AccuracySource(
            "hwnas.accuracy.blockwise:blockwise", "score", "scored", "blocks distilled one by one", opened=True
        ),
        "predicted": AccuracySource(
            "hwnas.accuracy.from_file:predicted", "quality", "predicted", "learned from a run's accuracies", data=False
        ),
        "table": AccuracySource(
            "hwnas.accuracy.from_table:from_table", "quality", "published", "a table's accuracies", data=False
        ),
    },
    InstanceOf(AccuracySource),
)
TRAINLESS = AccuracySource(
    "hwnas.accuracy.training_free:zero_cost_accuracy", "score", "scored", "untrained networks", data=False
)
"""Source of every name in `TRAINING_FREE`."""
RANKED = AccuracySource("hwnas.accuracy.zero_cost:ranked", "score", "scored", "ranks of untrained networks", data=False)
"""Source of every name in `ENSEMBLES`."""
FUNCTION = AccuracySource(
    "hwnas.accuracy.function:from_function", "score", "given", "a function of the user's", data=False
)
"""Source of `file.py:function` in place of a name."""


def source_of(name: str, *, where: str) -> AccuracySource:
    """Return the source under a name, or that of a user's function.

    Raises:
        ConfigError: there is no source of that name.
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
    source: AccuracySource = member(PROXIES, name, what="source of accuracy", where=where)
    return source


def accuracy_metric(name: str, quantity: str) -> str:
    """Return the metric of a source's scores, such as `top1@inherited`; of a function, with its name after the @."""
    return str(Metric(quantity, stored_source(name).rpartition(":")[2]))


def check_training_free(names: Iterable[str], *, where: str) -> None:
    """Refuse a name that is neither in `TRAINING_FREE` nor in `ENSEMBLES`.

    Raises:
        ConfigError: there is no such proxy.
    """
    for name in names:
        if name not in ENSEMBLES and name not in TRAINING_FREE:
            raise ConfigError(
                f"unknown proxy `{name}`",
                where=where,
                allowed=did_you_mean(name, [*TRAINING_FREE, *ENSEMBLES]),
                do="Use a known proxy",
            )


__all__ = [
    "FUNCTION",
    "PROXIES",
    "RANKED",
    "TRAINLESS",
    "Accuracy",
    "AccuracyContext",
    "AccuracySource",
    "Settings",
    "accuracy_metric",
    "check_training_free",
    "source_of",
]
