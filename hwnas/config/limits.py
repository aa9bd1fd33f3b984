"""Limits of a tier: by quantity, on the side of its goal or on the one that is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, SerializeAsAny, Tag, create_model, model_validator

from hwnas.io.strict_model import StrictModel
from hwnas.quantities import LATENCY, QUANTITIES, Quantity, quantity_of

Side = Literal["most", "least"]


class SidesConfig(StrictModel):
    """A limit on the side that is named."""

    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> SidesConfig:
        if self.at_most is None and self.at_least is None:
            raise ValueError("a limit names no bound. Its form is a number, `{at_least: 3}` or `{at_most: 5}`")
        return self


class _Limits(StrictModel):
    """Hard limits of a tier; a network that breaks one is on no front."""

    latency_quantile: float | None = Field(default=None, ge=0.5, lt=1)
    """The predicted latency limit is held with this probability; if left out, the expected latency holds it."""
    quality_confidence: float | None = Field(default=None, ge=0.5, lt=1)
    """So surely `guided` predicts that a network holds the limit on its quality before it tries it; 0.5 if left out."""

    @model_validator(mode="after")
    def _quantile_of_a_limit(self) -> _Limits:
        if self.latency_quantile is not None and getattr(self, LATENCY.name) is None:
            raise ValueError("`latency_quantile` says how surely `latency_ms` is held: give both")
        if self.quality_confidence is not None and not self.qualities:
            raise ValueError("`quality_confidence` says how surely a limit such as `top1` is held: give both")
        return self

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that are understood, those of installed distributions included."""
        return list(dict.fromkeys([*cls.model_fields, *QUANTITIES.installed]))

    @classmethod
    def type_of(cls, key: str) -> Any:
        """Return the type of a key's value, that of a quantity of an installed distribution too."""
        return super().type_of(key) if key in cls.model_fields else SidesConfig

    @property
    def names(self) -> list[str]:
        """Names of the limited quantities and metrics."""
        fields = type(self).model_fields
        return [name for name in fields if name not in _Limits.model_fields and getattr(self, name) is not None]

    @property
    def qualities(self) -> list[str]:
        """Names of those that a source of accuracy scores: qualities that are quantities, and metrics of the task."""
        return [name for name in self.names if name not in QUANTITIES or quantity_of(name, where="limits").is_quality]

    def bounds(self, metrics: Iterable[Quantity] = ()) -> Iterator[tuple[Quantity, float, Side]]:
        """Yield each limited quantity with its bound and the side that it bounds; `metrics` are those of the task."""
        of_task = {metric.name: metric for metric in metrics}
        for name in self.names:
            quantity, bound = of_task.get(name) or quantity_of(name, where="limits"), getattr(self, name)
            if not isinstance(bound, SidesConfig):
                yield quantity, bound, "most" if quantity.goal == "min" else "least"
                continue
            if bound.at_most is not None:
                yield quantity, bound.at_most, "most"
            if bound.at_least is not None:
                yield quantity, bound.at_least, "least"


def _arm(value: Any) -> str:
    return "[sides]" if isinstance(value, (dict, SidesConfig)) else "[number]"


_Bound = Annotated[Annotated[float, Tag("[number]")] | Annotated[SidesConfig, Tag("[sides]")], Discriminator(_arm)]
"""Limit on a metric of a task, of which this module knows nothing else."""


def _fields(names: Iterable[str]) -> dict[str, Any]:
    """Return the fields of limits on the quantities of these names."""
    fields: dict[str, Any] = {}
    for name in names:
        quantity = quantity_of(name, where="limits")
        ends: dict[str, Any] = {"gt": 0} if quantity.positive else {}
        ends = {"ge": 0, "le": 1} if quantity.unit == "fraction" else ends
        number: Any = Annotated[float, Field(**ends), Tag("[number]")]
        bound: Any = Annotated[number | Annotated[SidesConfig, Tag("[sides]")], Discriminator(_arm)]
        if "limit" in quantity.uses:
            side = "at most" if quantity.goal == "min" else "at least"
            fields[name] = (
                bound | None,
                Field(default=None, description=f"{quantity.label} ({quantity.unit}): {side}"),
            )
    return fields


def _is_metric(name: Any, bound: Any) -> bool:
    """Return whether a key may be a metric of a task: it is a name that a model may have, and its value has the form
    of a limit."""
    sides = isinstance(bound, dict) and bound and bound.keys() <= SidesConfig.model_fields.keys()
    number = isinstance(bound, int | float | str) and not isinstance(bound, bool)
    free = str(name).isidentifier() and str(name)[0].isalpha() and not hasattr(_Limits, str(name))
    return free and bool(sides or number)


@lru_cache
def _with(installed: tuple[str, ...], metrics: tuple[str, ...]) -> type[_Limits]:
    bounds: dict[str, Any] = {name: (_Bound | None, Field(default=None)) for name in metrics}
    return create_model("LimitsConfig", __base__=LimitsConfig, **_fields(installed), **bounds)


def _of_others_too(raw: Any) -> Any:
    """Return limits that name quantities of installed distributions, or metrics of a task, in a model that has these.

    Which metrics there are is known once the task is: a name that is none of them is refused with the run.
    """
    names = [name for name in raw if name not in LimitsConfig.model_fields] if isinstance(raw, dict) else []
    installed = tuple(sorted(name for name in names if name in QUANTITIES))
    metrics = tuple(sorted(name for name in names if name not in QUANTITIES and _is_metric(name, raw[name])))
    return _with(installed, metrics).model_validate(raw) if installed or metrics else raw


if TYPE_CHECKING:
    LimitsConfig = _Limits
else:
    LimitsConfig = create_model("LimitsConfig", __base__=_Limits, __doc__=_Limits.__doc__, **_fields(QUANTITIES.own))
Limits = Annotated[SerializeAsAny[LimitsConfig], BeforeValidator(_of_others_too)]
