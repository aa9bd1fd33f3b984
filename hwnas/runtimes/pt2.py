"""PyTorch's .pt2 archives as plain data: nothing in the file is unpickled, evaluated or imported.

`torch.export.load` unpickles sample inputs and whatever an archive declares as pickled, without `weights_only`, so a
file from outside could run code there. What hwnas needs of it, a graph as JSON and tensors as bytes, is read here.
Format: https://docs.pytorch.org/docs/stable/export/pt2_archive.html. Board side: Python 3.9 syntax, no torch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = 8
"""The major version of the graph's schema that is read; PyTorch 2.13 writes it."""
DAMAGE = (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)
"""Exceptions raised by reading a file that is not such an archive."""
MODEL = "model"
PT2_DTYPES: Mapping[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
"""Numbers in the file -> names in PyTorch and, but for the last, numpy."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor: its bytes and how they are laid out, in elements."""

    data: bytes
    dtype: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Call:
    """One operator call. Arguments are (name, kind, value, by position); `results` names what it gives."""

    target: str
    arguments: tuple[tuple[str, str, Any, bool], ...]
    results: tuple[str, ...]
    one: bool
    """True if it returns one tensor rather than several."""


@dataclass(frozen=True)
class ProgramInput:
    """An input of a graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Program:
    """A graph with its inputs, and the names of its outputs."""

    inputs: tuple[ProgramInput, ...]
    tensors: Mapping[str, StoredTensor]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]


def read_program(path: Path) -> Program:
    """The program in an archive.

    Raises:
        one of DAMAGE: not an archive of this schema with tensors as bytes, inputs, outputs and fixed shapes.
    """
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}

        def content(name: str) -> bytes:
            if name not in names:
                raise ValueError(f"the archive holds no {name}, which PyTorch 2.13 writes")
            return archive.read(names[name])

        model = json.loads(content(f"models/{MODEL}.json"))
        if model["schema_version"]["major"] != SCHEMA:
            raise ValueError(f"the graph's schema is {model['schema_version']['major']}, {SCHEMA} is read")
        stored = {
            name: _stored(meta, f"data/{folder}/", content)
            for folder in ("weights", "constants")
            for name, meta in json.loads(content(f"data/{folder}/{MODEL}_{folder}_config.json"))["config"].items()
        }
    graph, signature = model["graph_module"]["graph"], model["graph_module"]["signature"]
    inputs, tensors = [], {}
    for spec in signature["input_specs"]:
        kind, value = _only(spec)
        if kind == "user_input":
            inputs.append(value["arg"]["as_tensor"]["name"])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            tensors[value["arg"]["name"]] = stored[value[f"{kind}_name"]]
        else:
            raise ValueError(f"an input is a {kind}")
    outputs = [_only(spec) for spec in signature["output_specs"]]
    if not inputs or not outputs or {kind for kind, _ in outputs} != {"user_output"}:
        raise ValueError(f"{len(inputs)} inputs, and outputs {', '.join(kind for kind, _ in outputs)}")
    metas = {name: graph["tensor_values"][name] for name in inputs}
    return Program(
        tuple(ProgramInput(name, _whole(meta["sizes"]), PT2_DTYPES[meta["dtype"]]) for name, meta in metas.items()),
        tensors,
        tuple(map(_call, graph["nodes"])),
        tuple(value["arg"]["as_tensor"]["name"] for _, value in outputs),
    )


def _stored(meta: Mapping[str, Any], folder: str, content: Any) -> StoredTensor:
    if meta["use_pickle"] is not False:
        raise ValueError(f"{meta['path_name']} is a pickle, which may run code")
    tensor = meta["tensor_meta"]
    return StoredTensor(
        content(folder + meta["path_name"]),
        PT2_DTYPES[tensor["dtype"]],
        _whole(tensor["sizes"]),
        _whole(tensor["strides"]),
        *_whole([tensor["storage_offset"]]),
    )


def _call(node: Mapping[str, Any]) -> Call:
    arguments = tuple((each["name"], *_only(each["arg"]), each.get("kind") != 2) for each in node["inputs"])
    return Call(str(node["target"]), arguments, tuple(_results(node["outputs"])), _is_one(node["outputs"]))


def _results(outputs: list[Mapping[str, Any]]) -> Iterator[str]:
    for output in outputs:
        kind, value = _only(output)
        if kind not in ("as_tensor", "as_tensors"):
            raise ValueError(f"an operator gives {kind}")
        for tensor in [value] if kind == "as_tensor" else value:
            yield tensor["name"]


def _is_one(outputs: list[Mapping[str, Any]]) -> bool:
    return len(outputs) == 1 and "as_tensor" in outputs[0]


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """The one kind that a union holds, and its value."""
    ((kind, value),) = union.items()
    return kind, value


def _whole(sizes: list[Mapping[str, Any]]) -> tuple[int, ...]:
    return tuple(int(size["as_int"]) for size in sizes)
