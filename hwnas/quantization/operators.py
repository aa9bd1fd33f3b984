"""Operators of an ONNX file that cost most, by ONNX Runtime's own profile."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

PROFILED_CALLS, WARM_UP_CALLS = 20, 5
SHOWN_NODES, SHOWN_TYPES = 3, 5
KERNEL = "_kernel_time"


def costliest_operators(path: Path, shape: tuple[int, ...], threads: int, folder: Path) -> dict[str, Any]:
    """Return the nodes and the kinds of operators that take longest, in ms a call and as shares of all kernels.

    Profiling adds to each operator's time: shares are the result, and no latency.

    Args:
        path: of the file.
        shape: of its input.
        threads: of the session.
        folder: for the profile.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / path.stem)
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    for _ in range(WARM_UP_CALLS + PROFILED_CALLS):
        session.run(None, {session.get_inputs()[0].name: values})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(KERNEL):
            durations[name.removesuffix(KERNEL), str(event["args"]["op_name"])].append(float(event["dur"]) / 1e3)
    nodes = {key: float(np.median(times[WARM_UP_CALLS:])) for key, times in durations.items()}
    total = sum(nodes.values()) or 1.0
    kinds: dict[str, list[float]] = defaultdict(list)
    for (_, operator), ms in nodes.items():
        kinds[operator].append(ms)
    return {
        "nodes": [
            {"name": name, "operator": operator, "ms": ms, "share": ms / total}
            for (name, operator), ms in sorted(nodes.items(), key=lambda item: -item[1])[:SHOWN_NODES]
        ],
        "types": [
            {"operator": operator, "count": len(times), "ms": sum(times), "share": sum(times) / total}
            for operator, times in sorted(kinds.items(), key=lambda item: -sum(item[1]))[:SHOWN_TYPES]
        ],
    }
