"""JSON Schemas of space and experiment files, so that editors complete keys and mark what is not understood.

They list hwnas's own members of families, so that they are the same wherever they are written.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Mapping
from typing import Any, Literal

from hwnas.config import Experiment
from hwnas.data import DATA_SETS
from hwnas.notation import NOTATIONS
from hwnas.ops import OPERATORS
from hwnas.registry import member
from hwnas.space.inputs import INPUT_DTYPES
from hwnas.tasks import TASKS, WIDTH_KEYS, open_task

Kind = Literal["space", "experiment"]
Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAME_SCHEMA = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
SHARED_SCHEMA = {"type": "string", "pattern": r"^\$[a-z][a-z0-9_]*$", "description": "a shared choice, by its name"}
OPTION: Schema = {"type": ["number", "string", "boolean"]}
TYPES: Mapping[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}
CHAIN_FIELDS = ("in_channels", "out_channels", "stride")
"""Fields of operators that are set by the chain and not by a knob."""


def schema(kind: Kind) -> Schema:
    """Return the schema of a kind of file."""
    return _space() if kind == "space" else _experiment()


def schema_text(kind: Kind) -> str:
    """Return the JSON Schema of a kind of file, as the text of the file that is shipped.

    Args:
        kind: `space` or `experiment`.

    Returns:
        JSON, with a newline at the end.

    Example:
        >>> import json
        >>> from hwnas import pipeline
        >>> json.loads(pipeline.schema_text("experiment"))["title"]
        'hwnas experiment'
    """
    return json.dumps(schema(kind), indent=1) + "\n"


def _experiment() -> Schema:
    content = Experiment.model_json_schema()
    data = content["properties"]["data"]
    data["anyOf"] = [_data() if form.get("type") == "object" else form for form in data["anyOf"]]
    limits, bound = content["$defs"]["LimitsConfig"]["properties"], content["$defs"]["SidesConfig"]["title"]
    for task in TASKS.own:
        for metric in open_task(task, where="schema").metrics:
            number: Schema = {"minimum": 0, "maximum": 1} if metric.unit == "fraction" else {}
            forms = [{**number, "type": "number"}, {"$ref": f"#/$defs/{bound}"}, {"type": "null"}]
            about = f"{metric.label}, of task {task}: at {'most' if metric.goal == 'min' else 'least'}"
            limits.setdefault(metric.name, {"anyOf": forms, "default": None, "description": about})
    return {"$schema": DIALECT, **content, "title": "hwnas experiment"}


def _data() -> Schema:
    """Return the schema of a data set with options, the parameters of its reader; one of a distribution takes any."""
    from hwnas.data.load import Options

    common = {name: _of_type(hint) for name, hint in typing.get_type_hints(Options).items()}
    cases = []
    for name in DATA_SETS.own:
        reader = member(DATA_SETS, name, what="data set", where="schema")
        parameters = [p for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
        hints = typing.get_type_hints(reader)
        own = {p.name: _of_type(hints[p.name]) for p in parameters if p.name != "task"}
        known = {"name": {"const": name}, **common, **own}
        needed = [p.name for p in parameters if p.default is p.empty]
        then = {"properties": known, "required": needed, "additionalProperties": False}
        cases.append({"if": {"properties": {"name": {"const": name}}, "required": ["name"]}, "then": then})
    named = [{"required": ["name"]}, {"required": ["function"]}]
    return {"type": "object", "properties": {"name": {"type": "string"}}, "anyOf": named, "allOf": cases}


def _of_type(hint: Any) -> Schema:
    from pydantic import TypeAdapter

    described: Schema = TypeAdapter(hint).json_schema()
    return described


def _space() -> Schema:
    """Return the schema of space files.

    Stages are checked by operator; where a space names plugins or blocks, an operator may be one of those.
    """
    whole = _whole(1)
    strict, own = {"$ref": "#/$defs/operator"}, {"anyOf": [{"$ref": "#/$defs/operator"}, NAME_SCHEMA]}
    return {
        "$schema": DIALECT,
        "title": "hwnas search space",
        "type": "object",
        "required": ["name", "input", "stages"],
        "additionalProperties": False,
        "properties": {
            "name": NAME_SCHEMA,
            "source": {"type": "string", "description": "where the space is from"},
            "plugins": {"type": "array", "items": {"type": "string", "pattern": r"\.py$"}},
            "notation": {"enum": sorted(NOTATIONS.own)},
            "canonical": {"type": "string", "pattern": "^.+:.+$"},
            "task": _task(),
            "input": _input(whole),
            **dict.fromkeys(WIDTH_KEYS, whole),
            "choices": {"type": "object", "propertyNames": NAME_SCHEMA, "additionalProperties": _list_or_one(OPTION)},
            "blocks": {
                "type": "object",
                "propertyNames": NAME_SCHEMA,
                "additionalProperties": {"$ref": "#/$defs/block"},
            },
            "stages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/stage"}},
        },
        "allOf": [
            {
                "if": {"not": {"anyOf": [{"required": ["plugins"]}, {"required": ["blocks"]}]}},
                "then": _ops_of_stages(strict),
                "else": _ops_of_stages(own),
            },
            {"if": {"not": {"required": ["plugins"]}}, "then": {"$ref": "#/$defs/no_plugins"}},
            {"oneOf": [{"required": [key]} for key in WIDTH_KEYS]},
        ],
        "$defs": _definitions(),
    }


def _task() -> Schema:
    """Return the schema of a task, by name or with options."""
    described = {"description": "what networks learn; with `classes` classification, with `outputs` regression"}
    named = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    return {"anyOf": [{"type": "string"}, named], **described}


def _input(whole: Schema) -> Schema:
    """Return the schema of `input`: a square image, one tensor, or several by name."""
    axes = {"type": "array", "minItems": 1, "items": _choice(whole)}
    image = {"channels": whole, "resolution": _choice(whole)}
    tensor = {"shape": axes, "dtype": {"enum": list(INPUT_DTYPES)}, "below": whole}
    one = {"type": "object", "required": ["shape"], "additionalProperties": False, "properties": tensor}
    return {
        "anyOf": [
            {"type": "object", "required": list(image), "additionalProperties": False, "properties": image},
            one,
            {"type": "object", "minProperties": 1, "propertyNames": NAME_SCHEMA, "additionalProperties": one},
        ]
    }


def _ops_of_stages(op: Schema) -> Schema:
    return {"properties": {"stages": {"items": {"properties": {"op": _list_or_one(op)}}}}}


def _definitions() -> Schema:
    whole = _whole(1)
    knobs = {kind: _knobs(kind) for kind in OPERATORS.own}
    known = {name: value for by_name in knobs.values() for name, value in by_name.items()}
    chain = {
        "name": NAME_SCHEMA,
        "op": {"description": "an operator or a block; a list is a choice for each layer"},
        "depth": _choice(_whole(0)),
        "width": _choice(whole),
        "stride": whole,
        "per": {
            "anyOf": [
                {"enum": ["layer", "stage"]},
                {"type": "object", "additionalProperties": {"enum": ["layer", "stage"]}},
            ]
        },
    }
    return {
        "operator": {"enum": list(OPERATORS.own)},
        "stage": {"type": "object", "required": ["name", "op"], "properties": {**chain, **_open(known)}},
        "block": {"type": "object", "required": ["op"], "properties": {"op": {"type": "string"}}},
        "no_plugins": {
            "properties": {
                "stages": {"items": {"allOf": [_of_kind(kind, props, tuple(chain)) for kind, props in knobs.items()]}},
                "blocks": {
                    "additionalProperties": {
                        "properties": {"op": {"$ref": "#/$defs/operator"}},
                        "allOf": [_of_kind(kind, props, ("op", "stride")) for kind, props in knobs.items()],
                    }
                },
            }
        },
    }


def _of_kind(kind: str, knobs: Schema, others: tuple[str, ...]) -> Schema:
    """Return the schema of what may stand where `op` names one operator."""
    return {
        "if": {"properties": {"op": {"const": kind}}, "required": ["op"]},
        "then": {"properties": knobs, "propertyNames": {"enum": sorted({*others, *knobs})}},
    }


def _open(knobs: Schema) -> Schema:
    """Return the schema of names alone, for completion: what a knob holds depends on the operator."""
    return {name: {} for name in sorted(knobs)}


def _knobs(kind: str) -> Schema:
    operator = member(OPERATORS, kind, what="operator", where="schema")
    hints = typing.get_type_hints(operator)
    names = [field.name for field in dataclasses.fields(operator) if field.name not in CHAIN_FIELDS]
    return {name: _choice(_typed(hints[name])) for name in names}


def _typed(hint: Any) -> Schema:
    if typing.get_origin(hint) is Literal:
        return {"enum": list(typing.get_args(hint))}
    return TYPES.get(hint, OPTION)


def _choice(one: Schema) -> Schema:
    """Return the schema of one option, a list of them, or a shared choice."""
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}, SHARED_SCHEMA]}


def _list_or_one(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


def _whole(least: int) -> Schema:
    return {"type": "integer", "minimum": least}
