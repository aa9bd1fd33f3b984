"""Accuracy of a deployment on raw inputs: both sides answer one after the other, without a link between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.deploy.client.client import Client
from hwnas.deploy.client.network import ClientError, checked_input
from hwnas.errors import DataError, HwnasError
from hwnas.serve.bundle import read_bundle
from hwnas.serve.session import Session
from hwnas.verify.findings import Verification

Array = NDArray[Any]
STANDARD_ERRORS = 2
"""Difference of accuracies on unlike samples that may be chance."""


def check_deployed_quality(
    sides: Mapping[str, Path], plan: Mapping[str, Any], arrays: Mapping[str, Array], drop: float, result: Verification
) -> None:
    """Compare the accuracy of a deployment's answers with the plan's.

    Args:
        sides: folders by name.
        plan: the document of both.
        arrays: raw `inputs` and `targets`.
        drop: by how much the accuracy may be worse, beside twice its standard error.
        result: gets findings and numbers.
    """
    where = sides.get("edge", next(iter(sides.values())))
    try:
        right, escalated = _right(sides, plan, arrays)
    except (HwnasError, ClientError) as error:
        problem = error.met if isinstance(error, HwnasError) else error.problem
        result.find("quality_not_compared", problem, where)
        return
    value, share = float(right.mean()), float(escalated.mean())
    planned = plan.get("predicted") or {}
    expected, deviation = planned.get("accuracy"), float(planned.get("accuracy_error") or 0.0)
    numbers = {"metric": "top1", "value": value, "samples": len(right), "manifest": expected, "escalated": share}
    result.measured["quality"] = {str(plan["name"]): numbers}
    result.checked.append(f"accuracy of the plan `{plan['name']}`; {share:.1%} of the samples were sent")
    if expected is None:
        return
    chance = STANDARD_ERRORS * math.hypot(deviation, math.sqrt(value * (1 - value) / len(right)))
    if value < expected - drop - chance:
        result.find("quality_lower", f"top1 is {value:.6g} on {len(right)} samples, {expected:.6g} was planned", where)


def _right(
    sides: Mapping[str, Path], plan: Mapping[str, Any], arrays: Mapping[str, Array]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which samples are answered rightly, and which of them are sent."""
    if plan["task"]["name"].lower() != "classification":
        raise _not_compared("the plan is of no classification", "The accuracy of classifiers is computed")
    lacking = [name for name in ("edge", "cloud") if name not in sides and (name == "edge" or plan["cloud"])]
    if lacking:
        raise _not_compared(f"the {lacking[0]}'s side is not here", "Both sides answer")
    inputs, targets = arrays.get("inputs"), arrays["targets"]
    if inputs is None or inputs.ndim < 1 or targets.ndim != 1 or not 0 < len(targets) == len(inputs):
        raise _not_compared("the data are not `inputs` with as many `targets`", "Each raw input has its class")
    client = Client(None, sides["edge"])
    session = Session.open(read_bundle(sides["cloud"])) if plan["cloud"] else None
    answers, escalated = [], []
    for sample in inputs:
        local = client.compute(checked_input(sample, plan["raw"]))
        escalated.append(not local.is_answer)
        if local.is_answer or session is None:
            answers.append(local.outputs)
            continue
        (answer,), _ = session.answer([client.content(local.sent)])
        if isinstance(answer, DataError):
            raise answer
        answers.append(answer)
    return np.stack(answers).argmax(1) == targets, np.array(escalated)


def _not_compared(problem: str, allowed: str) -> DataError:
    return DataError(
        problem, where="--data", allowed=allowed, do="Name the folder that holds both sides, and such data"
    )
