"""A deployment of a plan checked again: the plan's digest, both sides' files, and that the halves fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.collaborate.wire import PLAN_FILE, plan_digest
from hwnas.errors import HwnasError, raised
from hwnas.io.checksum import sha256_of
from hwnas.io.fields import FieldError, loads
from hwnas.runtimes import open_runtime
from hwnas.verify.deployed_quality import check_deployed_quality
from hwnas.verify.findings import Verification
from hwnas.words import counted

SIDES = ("edge", "cloud")


def plan_folders(folder: Path) -> dict[str, Path]:
    """Return the sides of a deployment by name; empty if the folder is none."""
    sides = {name: folder / name for name in SIDES if (folder / name / PLAN_FILE).is_file()}
    if not sides and (folder / PLAN_FILE).is_file():
        return {folder.resolve().name: folder}
    return sides


def check_deployment(
    sides: Mapping[str, Path], result: Verification, *, arrays: Mapping[str, Any] | None = None, drop: float = 0.0
) -> None:
    """Check the sides of a deployment that are here.

    Args:
        sides: folders by name.
        result: gets findings and numbers.
        arrays: raw `inputs` and `targets`; without them the accuracy is not computed.
        drop: by how much the accuracy may be worse than planned.
    """
    plans = {name: plan for name, folder in sides.items() if (plan := _plan(folder, result)) is not None}
    if len({plan["plan"] for plan in plans.values()}) > 1:
        result.find("plan_differs", "edge and cloud are of different plans", sides["edge"] / PLAN_FILE)
        return
    outputs: dict[str, Any] = {}
    for name, plan in plans.items():
        for part in ("edge", "cloud", "fallback", "exit"):
            if isinstance(entry := plan.get(part), dict) and (part == "cloud") == (name == "cloud"):
                _check_file(sides[name], part, entry, result, outputs)
    for name, plan in plans.items():
        for part in SIDES:
            if isinstance(plan.get(part), dict) and part not in sides and name in SIDES:
                result.find("side_missing", f"the {part}'s side is not here", sides[name])
    result.checked.append(f"plan and files of {counted(len(plans), 'side')}")
    if len(plans) == len(SIDES):
        _check_halves(plans["edge"], outputs, sides["cloud"], result)
    if arrays is not None and plans and result.ok:
        check_deployed_quality(sides, next(iter(plans.values())), arrays, drop, result)


def _plan(folder: Path, result: Verification) -> dict[str, Any] | None:
    path = folder / PLAN_FILE
    try:
        plan = loads(path.read_bytes())
        if not isinstance(plan, dict):
            raise FieldError("it is no object")
        if plan.get("plan") != plan_digest({key: value for key, value in plan.items() if key != "plan"}):
            raise FieldError("it was changed after it was written: its digest does not fit")
    except (OSError, FieldError) as error:
        result.find("plan_damaged", f"{PLAN_FILE} cannot be relied on: {error}", path)
        return None
    return plan


def _check_file(
    folder: Path, part: str, entry: Mapping[str, Any], result: Verification, outputs: dict[str, Any]
) -> None:
    """Compare a file with the plan, and run it on zeros."""
    name = str(entry.get("file"))
    if name in ("", ".", "..") or set(name) & set("/\\"):
        result.find("plan_damaged", f"`{part}.file` is {name!r}, the name of a file in the folder is needed", folder)
        return
    path = folder / name
    if path.is_symlink():
        result.find("file_is_a_link", f"{name} is a link", path)
    elif not path.is_file():
        result.find("file_is_no_file" if path.exists() else "file_missing", f"{name} is not there", path)
    elif sha256_of(path) != entry.get("sha256"):
        result.find("file_content", f"{name}: its content has another SHA-256 than the plan lists", path)
    else:
        try:
            threads, batch = (int(entry.get(key) or 1) for key in ("threads", "batch"))
            runtime = open_runtime(
                str(entry["runtime"]), threads=threads, precision=str(entry["precision"]), batch=batch
            )
            shape = tuple(map(int, entry["input"]["shape"]))
            outputs[part] = runtime.load(path).run(np.zeros((1, *shape), np.float32))
        except HwnasError as error:
            result.find("file_refused", f"{name}: {error.met}", path)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            result.find("plan_damaged", f"`{part}` contradicts itself ({raised(error)})", folder / PLAN_FILE)


def _check_halves(plan: Mapping[str, Any], outputs: Mapping[str, Any], cloud: Path, result: Verification) -> None:
    """Compare the shapes at the cut: what the edge gives is what a request carries and the cloud takes."""
    if plan.get("kind") != "split" or len(outputs) < len(SIDES):
        return
    sent = next(_arrays(outputs["edge"])).shape[1:]
    wanted = [tuple((plan.get("request") or {}).get("shape") or ()), tuple(plan["cloud"]["input"]["shape"])]
    if any(shape != sent for shape in wanted):
        result.find("halves_do_not_fit", f"the edge gives {sent}, the cloud takes {wanted[1]}", cloud)
    else:
        result.checked.append("the halves fit each other")


def _arrays(outputs: Any) -> Iterator[Any]:
    if isinstance(outputs, tuple):
        yield from outputs
    else:
        yield outputs
