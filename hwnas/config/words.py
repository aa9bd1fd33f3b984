"""Types of values in several sections of an experiment: numbers, names of its own, names of a family's members."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hwnas.errors import did_you_mean
from hwnas.export import FORMATS
from hwnas.measure.energy import SENSORS
from hwnas.registry import Family
from hwnas.runtimes import RUNTIMES
from hwnas.search.samplers import SAMPLERS

Positive = Annotated[int, Field(ge=1)]
Few = Annotated[int, Field(ge=1, le=1024)]
"""Threads and processes: no device that networks are timed or trained on has more processors."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


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
