"""A run's result in one small JSON: fronts, test metrics of the exported files, how they agree, seconds of each stage.

    python benchmarks/experiment_summary.py runs/imu --command "hwnas run imu" --load "load average 12 to 20" \\
        --output docs/results/task_imu.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _results import publish

from hwnas.workspace.workspace import open_run


def point(row: Mapping[str, Any]) -> dict[str, Any]:
    """A network of a front: its key, picks, scores and measured latencies."""
    kept = {"key": row["key"], "picks": row["picks"], **row["scores"]}
    return kept | {f"measured {name}": value for name, value in row.get("measured", {}).items()}


def exported(model: Mapping[str, Any]) -> dict[str, Any]:
    """An exported network: its test metrics, and how far each file is from PyTorch."""
    files = [
        {
            key: value
            for key, value in file.items()
            if key in ("name", "bytes", "max_difference") or key.endswith("_agreement") or key.startswith("test_")
        }
        for file in model["files"]
    ]
    kept = ("picks", "key", "params", "macs")
    return {key: value for key, value in model.items() if key in kept or key.startswith("test_")} | {"files": files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", required=True, help="the command that made the run")
    parser.add_argument("--load", default="", help="what else the machine did")
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    args = parser.parse_args()
    run = open_run(args.run)
    result: dict[str, Any] = {"command": args.command, "load": args.load}
    for tier in run.experiment.tiers:
        manifest = json.loads((run.folder / "bundle" / tier / "manifest.json").read_text())
        front = json.loads((run.folder / "fronts" / f"{tier}.json").read_text())
        result |= {key: manifest[key] for key in ("machine", "versions")} | {"date": manifest["created_at"][:10]}
        models = [exported(model) for model in manifest["models"]]
        result[tier] = {
            "setup": manifest["setup"],
            "limits": manifest["limits"],
            "front": [point(row) for row in front],
            "exported": models,
        }
    result["seconds"] = json.loads((run.folder / "elapsed.json").read_text())
    publish(result, args.output)


if __name__ == "__main__":
    main()
