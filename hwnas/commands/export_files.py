"""The model files of one network: written, run on the test samples, compared with PyTorch and timed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.commands.export_card import recall_entry
from hwnas.commands.export_companions import adapting_entries, features_layer, module_entry
from hwnas.commands.export_manifest import task_entry
from hwnas.commands.export_raw import divided_preprocessing, takes_raw, with_raw_input
from hwnas.commands.export_setups import file_exporter, setup_for, tier_setup
from hwnas.commands.settled import Settled
from hwnas.config import SetupConfig
from hwnas.export import format_named
from hwnas.io.checksum import sha256_of
from hwnas.measure.device_lock import LockWait, exclusive_device
from hwnas.measure.table_lines import input_form
from hwnas.measure.timing import measure
from hwnas.network import costs
from hwnas.space import Architecture
from hwnas.words import counted
from hwnas.workspace.measuring.setups import measurement_protocol, runtime_of
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.data import Dataset
    from hwnas.export.bundle import Criterion, FileRecord
    from hwnas.export.companions.selftest import SelfTest
    from hwnas.runtimes import Runtime


DYNAMIC_FORMAT = "onnx"
"""Format whose files may take any batch."""


@dataclass(frozen=True)
class ExportTools:
    """Parts that all files of a bundle share."""

    queue: LockWait
    data: Dataset
    """Data as the files take it, before the steps in them."""
    selftest: SelfTest | None
    """None if no samples are to be in the bundle."""


def network_entries(
    run: Workspace, tier: str, architecture: Architecture, settled: Settled, stem: Path, tools: ExportTools
) -> dict[str, Any]:
    """Write the files of a network and what goes with them; return the manifest's entries on it."""
    from hwnas.export.bundle import metrics_of

    about = {
        "key": architecture.key,
        "preprocessing": divided_preprocessing(run, tools.data, settled.network.input_shape),
        **({"classes": list(classes)} if (classes := run.dataset.class_names) else {}),
    }
    facts = _file_facts(about, task_entry(run.space.task))
    layer = features_layer(run, settled.module, settled.input_shape)
    adapting = adapting_entries(settled, layer, run.dataset, stem)
    if takes_raw(run):
        settled = with_raw_input(run, settled, tools.data)
        layer = features_layer(run, settled.module, settled.input_shape)
    settled = replace(settled, layer=layer)
    files = [
        _export_file(run, settled, tier, (stem, file_format), facts, tools)
        for file_format in run.experiment.export.formats
    ]
    total, task = costs(settled.network), settled.task
    tested = metrics_of(task, settled.outputs, settled.test)
    return {
        "input_shape": input_form(settled.input_shape),
        **{name: value for name, value in about.items() if name != "key"},
        **adapting,
        "weights": settled.weights,
        f"test_{task.quality.name}": {"value": tested[task.quality.name].value, "origin": "measured", "in": "PyTorch"},
        "test_metrics": {
            metric.name: {"value": tested[metric.name].value, "error": tested[metric.name].error, "unit": metric.unit}
            for metric in task.metrics
            if metric.name in tested
        },
        **recall_entry(run, settled),
        **({"targets": targets} if (targets := dict(task.target_facts)) else {}),
        **({"fine_tuned": settled.tuned} if settled.tuned else {}),
        **({"quantization_aware": settled.quantized} if settled.quantized else {}),
        "params": total.params,
        "macs": total.macs,
        **({"selftest": tools.selftest.entry} if tools.selftest is not None else {}),
        "module": module_entry(stem.parent, stem.name, architecture, settled),
        "files": [record.as_dict(task.quality.name) for record in files],
    }


def _file_facts(model: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, str]:
    """Return what a model file says of itself: texts by name, those that are no plain texts as JSON.

    Args:
        model: the entry of the network in the manifest.
        task: the entry of the task.
    """
    preprocessing = model["preprocessing"]
    facts = {
        "class_names": model.get("classes", []),
        "mean": preprocessing.get("mean", []),
        "std": preprocessing.get("std", []),
        "preprocessing": preprocessing,
        "task": task,
    }
    known = {name: json.dumps(value, separators=(",", ":")) for name, value in facts.items() if value}
    return {"hwnas_version": __version__, "model_id": model["key"], **known}


