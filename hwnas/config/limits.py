"""Limits of a tier: by quantity, on the side of its goal or on the one that is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, SerializeAsAny, Tag, create_model, model_validator

from hwnas.io.strict_model import StrictModel
from hwnas.quantities import QUANTITIES, Quantity, quantity_of

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
    """Hard limits of a tier; a network that breaks one is on no front. A number is an upper bound of a quantity whose
    goal is low, and a lower bound of one whose goal is high; `at_most` and `at_least` name the side."""

    latency_quantile: float | None = Field(default=None, ge=0.5, lt=1)
    """The predicted latency limit is held with this probability; if left out, the expected latency holds it."""
    top1_confidence: float | None = Field(default=None, ge=0.5, lt=1)
    """So surely `guided` predicts that a network holds `top1` before it tries it; 0.5 if left out."""

    @model_validator(mode="after")
    def _quantile_of_a_limit(self) -> _Limits:
        for name, of in (("latency_quantile", "latency_ms"), ("top1_confidence", "top1")):
            if getattr(self, name) is not None and getattr(self, of) is None:
                raise ValueError(f"`{name}` says how surely `{of}` is held: give both")
        return self

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that are understood, those of installed distributions included."""
        return list(dict.fromkeys([*cls.model_fields, *QUANTITIES.installed]))

    @property
    def names(self) -> list[str]:
        """Names of the limited quantities."""
        fields = type(self).model_fields
        return [name for name in fields if name not in _Limits.model_fields and getattr(self, name) is not None]

    def bounds(self) -> Iterator[tuple[Quantity, float, Side]]:
        """Yield each limited quantity with its bound and the side that it bounds."""
        for name in self.names:
            quantity, bound = quantity_of(name, where="limits"), getattr(self, name)
            if not isinstance(bound, SidesConfig):
                yield quantity, bound, "most" if quantity.goal == "min" else "least"
                continue
            if bound.at_most is not None:
                yield quantity, bound.at_most, "most"
            if bound.at_least is not None:
                yield quantity, bound.at_least, "least"


def _arm(value: Any) -> str:
    return "[sides]" if isinstance(value, (dict, SidesConfig)) else "[number]"


def _fields(names: Iterable[str]) -> dict[str, Any]:
    """Return the fields of limits on the quantities of these names."""
    fields: dict[str, Any] = {}
    for name in names:
        quantity = quantity_of(name, where="limits")
        ends: dict[str, Any] = {"gt": 0} if quantity.positive else {}
        ends = {"ge": 0, "le": 1} if quantity.unit == "fraction" else ends
        number: Any = Annotated[float, Field(**ends), Tag("[number]")]
        bound: Any = Annotated[number | Annotated[SidesConfig, Tag("[sides]")], Discriminator(_arm)]
        fields |= {name: (bound | None, None)} if "limit" in quantity.uses else {}
    return fields


@lru_cache
def _with(installed: tuple[str, ...]) -> type[_Limits]:
    return create_model("LimitsConfig", __base__=LimitsConfig, **_fields(installed))


def _of_installed_too(raw: Any) -> Any:
    """Return limits that name quantities of installed distributions in a model that has these."""
    names = [name for name in raw if name not in LimitsConfig.model_fields] if isinstance(raw, dict) else []
    installed = tuple(sorted(name for name in names if name in QUANTITIES))
    return _with(installed).model_validate(raw) if installed else raw


if TYPE_CHECKING:
    LimitsConfig = _Limits
else:
    LimitsConfig = create_model("LimitsConfig", __base__=_Limits, __doc__=_Limits.__doc__, **_fields(QUANTITIES.own))
Limits = Annotated[SerializeAsAny[LimitsConfig], BeforeValidator(_of_installed_too)]
