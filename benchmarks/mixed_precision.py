"""Networks with some operators in int8: the error of their predicted latency, and what they win over one precision.

    python benchmarks/mixed_precision.py FOLDER --stage files       # minutes: all files but those of the programme
    python benchmarks/mixed_precision.py FOLDER --stage rows        # quiet: operators, conversions, whole networks
    python benchmarks/mixed_precision.py FOLDER --stage solve       # the programme's networks are written
    python benchmarks/mixed_precision.py FOLDER --stage networks    # quiet: mixed networks beside uniform ones
    python benchmarks/mixed_precision.py FOLDER --stage report --output docs/results/mixed_precision.json

Without `--stage` all of them run one after the other. Operators are those of once-for-all spaces with kernels 3 and 7
and expansion 4, on this machine with one thread: MobileNetV3 at 224x224 for ONNX Runtime, ProxylessNAS at 160x160 with
two layers a stage for LiteRT; weights are random, which times do not feel.

A table is made of each precision, with five or three whole networks, both in one sitting; conversions at ten
tensor sizes are rows of the table in int8. Then, timed in one sitting per runtime:

- `unseen`: 12 other networks with random precisions, whose predicted latency is compared with the measured one. The
  errors are also told without conversions, and with mixed networks among the checks: a factor on all conversions that
  is fitted to the eleven others;
- `seven`: five more networks, each of which has 7x7 and 3x3 kernels, in fp32, in int8, and as the programme assigns
  them, the fastest by prediction. The ratio of the mixed file to the better one of the other two has an interval over
  processes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import publish, stamped

from hwnas.export import format_of
from hwnas.export.mixed.kernels import Mixed, check_kernels
from hwnas.export.mixed.tflite import fp32_scopes, tflite_kernels
from hwnas.export.onnx import export_mixed_onnx
from hwnas.export.quantize import prepared
from hwnas.export.quantize_tflite import quantize_tflite
from hwnas.export.tflite import export_tflite
from hwnas.io.resources import find_file
from hwnas.latency.building.model_files import repeat_weights
from hwnas.latency.building.table_builder import REFERENCE_JOB, MeasureContext, MeasureJob, job_files, jobs_of
from hwnas.latency.model import LatencyModel
from hwnas.measure.drift import drift_corrected_ms, reference_ns
from hwnas.measure.origin import origin_here
from hwnas.measure.session import time_files
from hwnas.measure.table import LatencyTable, open_table, read_table
from hwnas.measure.timing import Measurement, Timing
from hwnas.mixed_precision.boundaries import boundary_links, tensors_of
from hwnas.mixed_precision.latency import MixedLatency, mixed_latency
from hwnas.mixed_precision.programme import pareto_assignments
from hwnas.network import Network, build, known_operators, lower
from hwnas.runtimes import Runtime, open_runtime
from hwnas.space import Architecture, read_space
from hwnas.verify.latency import ratio_of
from hwnas.workspace.measuring.setups import exporters_of

SPACES = {"onnxruntime": "ofa_mobilenet_v3_224", "tflite": "ofa_proxyless_w1.3"}
FIXED = {"onnxruntime": {"expand": 4}, "tflite": {"expand": 4, "depth": 2, "resolution": 160}}
"""By runtime: choices, by a part of their names, that have one option here."""
RUNTIMES, PRECISIONS = tuple(SPACES), ("fp32", "int8")
CHECKS, UNSEEN, SEVEN = {"onnxruntime": 5, "tflite": 3}, 12, 5
ASSIGNMENTS = {"onnxruntime": 1, "tflite": 3}
"""Random assignments of each unseen architecture: a conversion to TFLite takes a while, and serves several."""
SWITCH = 0.35
"""Probability that the precision changes from one operator to the next in a random assignment."""
ROWS = Timing(rounds=24, processes=4, warm_up_ms=10.0)
NETWORKS = Timing(rounds=36, processes=6)
Flags = tuple[bool, ...]


class Job:
    """The networks of one runtime, their files and their tables."""

    def __init__(self, runtime: str, folder: Path, unseen: int = UNSEEN, seven: int = SEVEN) -> None:
        self.name, self.folder = runtime, folder / runtime
        self.folder.mkdir(parents=True, exist_ok=True)
        self.space = read_space(find_file(SPACES[runtime], "search_spaces"))
        rng, each = random.Random(0), ASSIGNMENTS[runtime]
        self.checks = [self._drawn(rng, (3, 7)) for _ in range(CHECKS[runtime])]
        self.unseen = [one for _ in range(unseen // each) for one in [self._drawn(rng, (3, 7))] * each]
        self.seven = [self._drawn(rng, (3, 7)) for _ in range(seven)]
        self.unseen_flags = [random_flags(rng, len(one.operators)) for one in self.unseen]

    def _drawn(self, rng: random.Random, kernels: Sequence[int]) -> Network:
        def pick(choice: Any) -> Any:
            fixed = [value for part, value in FIXED[self.name].items() if part in choice.name]
            wanted = kernels if "kernel" in choice.name else fixed or choice.options
            return rng.choice([one for one in choice.options if one in wanted] or list(choice.options))

        architecture: Architecture = self.space.sample(pick)
        return lower(self.space, architecture)

    def runtime(self, precision: str) -> Runtime:
        """The runtime of a precision."""
        return open_runtime(self.name, threads=1, precision=precision, batch=1)

    def table(self, precision: str) -> Path:
        """The table of a precision."""
        return self.folder / f"{precision}.jsonl"

    def links(self, precision: str) -> list[Any]:
        """The rows of a table."""
        networks = [*self.checks, *self.unseen, *self.seven]
        own = list(dict.fromkeys(link for network in networks for link in network.links))
        return own + (
            boundary_links(shape for one in networks for shape in tensors_of(one)) if precision == "int8" else []
        )

    def context(self, precision: str) -> MeasureContext:
        """The way of measuring."""
        runtime = self.runtime(precision)
        return MeasureContext(runtime, exporters_of(runtime.setup), self.folder / "files", progress=shown)

    def jobs(self, precision: str, networks: Sequence[Network], links: Sequence[Any]) -> list[MeasureJob]:
        """What an empty table lacks."""
        return jobs_of(LatencyTable(self.table(precision), self.runtime(precision).setup), links, networks)

    def files(self, precision: str, networks: Sequence[Network], links: Sequence[Any] = ()) -> list[Path]:
        """Files of what a table lacks, then those of whole networks."""
        context, setup = self.context(precision), self.runtime(precision).setup
        jobs = [REFERENCE_JOB, *self.jobs(precision, networks, links)]
        made = job_files(jobs, setup, context.exports, context.artifacts, shown)
        for one in made:
            if isinstance(one, Exception):
                raise one
        return [one for one in made if isinstance(one, Path)]

    def mixed_file(self, network: Network, flags: Flags) -> Path:
        """The file of an assignment; it is used again."""
        code = "".join("fi"[flag] for flag in flags)
        name = f"{abs(hash_of(network)):016x}-{code}{format_of(self.name).suffix}"
        if not (path := self.folder / "files" / name).is_file():
            int8 = tuple(slot for slot, flag in zip(network.slots, flags, strict=True) if flag)
            mixed = Mixed(network.slots, int8)
            if self.name == "onnxruntime":
                export_mixed_onnx(self._module(network), network.input_shape, path, mixed=mixed)
            else:
                self._quantized(network, mixed, path)
        return path

    def _module(self, network: Network) -> torch.nn.Module:
        torch.manual_seed(0)
        return repeat_weights(build(network).eval())

    def _quantized(self, network: Network, mixed: Mixed, path: Path) -> None:
        """Write a TFLite file as `export_mixed_tflite` does; networks without hard swish share the float file."""
        float_file = path.with_name(f"{abs(hash_of(network)):016x}-float.tflite")
        module, batches = prepared(self._module(network), None, network.input_shape, 1)
        if not float_file.is_file():
            export_tflite(module, network.input_shape, float_file)
        draft = path.with_suffix(".part")
        draft.write_bytes(float_file.read_bytes())
        if mixed.int8:
            quantize_tflite(draft, batches, whole=True, floats=fp32_scopes(draft, mixed))
        check_kernels(tflite_kernels(draft, mixed.operators), mixed.int8, path=path, title="TFLite")
        draft.rename(path)

    def model(self) -> MixedLatency:
        """The latency model, from both tables."""
        known = known_operators(self.space)
        parts = [LatencyModel.of(read_table(self.table(one)), operators=known) for one in PRECISIONS]
        return mixed_latency(*parts)


def hash_of(network: Network) -> int:
    """A number of a network's operators that is the same in every process."""
    import zlib

    return zlib.crc32(repr(network.operators).encode())