def _export_file(
    run: Workspace,
    settled: Settled,
    tier: str,
    target: tuple[Path, str],
    facts: Mapping[str, str],
    tools: ExportTools,
) -> FileRecord:
    """Write one file; run it on the test samples, compare and time it, if there is a runtime for it.

    Args:
        run: the workspace.
        settled: the network.
        tier: name of its tier.
        target: path without a suffix, and the format.
        facts: what the file says of itself.
        tools: what all files share.
    """
    from hwnas.export.bundle import FileRecord, write_model
    from hwnas.export.ends.metadata import write_metadata
    from hwnas.export.tensors import ends_of

    stem, format_name = target
    file_format, setup = format_named(format_name), setup_for(run, tier, format_name)
    path = stem.with_name(stem.name + file_format.suffix)
    dynamic = run.experiment.export.dynamic_batch and format_name == DYNAMIC_FORMAT
    runtime = runtime_of(setup) if setup.runtime else None
    write_model(
        settled.exported,
        settled.input_shape,
        path,
        file_exporter(setup, format_name, settled.calibration, dynamic=dynamic, mixed=settled.mixed),
    )
    write_metadata(path, format_name, facts)
    seen = {} if runtime is None else _run_file(run, tier, settled, path, runtime, tools)
    if dynamic and runtime is not None:
        _check_other_batch(run, settled, path, setup)
    ends = ends_of(path, file_format, setup.batch, settled.input_shape)
    return FileRecord(
        name=path.name,
        format=format_name,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        batch=setup.batch,
        dynamic_batch=dynamic,
        precision="mixed" if settled.mixed is not None and setup.precision == "int8" else setup.precision,
        inputs=ends.inputs,
        outputs=ends.outputs,
        **seen,
    )


def _run_file(
    run: Workspace, tier: str, settled: Settled, path: Path, runtime: Runtime, tools: ExportTools
) -> dict[str, Any]:
    """Return the fields of a file's record that are seen by running it."""
    from torch.utils._pytree import tree_map

    from hwnas.export.bundle import compare

    setup, loaded = runtime.setup, runtime.load(path)
    parity = compare(
        settled.outputs,
        settled.answering(loaded),
        settled.test,
        fed=settled.fed,
        path=path,
        task=settled.task,
        criterion=_criterion(run, setup.precision),
    )
    if (selftest := tools.selftest) is not None:
        some = tree_map(lambda array: array[: selftest.samples], settled.fed)
        selftest.add(path.name, loaded.run(some), setup.precision)
    with exclusive_device(tools.queue):
        timed = measure({path.name: loaded.invoke}, measurement_protocol(run.experiment.timing, run.experiment.seed))[
            path.name
        ]
    desk = ", at the desk and not on the board" if tier_setup(run, tier).host else ""
    return {
        "runtime": f"{setup.runtime} {setup.runtime_version}, {counted(setup.threads, 'thread')}{desk}",
        "max_difference": parity.max_difference,
        "agreement": parity.agreement,
        "test_quality": parity.quality,
        "latency_ms": timed.low_ms,
        "latency_median_ms": timed.median_ms,
    }


def _criterion(run: Workspace, precision: str) -> Criterion:
    from hwnas.export.bundle import Criterion

    config = run.experiment.export
    return Criterion(config.tolerance) if precision == "fp32" else Criterion(agreement=config.agreement)


def _check_other_batch(run: Workspace, settled: Settled, path: Path, setup: SetupConfig) -> None:
    """Refuse a file that gives other outputs at another batch than that which it was written with.

    Raises:
        ExportError: it does, or does not run.
    """
    from torch.utils._pytree import tree_map

    from hwnas.export.bundle import compare

    batch = setup.batch + 1
    some = tree_map(lambda array: array[: 2 * batch], (settled.outputs, settled.test, settled.fed))
    loaded = runtime_of(setup.model_copy(update={"batch": batch})).load(path)
    criterion = _criterion(run, setup.precision)
    compare(some[0], settled.answering(loaded), some[1], path=path, criterion=criterion, task=settled.task, fed=some[2])
