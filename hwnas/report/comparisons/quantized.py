"""A quantized file as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.report import units
from hwnas.words import counted


def quantization_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the verdict, the files with times and accuracies, the costliest operators, and what was written.

    Args:
        result: as `Quantization.as_dict` returns it.
    """
    verdict = "neither faster nor slower" if result["verdict"] == "no difference" else result["verdict"]
    yield f"{result['file']}: int8 is {verdict}, {_ratio(result)}"
    for one in result["files"]:
        words = f"  {one['name']}: {units.milliseconds(one['median_ms'])}, {units.size(one['bytes'])}"
        if one["accuracy"]:
            words += f", {_ratio(one)}, calibrator {one['calibrator']}, {', '.join(_accuracy(one['accuracy']))}"
        yield words
    for name, costliest in result["operators"].items():
        for node in costliest["nodes"]:
            yield f"  {name}: {node['share']:.0%} in {node['operator']} `{node['name']}`"
        kinds = (f"{one['operator']} {one['share']:.0%} ({one['count']})" for one in costliest["types"])
        yield f"  {name} by operator: {', '.join(kinds)}"
    for notice in result["notices"]:
        yield f"  note: {notice}"
    yield f"  wrote {result['written']}" if result["written"] else f"  not written: {result['reason']}"


def _ratio(one: Mapping[str, Any]) -> str:
    return f"{one['ratio']:.3f} times as long as fp32 ({one['low']:.3f} to {one['high']:.3f})"


def _accuracy(accuracy: Mapping[str, Any]) -> Iterator[str]:
    if "lost" in accuracy:
        yield (
            f"top1 {accuracy['int8_top1']:.4f} after {accuracy['fp32_top1']:.4f} "
            f"(lost {accuracy['lost']}, gained {accuracy['gained']}, p {accuracy['p_value']:.2g})"
        )
    if accuracy["agreement"] is not None:
        kind = "random input" if accuracy["random_inputs"] else "sample"
        yield f"same answer on {accuracy['agreement']:.1%} of {counted(accuracy['samples'], kind)}"
    noise = accuracy["snr_db"]
    yield "same outputs" if noise is None else f"outputs {noise:.0f} dB above their noise"