def random_flags(rng: random.Random, count: int) -> Flags:
    """A random assignment of both precisions."""
    while True:
        flags = [rng.random() < 0.5]
        while len(flags) < count:
            flags.append(flags[-1] != (rng.random() < SWITCH))
        if any(flags) and not all(flags):
            return tuple(flags)


def shown(done: int, planned: int, what: str) -> None:
    """Print how far it is."""
    print(f"  {done}/{planned} {what[:100]}", flush=True)


def write_files(job: Job) -> None:
    """Write all files but those of the programme."""
    for precision in PRECISIONS:
        job.files(precision, job.checks, job.links(precision))
    uniform = [(network, (flag,) * len(network.operators)) for network in job.seven for flag in (False, True)]
    for network, flags in [*zip(job.unseen, job.unseen_flags, strict=True), *uniform]:
        print(f"  {job.mixed_file(network, flags)}", flush=True)


def time_rows(job: Job) -> None:
    """Make both tables from one sitting: rows of two precisions are added up, so they need one state of the machine."""
    files, lines = list[Path](), list[tuple[str, Any]]()
    beside: Path | None = None
    for precision in PRECISIONS:
        made = job.files(precision, job.checks, job.links(precision))
        beside = beside or made[0]
        files += made[1:]
        lines += [(precision, one.line) for one in job.jobs(precision, job.checks, job.links(precision))]
        job.table(precision).unlink(missing_ok=True)
    tables = {one: open_table(job.table(one), job.runtime(one).setup, origin_here()) for one in PRECISIONS}
    sitting = time_files(files, job.runtime("fp32"), ROWS, reference=beside, progress=shown)
    for index, (precision, line) in enumerate(lines):
        tables[precision].append(line, sitting.measured[index], files[index].stat().st_size)


