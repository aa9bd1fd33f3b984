"""Changes in files that are no text: arrays, archives, weights. See `_mutations.py`."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import Any

import numpy as np

from benchmarks._mutations import (
    ODD,
    ODD_JSON,
    Change,
    as_bytes,
    at,
    changed,
    encoded,
    in_json,
    paths,
    put,
    typo,
    written_json,
)


def in_npz(content: bytes, rng: random.Random) -> Change:
    """An archive of NumPy with one array changed, or its bytes."""
    if rng.random() < 0.3:
        return as_bytes(content, rng)
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = rng.choice(sorted(arrays))
    array, kind = (
        arrays[name],
        rng.choice(["gone", "renamed", "cut", "empty", "axis", "type", "odd", "object", "scalar"]),
    )
    if kind in ("gone", "renamed"):
        del arrays[name]
        if kind == "renamed":
            arrays[typo(name, rng).replace("/", "_") or "x"] = array
    else:
        arrays[name] = _other_array(array, kind, rng)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return Change(stream.getvalue(), f"array {name} {kind}")


def _other_array(array: Any, kind: str, rng: random.Random) -> Any:
    if kind == "cut":
        return array[:-1] if array.ndim else array
    if kind == "axis":
        return array[None] if rng.random() < 0.5 else array.reshape(-1)
    if kind == "odd" and array.size and array.dtype.kind in "fiu":
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice(
            [-1, np.nan, np.inf, 1e30] if array.dtype.kind == "f" else [0, 1, 100, 255]
        )
        return array
    if kind == "type":
        return (
            array.astype(rng.choice(["f8", "f2", "i8", "u1", "?", "U5", "c16"]))
            if array.dtype.kind in "fiu"
            else np.arange(array.size)
        )
    made = {
        "empty": array[:0] if array.ndim else array,
        "object": np.array([{}, None], dtype=object),
        "scalar": np.array(3),
    }
    return made.get(kind, array[::-1] if array.ndim else array)


def in_zip(content: bytes, rng: random.Random, *, comment: Any = None) -> Change:
    """An archive with one member changed, and as good as before otherwise; `comment` makes that of a changed one."""
    if rng.random() < 0.3:
        return as_bytes(content, rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w") as target:
        names = source.namelist()
        name = rng.choice([n for n in names if n.endswith(".json")] if rng.random() < 0.7 else names)
        change = (in_json if name.endswith(".json") else as_bytes)(source.read(name), rng)
        fate = rng.choice(["changed"] * 8 + ["gone", "twice"])
        for member in names:
            if member != name or fate == "twice":
                target.writestr(member, source.read(member))
        if fate != "gone":
            target.writestr(name, change.content)
        target.comment = comment(change.content) if comment is not None and rng.random() < 0.8 else source.comment
    return Change(stream.getvalue(), f"member {name} {fate}: {change.what}")


def in_safetensors(content: bytes, rng: random.Random) -> Change:
    """A safetensors file with one thing changed in its header, or its bytes."""
    if rng.random() < 0.5:
        return as_bytes(content, rng)
    size = int.from_bytes(content[:8], "little")
    tree, what = changed(json.loads(content[8 : 8 + size]), rng, (*ODD, *ODD_JSON))
    header = encoded(written_json(tree))
    return Change(len(header).to_bytes(8, "little") + header + content[8 + size :], f"header: {what}")


def in_pt(content: bytes, rng: random.Random) -> Change:
    """A file of PyTorch with one thing changed, or its bytes."""
    if rng.random() < 0.5:
        return as_bytes(content, rng)
    import torch

    tree = torch.load(io.BytesIO(content), weights_only=True)
    tree = dict(tree) if isinstance(tree, dict) else tree
    if rng.random() < 0.5 and (places := [p for p in paths(tree) if isinstance(at(tree, p), torch.Tensor)]):
        path = rng.choice(places)
        tensor = at(tree, path)
        made = {
            "nan": torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor,
            "negative": -tensor.abs() - 1 if tensor.is_floating_point() else tensor,
            "cut": tensor[:-1] if tensor.ndim else tensor, "axis": tensor[None],
            "double": tensor.double(), "int": tensor.int(),
        }  # fmt: skip
        name = rng.choice(sorted(made))
        tree, what = put(tree, path, made[name]), f"{'.'.join(map(str, path))} {name}"
    else:
        tree, what = changed(tree, rng, [odd for odd in ODD if odd != "\ud7ff"])
    stream = io.BytesIO()
    torch.save(tree, stream)
    return Change(stream.getvalue(), what)
