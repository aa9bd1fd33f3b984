"""Does `predict.py` give the manifest's test accuracy where there is nothing but numpy and one runtime?

Builds an environment for each runtime in a temporary folder, checks that neither hwnas nor torch is there, and runs the
program of a bundle of digits on the raw test images as scikit-learn has them: `python benchmarks/predict_alone.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import publish, stamped

from hwnas import pipeline

ENVIRONMENTS = {  # name -> its interpreter, and what pip installs
    "onnxruntime": ("", ["numpy", "onnxruntime"]),
    "ai-edge-litert": ("", ["numpy", "ai-edge-litert"]),
    "tflite-runtime": ("", ["numpy<2", "tflite-runtime==2.14.0"]),
}
EXPERIMENT = """\
name: alone
space: digits
data: digits
threads: 1
train: {epochs: 35, batch_size: 32, learning_rate: 0.1, weight_decay: 5.0e-4, augment: shift}  # as quickstart's
setups:
  onnx: {runtime: onnxruntime}
  onnx_int8: {runtime: onnxruntime, precision: int8}
  tflite: {runtime: tflite}
  tflite_int8: {runtime: tflite, precision: int8}
tiers:
  onnx: {setup: onnx}
  onnx_int8: {setup: onnx_int8}
  tflite: {setup: tflite}
  tflite_int8: {setup: tflite_int8}
search: {trials: 12}
timing: {rounds: 3, validation_networks: 3}
export: {picks: [best, fastest], input: INPUT}
"""
THERE = "import importlib.util as u, json; print(json.dumps([n for n in ('hwnas', 'torch', 'PIL') if u.find_spec(n)]))"


def main() -> None:
    """Make the bundles, or take those of a run, and print what each environment gives."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of an exported run on `digits`; made anew if left out")
    parser.add_argument("--input", choices=("normalised", "raw"), default="normalised")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environments; 3.11 or earlier")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        run = asked.run or made(top, asked.input)
        rows = [row for name in ENVIRONMENTS for row in tried(name, top, run, asked.python)]
    equal = all(row["value"] == row["manifest"] for row in rows)
    publish(
        stamped({"benchmark": "predict_alone", "input": asked.input, "all_equal": equal, "rows": rows}), asked.output
    )


def made(folder: Path, kind: str) -> Path:
    """Return the folder of a new run with its bundles."""
    (folder / "alone.yaml").write_text(EXPERIMENT.replace("INPUT", kind))
    pipeline.run(folder / "alone.yaml", runs=folder / "runs")
    return folder / "runs" / "alone"


def tried(name: str, folder: Path, run: Path, python: str) -> list[dict[str, Any]]:
    """Return what an environment gives: a row for each model file that it can run."""
    place = folder / name
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    inside = str(place / "bin" / "python")
    subprocess.run([inside, "-I", "-m", "pip", "install", "-q", *ENVIRONMENTS[name][1]], check=True)
    others = json.loads(subprocess.run([inside, "-I", "-c", THERE], check=True, capture_output=True, text=True).stdout)
    assert not {"hwnas", "torch"} & set(others), others
    frozen = subprocess.run(
        [inside, "-I", "-m", "pip", "freeze"], check=True, capture_output=True, text=True
    ).stdout.split()
    rows = []
    for bundle in sorted(path.parent for path in run.glob("bundle/*/manifest.json")):
        begun = time.perf_counter()
        for entry in accuracies(inside, bundle, folder):
            rows.append({"environment": name, "packages": frozen, "tier": bundle.name, **entry})
        print(f"{name}, {bundle.name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return rows


def accuracies(python: str, bundle: Path, folder: Path) -> list[dict[str, Any]]:
    """Return accuracy and self-test of the files of a bundle that an interpreter can run."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    data = folder / "data.npz"
    if not data.exists():
        from sklearn.datasets import load_digits

        spans = [span.partition("-") for span in manifest["test_images"]["indices"].split(",")]
        chosen = [n for first, _, last in spans for n in range(int(first), int(last or first) + 1)]
        np.savez(data, inputs=load_digits().images[chosen][:, None], targets=load_digits().target[chosen])
    found = []
    for asked in (["--accuracy", str(data)], ["--selftest"]):
        ran = subprocess.run(
            [python, "-I", str(bundle / "predict.py"), *asked, "--json"], capture_output=True, text=True, check=False
        )
        found.append({row["file"]: row for row in map(json.loads, ran.stdout.splitlines())})
    return [
        {**row, "self_test": {key: found[1][name][key] for key in ("max_difference", "tolerance", "ok")}}
        for name, row in found[0].items()
    ]


if __name__ == "__main__":
    main()
