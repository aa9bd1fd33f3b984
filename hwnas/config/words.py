"""Texts of an experiment that name a member of a family, of hwnas itself or of an installed distribution."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hwnas.errors import did_you_mean
from hwnas.export import FORMATS
from hwnas.measure.energy import SENSORS
from hwnas.registry import Family
from hwnas.runtimes import RUNTIMES
from hwnas.search.samplers import SAMPLERS


class Word:
    """Annotation of a text that names a member of a family, or is one of the other words. No member is imported; a JSON
    schema lists hwnas's own members, so that it is the same wherever it is written."""

    def __init__(self, family: Family, *others: str) -> None:
        self.family, self.others = family, others

    def check(self, value: str) -> str:
        """Return the word itself; ValueError, with the nearest one, if it is unknown."""
        if value not in self.others and value not in self.family:
            raise ValueError(did_you_mean(value, [*self.family, *self.others]))
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": [*self.family.own, *self.others]}


RuntimeName = Annotated[str, Word(RUNTIMES, "published")]
FormatName = Annotated[str, Word(FORMATS)]
SamplerName = Annotated[str, Word(SAMPLERS, "auto")]
SensorName = Annotated[str, Word(SENSORS, "auto")]