def solved(job: Job) -> list[Flags]:
    """The fastest assignments by prediction of the networks with 7x7 kernels."""
    model = job.model()
    return [
        tuple(bool(one) for one in pareto_assignments(model.chain(n, [0.0] * len(n.operators)))[0].precisions)
        for n in job.seven
    ]


def time_networks(job: Job) -> None:
    """Time all mixed networks, and those of one precision, in one sitting."""
    named: dict[str, Path] = {}
    for number, (network, flags) in enumerate(zip(job.unseen, job.unseen_flags, strict=True)):
        named[f"unseen {number}"] = job.mixed_file(network, flags)
    beside = job.files("fp32", [])[0]
    for number, (network, flags) in enumerate(zip(job.seven, solved(job), strict=True)):
        for precision in PRECISIONS:
            named[f"seven {number} {precision}"] = job.mixed_file(network, (precision == "int8",) * len(flags))
        if len(set(flags)) > 1:  # else it is one of the two
            named[f"seven {number} mixed"] = job.mixed_file(network, flags)
    result = time_files(list(named.values()), job.runtime("fp32"), NETWORKS, reference=beside, progress=shown)
    names = list(named)
    lines = {names[index]: [list(one.rounds_ns), dict(one.conditions)] for index, one in result.measured.items()}
    (job.folder / "networks.json").write_text(json.dumps(lines))
    print("failed:", {names[index]: why for index, why in result.failed.items()})


