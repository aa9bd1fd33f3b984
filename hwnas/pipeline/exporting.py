"""Turning the picks of a run's fronts into files that run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.config import SetupConfig
from hwnas.latency.measure import measure
from hwnas.network import costs
from hwnas.pipeline.narrate import Narrator, Silent
from hwnas.pipeline.timing import exporter_of, protocol, runtime_of
from hwnas.pipeline.workspace import Run, open_run
from hwnas.search.fronts import FrontPoint, read_front, write_whole

if TYPE_CHECKING:
    from hwnas.export.bundle import FileRecord
    from hwnas.pipeline.training import Trained
    from hwnas.runtimes import Runtime

RUNTIME_OF = {"onnx": "onnxruntime", "tflite": "tflite"}
PACKAGES = (
    "torch",
    "numpy",
    "optuna",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "litert-torch",
    "moocore",
    "scikit-learn",
)


def export(reference: str | Path, *, runs: Path = Path("runs"), narrator: Narrator | None = None) -> list[Path]:
    """Export the picks of every tier of a searched run; the manifests that were written."""
    from hwnas.pipeline.training import load_run

    run = open_run(reference, runs=runs)
    with run.opened():
        return export_run(run, load_run(run), narrator or Silent())


def export_run(run: Run, trained: Trained, narrator: Narrator) -> list[Path]:
    """Write, run, compare and time the files of every tier's picks."""
    with run.timed("export"):
        return [_export_tier(run, name, trained, narrator) for name in run.experiment.tiers]


def _export_tier(run: Run, name: str, trained: Trained, narrator: Narrator) -> Path:
    wanted = run.experiment.export.picks
    points = [(point, tuple(p for p in wanted if p in point.picks)) for point in read_front(run.front_path(name))]
    chosen = [(point, names) for point, names in points if names]
    folder = run.folder / "bundle" / name
    models = []
    with narrator.bar(f"exporting {name}") as bar:
        for number, (point, names) in enumerate(chosen):
            bar.update(number, len(chosen), ", ".join(names))
            models.append(_export_point(run, name, point, names, trained, folder))
        bar.update(len(chosen), len(chosen), "done")
    manifest = {
        "hwnas": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tier": name,
        "setup": runtime_of(_setup(run, name)).setup.as_dict(),
        "machine": machine(),
        "versions": versions(),
        "limits": list(map(str, run.tier(name).limits)),
        "supernet": {"weights": trained.weights, "epochs": len(trained.history)},
        "models": models,
        "experiment": run.experiment.model_dump(mode="json"),
    }
    path = folder / "manifest.json"
    write_whole(path, json.dumps(manifest, indent=1, allow_nan=False) + "\n")
    return path


def _export_point(
    run: Run, tier: str, point: FrontPoint, names: tuple[str, ...], trained: Trained, folder: Path
) -> dict[str, Any]:
    from hwnas.export.bundle import logits_of
    from hwnas.supernet import calibration_images, settled
    from hwnas.supernet.weights import resized

    config, network = run.experiment.accuracy, run.network(point.architecture)
    calibration = calibration_images(
        run.dataset, count=config.calibration_batches, batch_size=config.batch_size, seed=run.experiment.seed
    )
    module = settled(trained.supernet, network, calibration)
    test = run.dataset.test
    images = resized(test.every(), network).numpy()
    expected = logits_of(module, images)
    files = [
        _export_file(
            run, tier, names[0], format_, module, network.input_shape, images, test.labels.numpy(), expected, folder
        )
        for format_ in run.experiment.export.formats
    ]
    total = costs(network)
    return {
        "picks": list(names),
        "key": point.architecture.key,
        "architecture": point.architecture.as_dict(),
        "input_shape": list(network.input_shape),
        "preprocessing": run.dataset.preprocessing,
        "classes": list(run.dataset.class_names),
        "scores": {
            metric: {"value": value, "origin": point.origin.get(metric, "")} for metric, value in point.scores.items()
        },
        "measured": {metric: {"value": value, "origin": "measured"} for metric, value in point.measured.items()},
        "test_top1": {
            "value": float((expected.argmax(1) == test.labels.numpy()).mean()),
            "origin": "measured",
            "in": "PyTorch",
        },
        "params": total.params,
        "macs": total.macs,
        "files": [asdict(record) for record in files],
    }


def _export_file(  # type: ignore[no-untyped-def]
    run: Run, tier: str, pick: str, format_: str, module, shape: tuple[int, ...], images, labels, expected, folder: Path
) -> FileRecord:
    from hwnas.export.bundle import FileRecord, compare, sha256, write_model

    runtime = _runtime_for(run, tier, format_)
    path = write_model(module, shape, folder / f"{pick}.{format_}", exporter_of(runtime))
    loaded = runtime.load(path)
    parity = compare(expected, loaded, images, labels, path=path, tolerance=run.experiment.export.tolerance)
    timed = measure({path.name: loaded.invoke}, protocol(run.experiment.timing, run.experiment.seed))[path.name]
    return FileRecord(
        path.name,
        format_,
        f"{runtime.setup.runtime} {runtime.setup.runtime_version}, {runtime.setup.threads} threads",
        path.stat().st_size,
        sha256(path),
        runtime.setup.batch,
        parity.max_difference,
        parity.top1_agreement,
        parity.top1,
        timed.low_ms,
        timed.median_ms,
    )


def _setup(run: Run, tier: str) -> SetupConfig:
    return run.experiment.setups[run.experiment.tiers[tier].setup]


def _runtime_for(run: Run, tier: str, format_: str) -> Runtime:
    """The tier's own set-up for its format; the same threads and batch for the other one."""
    return runtime_of(_setup(run, tier).model_copy(update={"runtime": RUNTIME_OF[format_]}))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"hwnas": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> Mapping[str, str]:
    """What this machine is."""
    from hwnas.runtimes.setup import cpu_name

    return {
        "processor": cpu_name(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
