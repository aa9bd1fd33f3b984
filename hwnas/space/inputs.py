"""The `input` of a space file: a square image, one tensor of any shape, or several by name."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any, Protocol

from hwnas.errors import did_you_mean
from hwnas.space.stage import Knob
from hwnas.space.values import known_keys, name_of, space_error, whole
from hwnas.tasks.ends import TensorSpec

SHORT_FORM = ("channels", "resolution")
"""Keys of the input of square images."""
INPUT_FORMS = (
    "Write `input: {channels: 3, resolution: 32}` for square images, `input: {shape: [6, 100]}` for one tensor of any "
    "shape, such as 6 channels of 100 samples, or `input: {left: {shape: [6, 100]}, ...}` for several"
)
AXIS = re.compile(r"axis_\d+")
"""Choice of the size of an axis of the input."""
INPUT_DTYPES = ("float32", "int32", "int64")
"""Numbers that networks take; the first is meant where nothing is said."""
_TENSOR_KEYS = ("shape", "dtype", "below")


class ReadKnob(Protocol):
    """Reader of a value or a list of options."""

    def __call__(self, raw: Any, where: str, name: str, *, least: int | None = None) -> Knob: ...


def read_input(raw: Any, knob: ReadKnob, where: str) -> tuple[dict[str, Knob], tuple[TensorSpec, ...]]:
    """Return the sizes of the input as `Space.input` has them, and the tensors if it is not one of float32.

    Raises:
        SpaceError: it has another form.
    """
    at = f"{where}: input"
    if not isinstance(raw, Mapping) or not raw:
        raise space_error("`input` is no mapping", where, INPUT_FORMS, "Correct it")
    if "shape" in raw:
        sizes, spec = _tensor(raw, knob, at, "")
        return sizes, () if spec.dtype == "float32" else (spec,)
    if all(isinstance(one, Mapping) for one in raw.values()):
        return _several(raw, knob, at)
    known_keys(raw, (*SHORT_FORM, "shape"), at, INPUT_FORMS)
    resolution = knob(raw.get("resolution"), at, "resolution", least=1)
    return {"channels": Knob((whole(raw.get("channels"), at, "channels"),)), "resolution": resolution}, ()


def _several(raw: Mapping[str, Any], knob: ReadKnob, where: str) -> tuple[dict[str, Knob], tuple[TensorSpec, ...]]:
    sizes: dict[str, Knob] = {}
    specs = []
    for name, one in raw.items():
        at = f"{where}.{name_of(name, where)}"
        if "shape" not in one:
            raise space_error(f"the input `{name}` has no `shape`", at, "Write `shape: [6, 100]`", "Add it")
        own, spec = _tensor(one, knob, at, name)
        sizes |= own
        specs.append(spec)
    return sizes, tuple(specs)


def _tensor(raw: Mapping[str, Any], knob: ReadKnob, where: str, name: str) -> tuple[dict[str, Knob], TensorSpec]:
    """Return the sizes of a tensor's axes, `NAME.axis_1` and so on, and the tensor with the first of them."""
    known_keys(raw, _TENSOR_KEYS, where)
    shape, dtype = raw["shape"], raw.get("dtype", INPUT_DTYPES[0])
    if not isinstance(shape, list) or not shape or isinstance(shape[0], list):
        raise space_error(
            f"`shape` is {reprlib.repr(shape)}",
            where,
            "It lists the sizes of all axes but the batch's; each but the first may be a list of options",
            "Write `shape: [6, 100]`, or `shape: [6, [50, 100]]`",
        )
    if dtype not in INPUT_DTYPES:
        raise space_error(f"`dtype` is {dtype!r}", where, did_you_mean(str(dtype), INPUT_DTYPES), "Use one of them")
    if "below" in raw and not str(dtype).startswith("int"):
        raise space_error(
            f"`below` is set for {dtype}",
            where,
            "It bounds whole numbers, such as token ids",
            "Remove it, or set `dtype`",
        )
    prefix = f"{name}." if name else ""
    sizes = {f"{prefix}axis_{n}": knob(size, where, f"axis_{n}", least=1) for n, size in enumerate(shape, 1)}
    below = whole(raw["below"], where, "below") if "below" in raw else None
    return sizes, TensorSpec(name or "input", tuple(int(one.options[0]) for one in sizes.values()), str(dtype), below)