def reported(job: Job) -> dict[str, Any]:
    """Errors of predictions, and ratios to the better file of one precision."""
    raw = json.loads((job.folder / "networks.json").read_text())
    timed = {name: Measurement(tuple(rounds), conditions) for name, (rounds, conditions) in raw.items()}
    usual = reference_ns(read_table(job.table("fp32")).rows.values())
    ms = dict(zip(timed, drift_corrected_ms(list(timed.values()), usual), strict=True))
    model = job.model()
    bare = replace(model, boundaries=model.boundaries.scaled(0.0), _boundaries_ms={})
    unseen = list(zip(job.unseen, job.unseen_flags, range(len(job.unseen)), strict=True))
    measured = np.array([ms[f"unseen {k}"] for *_, k in unseen])
    without = np.array([bare.predict_ms(n, f) for n, f, _ in unseen])
    between = np.array([model.predict_ms(n, f) for n, f, _ in unseen]) - without
    products, squares = (measured - without) * between, between**2
    factors = np.maximum((products.sum() - products) / (squares.sum() - squares), 0.0)
    predicted = {
        "rows": without + between,
        "no_boundaries": without,
        "with_mixed_checks": without + factors * between,
    }
    errors = {name: list(values / measured - 1) for name, values in predicted.items()}
    uniform = [
        part.predict_ms(network) / ms[f"seven {number} {precision}"] - 1
        for precision, part in zip(PRECISIONS, (model.fp32, model.int8), strict=True)
        for number, network in enumerate(job.seven)
    ]
    return {
        "space": job.space.name,
        "setup": job.runtime("int8").setup.as_dict(),
        "boundaries": {
            "rows": len(model.boundaries.timed_ms),
            "factors_by_mixed_checks": [round(float(one), 3) for one in (factors.min(), factors.max())],
            "share_of_latency": round(float(np.mean(between / measured)), 4),
        },
        "unseen": {
            "networks": [
                {
                    "precisions": "".join("fi"[one] for one in f),
                    "changes": sum(a != b for a, b in zip((False, *f), (*f, False), strict=True)),
                    "measured_ms": round(ms[f"unseen {k}"], 4),
                    "predicted_ms": round(float(without[k] + between[k]), 4),
                }
                for n, f, k in unseen
            ],
            "mean_error": {name: round(float(np.mean(np.abs(one))), 4) for name, one in errors.items()},
            "largest_error": {name: round(float(np.max(np.abs(one))), 4) for name, one in errors.items()},
            "bias": {name: round(float(np.mean(one)), 4) for name, one in errors.items()},
        },
        "uniform_mean_error": round(float(np.mean(np.abs(uniform))), 4),
        "seven": [compared(job, model, timed, ms, number, flags) for number, flags in enumerate(solved(job))],
    }


def compared(
    job: Job, model: MixedLatency, timed: dict[str, Measurement], ms: dict[str, float], number: int, flags: Flags
) -> dict[str, Any]:
    """One network with 7x7 kernels, mixed beside the better file of one precision."""
    network = job.seven[number]
    better = min(PRECISIONS, key=lambda one: timed[f"seven {number} {one}"].median_ms)
    mixed = f"seven {number} mixed"
    row = {
        "operators": len(flags), "int8": sum(flags), "precisions": "".join("fi"[one] for one in flags),
        **{f"{one}_ms": round(ms[f"seven {number} {one}"], 4) for one in PRECISIONS},
        "better": better,
    }  # fmt: skip
    if mixed not in timed:
        return {**row, "mixed": "all of one precision", "ratio": 1.0, "low": 1.0, "high": 1.0}
    ratio = ratio_of(timed[mixed], timed[f"seven {number} {better}"], NETWORKS.processes)
    return {
        **row, "mixed_ms": round(ms[mixed], 4), "predicted_ms": round(model.predict_ms(network, flags), 4),
        **{name: round(value, 4) for name, value in ratio.as_dict().items()},
    }  # fmt: skip


def main() -> None:
    """Run some or all stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="files, tables and samples, which later stages use")
    stages = {"files": write_files, "rows": time_rows, "solve": write_solved, "networks": time_networks}
    parser.add_argument("--stage", choices=[*stages, "report"])
    parser.add_argument("--runtime", choices=RUNTIMES, action="append")
    parser.add_argument("--unseen", type=int, default=UNSEEN)
    parser.add_argument("--seven", type=int, default=SEVEN)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    make = partial(Job, folder=args.folder, unseen=args.unseen, seven=args.seven)
    jobs = [make(one) for one in args.runtime or RUNTIMES]
    for name, stage in stages.items():
        if args.stage in (None, name):
            for job in jobs:
                print(f"{name}: {job.name}", flush=True)
                stage(job)
    if args.stage in (None, "report"):
        publish(stamped({"by_runtime": {job.name: reported(job) for job in jobs}}), args.output)


def write_solved(job: Job) -> None:
    """Write the programme's networks."""
    for network, flags in zip(job.seven, solved(job), strict=True):
        if len(set(flags)) > 1:
            print(f"  {job.mixed_file(network, flags)}", flush=True)


if __name__ == "__main__":
    main()
