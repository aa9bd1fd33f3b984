"""The stages of a run that `kills.py` kills, and what each must have kept."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import _fuzz_base

Argv = tuple[str, ...]
Compare = Callable[[Path, Path], Iterator[str]]
"""From the folder that was not disturbed and the one that was: what is wrong."""
TRIALS = 40
SCORE = """\
import time


def score(architecture, network):
    time.sleep(SECONDS)
    return sum(map(ord, architecture.key)) % 997 / 997
"""


@dataclass(frozen=True)
class Stage:
    """A stage: the command that is killed, what is there before it, and what it must give."""

    name: str
    commands: tuple[Argv, ...]
    """Those that run at the same time."""
    compare: Compare
    before: str
    """The folder of `prepare` that it begins with."""
    run: str | None = "runs/mini"
    """The run's folder, for `hwnas doctor`."""
    kind: str | None = None
    """A pattern of the title of the process that is killed; None for the command with its process group."""


def mini(folder: Path) -> None:
    """An experiment with as many trials and epochs as there is something to kill."""
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(_fuzz_base.SPACE)
    content = {**_fuzz_base.MINI, "train": {"epochs": 8, "batch_size": 32, "learning_rate": 0.1, "checkpoint_every": 3}}
    content["search"] = {**content["search"], "trials": TRIALS}
    content["export"] = {"formats": ["onnx"]}
    (folder / "mini.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def scored(folder: Path, seconds: float, search: Mapping[str, Any], train: Mapping[str, Any] | None = None) -> None:
    """An experiment on published latencies, with a score that sleeps."""
    _fuzz_base.make_published(folder)
    shutil.rmtree(folder / "runs")
    (folder / "score.py").write_text(SCORE.replace("SECONDS", str(seconds)))
    content = {**_fuzz_base.PUBLISHED, "name": "scored", "accuracy": {"source": "score.py:score"}}
    content["search"] = {"trials": TRIALS, "sampler": "random", **search}
    (folder / "scored.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def prepare(top: Path) -> None:
    """What each stage begins with, one folder each."""
    mini(top / "new")
    for before, after, *words in (
        ("new", "timed", "bench", "mini.yaml"),
        ("timed", "trained", "train", "mini.yaml"),
        ("trained", "searched", "search", "mini.yaml"),
        ("searched", "exported", "export", "mini.yaml"),
    ):
        shutil.copytree(top / before, top / after)
        _fuzz_base.command(top / after, *words)
    shutil.copytree(top / "searched", top / "untimed")
    shutil.rmtree(top / "untimed/runs/mini/fronts")
    for path in (top / "untimed/runs/mini/latency").glob("*-front.jsonl"):
        path.unlink()
    shutil.copytree(top / "new", top / "team")
    content = yaml.safe_load((top / "team/mini.yaml").read_text())
    content["train"] |= {"processes": 2, "epochs": 3}
    (top / "team/mini.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    scored(top / "shared", 0.02, {"shared": True})
    scored(top / "ray", 0.05, {"runner": "ray", "ray": {"workers": 2, "cpus": 0.5}})
    _fuzz_base.make_kit(top / "kit")


def same_weights(whole: Path, killed: Path) -> Iterator[str]:
    """Bit for bit, after training."""
    import torch

    def last(folder: Path) -> Any:
        path = max((folder / "runs/mini/train").glob("checkpoint-*.pt"))
        return torch.load(path, weights_only=True)

    one, two = last(whole), last(killed)
    if one["epoch"] != two["epoch"]:
        yield f"it ends with epoch {two['epoch']} of {one['epoch']}"
    elif one["weights"].keys() != two["weights"].keys():
        yield "the weights are others"
    elif unlike := [name for name, value in one["weights"].items() if not torch.equal(value, two["weights"][name])]:
        yield f"{len(unlike)} weights differ, the first is {unlike[0]}"


def subjects(table: Path) -> Counter[str]:
    """How often a table tells of each operator and network; the lines of sittings and set-ups left out."""
    told: Counter[str] = Counter()
    for line in table.read_text().splitlines():
        raw = json.loads(line)
        for kind in ("op", "network", "architecture", "check", "overhead", "operators"):
            if kind in raw and "rounds_ns" in raw:
                about = {name: value for name, value in raw.items() if name not in ("rounds_ns", "conditions", "crc32")}
                told[json.dumps(about, sort_keys=True)] += 1
                break
    return told


def same_rows(name: str) -> Compare:
    """Everything is timed, and nothing twice."""

    def compare(whole: Path, killed: Path) -> Iterator[str]:
        one, two = subjects(whole / name), subjects(killed / name)
        if one.keys() != two.keys():
            yield f"{len(one.keys() - two.keys())} rows are missing, {len(two.keys() - one.keys())} are others"
        if twice := [key for key, count in two.items() if count > 1]:
            yield f"{len(twice)} rows stand there twice"

    return compare


def trials_of(log: Path) -> list[tuple[str, tuple[float, ...]]]:
    """Key and values of the trials that a journal tells, in order."""
    from hwnas.search.storage.backends import open_storage

    backend, _ = open_storage(log)
    trials = [t for study in backend.get_all_studies() for t in backend.get_all_trials(study._study_id, deepcopy=False)]
    return [(t.user_attrs["key"], tuple(t.values or ())) for t in trials if "scores" in t.user_attrs]


def front_of(path: Path) -> dict[str, Any]:
    """The networks of a front with what is known of each without timing it."""
    return {raw["key"]: raw["scores"] for raw in json.loads(path.read_text())}


def told_of(log: Path) -> Iterator[str]:
    """What of a study must not be, whoever searched it."""
    keys = Counter(key for key, _ in trials_of(log))
    if keys.total() != TRIALS:
        yield f"{keys.total()} trials are told, {TRIALS} were wanted"
    if twice := [key for key, count in keys.items() if count > 1]:
        yield f"{len(twice)} architectures are told twice"


def stored(path: Path) -> Counter[tuple[Any, ...]]:
    """How often each score stands in a store."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return Counter((raw["key"], raw["metric"], raw["producer"], raw.get("value"), raw.get("failed")) for raw in lines)


def same_search(whole: Path, killed: Path) -> Iterator[str]:
    """The same trials in the same order, the same scores, the same front."""
    one, two = whole / "runs/mini", killed / "runs/mini"
    yield from told_of(two / "study-cloud.log")
    if trials_of(one / "study-cloud.log") != trials_of(two / "study-cloud.log"):
        yield "the trials are not those of a search that was not disturbed"
    yield from same_store(one / "scores.jsonl", two / "scores.jsonl")
    yield from same_front(whole, killed)


def same_store(one: Path, two: Path) -> Iterator[str]:
    """The same scores, each once."""
    if stored(one).keys() != stored(two).keys():
        yield "the scores are others"
    if max(stored(two).values()) > 1:
        yield "a score stands in the store twice"


def same_front(whole: Path, killed: Path) -> Iterator[str]:
    """The same networks with the same scores, each of them timed."""
    one, two = (folder / "runs/mini/fronts/cloud.json" for folder in (whole, killed))
    if front_of(one) != front_of(two):
        yield "the front is another one"
    if not all(raw["measured"] for raw in json.loads(two.read_text())):
        yield "a network of the front is not timed"


def whole_study(whole: Path, killed: Path) -> Iterator[str]:
    """Every trial is told once with its score, and none failed, whatever was killed."""
    folder = killed / "runs/scored"
    yield from told_of(folder / "study-edge.log")
    failed = [key for key, _, _, value, _ in stored(folder / "scores.jsonl") if value is None]
    if failed:
        yield f"{len(failed)} networks are told as failed"
    for key, metric, _, value, _ in stored(folder / "scores.jsonl"):
        if metric.startswith("score@") and value is not None and value != sum(map(ord, key)) % 997 / 997:
            yield f"the score of {key} is another one"
    if not front_of(folder / "fronts/edge.json"):
        yield "the front is empty"


def same_halving(whole: Path, killed: Path) -> Iterator[str]:
    """The same rungs, the same front, the same trained weights."""
    one, two = (json.loads((folder / "runs/mini/ladder/cloud.json").read_text()) for folder in (whole, killed))
    for number, (first, second) in enumerate(zip(one["rungs"], two["rungs"], strict=True), 1):
        if [(e["key"], e["scores"]) for e in first["evaluations"]] != [
            (e["key"], e["scores"]) for e in second["evaluations"]
        ]:
            yield f"rung {number} is another one"
    kept = [
        {path.name: path.read_bytes() for path in (folder / "runs/mini/training").rglob("*.safetensors")}
        for folder in (whole, killed)
    ]
    if kept[0] != kept[1]:
        yield "the trained weights are others"
    if front_of(whole / "runs/mini/ladder/cloud-front.json") != front_of(killed / "runs/mini/ladder/cloud-front.json"):
        yield "the front of successive halving is another one"


def same_bundle(whole: Path, killed: Path) -> Iterator[str]:
    """The same networks in the same files, which are as the manifest says."""
    one, two = (folder / "runs/mini/bundle/cloud" for folder in (whole, killed))
    files = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in f.iterdir() if p.suffix != ".json"}
        for f in (one, two)
    ]
    if files[0] != files[1]:
        unlike = sorted({name for name, _ in files[0].items() ^ files[1].items()})
        yield f"the files differ: {', '.join(unlike)}"
    models = [
        [(m["key"], m["picks"]) for m in json.loads((f / "manifest.json").read_text())["models"]] for f in (one, two)
    ]
    if models[0] != models[1]:
        yield "the manifest names other networks"


def whole_report(whole: Path, killed: Path) -> Iterator[str]:
    """A page that ends."""
    if not (killed / "runs/mini/report.html").read_text(encoding="utf-8").rstrip().endswith("</html>"):
        yield "the report is cut short"


def same_scores(whole: Path, killed: Path) -> Iterator[str]:
    """The same rows, but for the seconds that they took."""
    rows = []
    for folder in (whole, killed):
        with (folder / "scores.csv").open(newline="") as file:
            rows.append(
                [
                    {k: v for k, v in row.items() if "ms" not in k and "_s" not in k and k != "at"}
                    for row in csv.DictReader(file)
                ]
            )
    if rows[0] != rows[1]:
        yield "the scores are others"


def same_fidelity(whole: Path, killed: Path) -> Iterator[str]:
    """The same correlations."""
    one, two = (json.loads((folder / "runs/mini/fidelity.json").read_text()) for folder in (whole, killed))
    if {k: v for k, v in one.items() if "kendall" in k or "spearman" in k or k == "networks"} != {
        k: v for k, v in two.items() if "kendall" in k or "spearman" in k or k == "networks"
    }:
        yield "the correlations are others"
    yield from same_store(whole / "runs/mini/scores.jsonl", killed / "runs/mini/scores.jsonl")


SEARCH = ("search", "scored.yaml")
SCORED = ("score", "mini.yaml", "--sample", "6", "--proxies", "synflow", "--csv", "scores.csv")
STAGES = (
    Stage("timing", (("bench", "mini.yaml"),), same_rows("runs/mini/latency/cpu.jsonl"), "new"),
    Stage("training", (("train", "mini.yaml"),), same_weights, "timed"),
    Stage("training by two processes", (("train", "mini.yaml"),), same_weights, "team"),
    Stage("search", (("search", "mini.yaml"),), same_search, "trained"),
    Stage("search shared by two", (SEARCH, SEARCH), whole_study, "shared", "runs/scored"),
    Stage("re-timing of fronts", (("search", "mini.yaml"),), same_front, "untimed"),
    Stage("halving", (("halving", "mini.yaml"),), same_halving, "searched"),
    Stage("fidelity", (("fidelity", "mini.yaml", "--networks", "3", "--epochs", "1"),), same_fidelity, "trained"),
    Stage("export", (("export", "mini.yaml"),), same_bundle, "searched"),
    Stage("export again", (("export", "mini.yaml"),), same_bundle, "exported"),
    Stage("report", (("report", "mini.yaml"),), whole_report, "searched"),
    Stage("score", (SCORED,), same_scores, "new", None),
    Stage("kit", (("kit.pyz",),), same_rows("kit.jsonl"), "kit", None),
    Stage("search on Ray: the driver", (SEARCH,), whole_study, "ray", "runs/scored"),
    Stage("search on Ray: an actor", (SEARCH,), whole_study, "ray", "runs/scored", "ray::(Actor|ResourceTrainable)"),
    Stage("search on Ray: the desk", (SEARCH,), whole_study, "ray", "runs/scored", "ray::Desk"),
    Stage("search on Ray: the node", (SEARCH,), whole_study, "ray", "runs/scored", "raylet/raylet "),
    Stage("search on Ray: the cluster", (SEARCH,), whole_study, "ray", "runs/scored", "/gcs_server "),
)  # fmt: skip
