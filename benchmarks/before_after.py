"""Compare what the code before the redesign of November 2026 gives with what that of today gives, from one seed.

    git worktree add --detach /tmp/before 94a5ab7
    python benchmarks/before_after.py /tmp/before --published FOLDER    # writes to docs/results/

Both sides run this file in processes of their own, one at a time, in the same environment; PYTHONPATH chooses the
code. What a side gives is JSON, mostly digests; all that differs is printed and written. FOLDER holds the two files of
published numbers that `experiments/nb201.yaml` reads.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NETWORKS, SCORED, SEED = 1000, 10, 0
TRIALS = {"random": 200, "nsga2": 200, "nsga3": 200, "tpe": 200, "guided": 200, "gp": 40}
LIMIT = 192
"""Images of the trainings by other recipes than the first."""
BASE = {"epochs": 2, "batch_size": 32, "learning_rate": 0.1, "weight_decay": 5e-4, "augment": "shift"}
RECIPES: dict[str, dict[str, Any]] = {  # in the stored names
    "sandwich": {},
    "average": {"ema_decay": 0.99, "clip_norm": 1.0, "middles": 1},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.002, "schedule": "linear", "accumulate": 2},
    "once-for-all": {"kernel_transform": True, "sort_channels_at": (2,)},
    "bignas": {"regularise": "largest", "temperature": 2.0, "warm_up_epochs": 0.5},
}
WITHIN = {"sandwich": 3, "average": 3}
"""Steps between checkpoints in trainings that are interrupted within an epoch."""
EXPERIMENT = """\
name: tiny
space: digits
data: {name: digits, validation: 0.2}
train: {epochs: 1, batch_size: 64, learning_rate: 0.1, augment: shift}
setups:
  cloud: {runtime: onnxruntime, batch: 4, table: cloud.jsonl}
tiers:
  cloud: {setup: cloud, limits: {params: 30000, file_kib: 150, latency_ms: 20}}
search: {trials: 12, sampler: nsga2, population: 6}
timing: {rounds: 3, min_sample_ms: 0.1, validation_networks: 3}
export: {formats: [onnx], picks: [fastest, best]}
"""
BEFORE_TIMING = "timing: {rounds: 3, sample_ms: 0.1, checks: 3}"


def either(*references: str) -> Any:
    """The first of several `module:attribute` that there is: of today, or of before."""
    for reference in references:
        module, attribute = reference.split(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"none of {', '.join(references)}")


def is_before() -> bool:
    """Whether the code that is imported is that of before."""
    return importlib.util.find_spec("hwnas.commands") is None


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def weights_digest(state: Mapping[str, Any]) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(state.items()):
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.detach().contiguous().flatten().view(-1).numpy().tobytes())
    return whole.hexdigest()[:16]


def digits_space() -> Any:
    return either("hwnas:read_space")(ROOT / "search_spaces" / "digits.yaml")


def digits_data(limit: int | None = None) -> Any:
    options = {"name": "digits", "validation": 0.2} | ({} if limit is None else {"limit": limit})
    return either("hwnas.data:load_data")(options, seed=SEED).without_test()


# --- what a side gives ---


def networks(folder: Path) -> dict[str, Any]:
    """Digests over random networks of each shipped space."""
    read_space, lower, costs = either("hwnas:read_space"), either("hwnas:lower"), either("hwnas:costs")
    row_key = either("hwnas.measure.table:row_key", "hwnas.latency.table:row_key")
    check_key = either("hwnas.measure.table:check_key", "hwnas.latency.table:check_key")
    result = {}
    for path in sorted((ROOT / "search_spaces").glob("*.yaml")):
        space, rng = read_space(path), random.Random(SEED)
        drawn = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(NETWORKS))]
        lowered = [lower(space, architecture) for architecture in drawn]
        totals = [costs(network) for network in lowered]
        result[path.stem] = {
            "keys": digest([architecture.key for architecture in drawn]),
            "params": digest([total.params for total in totals]),
            "macs": digest([total.macs for total in totals]),
            "activations": digest([total.activation_bytes for total in totals]),
            "rows": digest([[row_key(*link) for link in network.links] for network in lowered]),
            "checks": digest([check_key(network) for network in lowered]),
            "distinct": len({architecture.key for architecture in drawn}),
        }
    return result


def samplers(folder: Path) -> dict[str, Any]:
    """The networks that each sampler proposes, on scores that their keys and costs decide."""
    from hwnas.pareto import Limit, Objective, Tier
    from hwnas.population import codebook_of

    lower, costs = either("hwnas:lower"), either("hwnas:costs")
    plan_of = either("hwnas.search.study_spec:StudySpec", "hwnas.search.plan:Plan")
    guide_of = either("hwnas.search.surrogate:Acquisition", "hwnas.search.guided:Guide")
    candidates_of = either("hwnas.search.surrogate:candidates_of", "hwnas.search.guided:candidates_of")
    open_study, evaluate = either("hwnas.search.study:open_study"), either("hwnas.search.evaluate:evaluate")
    evaluation_of = either("hwnas.search.evaluate:Evaluation")
    population_sums = either("hwnas.population:population_sums")
    space, top1, latency = digits_space(), "top1@inherited", "latency_ms@board"
    codebook = codebook_of(space)

    def quality(architecture: Any) -> float:
        size = costs(lower(space, architecture)).params
        return float(0.9 + 0.08 * (1 - 3000 / (3000 + size)) + 0.01 * int(architecture.key[:6], 16) / 16**6)

    scorers = {
        "params": lambda architecture: float(costs(lower(space, architecture)).params),
        latency: lambda architecture: costs(lower(space, architecture)).macs / 1e7,
        top1: quality,
    }
    tier = Tier("edge", (Objective(top1, "max"), Objective(latency, "min")), (Limit("params", 30000.0),))

    def score(architecture: Any) -> Any:
        given = evaluate(architecture, scorers, tier)
        return evaluation_of(given.architecture, given.scores, given.broken, 0.0, given.failed)

    def proposals(sampler: str, trials: int, storage: Path | None) -> dict[str, Any]:
        guide = None
        if sampler == "guided":
            known = [lambda codes: population_sums(codebook, codes)[:, 1] / 1e7]
            limits = [(lambda codes: population_sums(codebook, codes)[:, 0].astype(float), 30000.0)]
            guide = guide_of(candidates_of(codebook), known, limits=limits)
        first = (space.smallest(), space.largest())
        plan = plan_of(space, tier, sampler, 20, SEED, {top1: "a function"}, first=first, guide=guide)
        study = open_study(plan, storage)
        study.run(score, trials=trials)
        keys = [evaluation.architecture.key for evaluation in study.evaluations]
        scores = [sorted(evaluation.scores.items()) for evaluation in study.evaluations]
        front = [evaluation.architecture.key for evaluation in study.front]
        study.close()
        return {
            "study": plan.digest, "trials": len(keys), "proposals": digest(keys), "scores": digest(scores),
            "front": digest(front), "first": keys[:4], "last": keys[-2:],
        }  # fmt: skip

    result: dict[str, Any] = {name: proposals(name, trials, None) for name, trials in TRIALS.items()}
    journal = folder / "nsga2.log"
    proposals("nsga2", 60, journal)
    result["nsga2, continued after 60"] = proposals("nsga2", 200, journal)
    return result


class Interrupted(Exception):
    """The end of a training before its time."""


def interrupt(*_: object) -> None:
    raise Interrupted


def recipe_of(name: str, **more: object) -> Any:
    values = {**BASE, **RECIPES[name], **more}
    if not is_before():
        values = importlib.import_module("hwnas.stored_names").current({"train": values})["train"]
    return either("hwnas.supernet:Recipe")(**values)


def trained(name: str, folder: Path, end: str = "", **more: object) -> dict[str, Any] | None:
    """What a training leaves; None of one that is interrupted, after its first epoch or within its second."""
    from hwnas.supernet import Supernet

    space, train = digits_space(), either("hwnas.supernet:train")
    recipe = recipe_of(name, **more)

    def on_step(step: Any) -> None:
        if end == "within" and step.epoch == 2 and step.step >= 5:
            raise Interrupted

    supernet = Supernet(space, seed=SEED, kernel_transform=recipe.kernel_transform)
    try:
        history = train(
            supernet, space, digits_data(None if name == "sandwich" else LIMIT), recipe, folder, seed=SEED,
            on_epoch=interrupt if end == "epoch" else None, on_step=on_step,
        )  # fmt: skip
    except Interrupted:
        return None
    return {
        "weights": weights_digest(supernet.state_dict()),
        "history": [[epoch.loss, epoch.smallest, epoch.largest] for epoch in history],
    }


def supernet(folder: Path) -> dict[str, Any]:
    """Weights of supernets, and of single networks; other trainings are begun in the folder, to be resumed."""
    from hwnas.network import lower

    alone = either("hwnas.supernet.training.standalone:train_standalone", "hwnas.supernet.alone:train_alone")
    space, result = digits_space(), {}
    for name in RECIPES:
        result[name] = trained(name, folder / name / "whole")
        trained(name, folder / name / "epoch", "epoch")
    for name, every in WITHIN.items():
        trained(name, folder / name / "within", "within", checkpoint_every=every)
    for name in ("sandwich", "average"):
        module = alone(lower(space, space.random(random.Random(1))), digits_data(LIMIT), recipe_of(name), seed=SEED)
        result[f"one network, {name}"] = {"weights": weights_digest(module.state_dict())}
    return result


def resumed(folder: Path) -> dict[str, Any]:
    """Weights of the trainings that were begun in a folder, resumed by this side."""
    result = {name: trained(name, folder / name / "epoch") for name in RECIPES}
    for name, every in WITHIN.items():
        result[f"{name}, within an epoch"] = trained(name, folder / name / "within", checkpoint_every=every)
    return result


def proxies(folder: Path) -> dict[str, Any]:
    """Scores by all zero-cost proxies, of random networks on images of digits."""
    lower = either("hwnas:lower")
    scorer_of = either(
        "hwnas.accuracy.zero_cost_proxies.scorer:training_free_scorer",
        "hwnas.proxies.training_free.scorer:training_free_scorer",
    )
    names = either("hwnas.accuracy.zero_cost_proxies:TRAINING_FREE", "hwnas.proxies.training_free:TRAINING_FREE")
    space, data, rng = digits_space(), digits_data(), random.Random(SEED)
    drawn, result = [space.random(rng) for _ in range(SCORED)], {}
    for name in sorted(names):
        scorer = scorer_of(name, partial(lower, space), data, seed=SEED, batch=16, space=space)
        scores = []
        for architecture in drawn:
            try:
                scores.append(float(scorer(architecture)).hex())
            except Exception as error:
                scores.append(type(error).__name__)
        result[name] = {"producer": digest(scorer.producer), "scores": scores}
    return result


def published(folder: Path) -> dict[str, Any]:
    """Digests of the fronts of `experiments/nb201.yaml`."""
    shutil.copy(ROOT / "experiments" / "nb201.yaml", folder)
    for file in Path(os.environ["BEFORE_AFTER_PUBLISHED"]).glob("nasbench201_*"):
        (folder / file.name).symlink_to(file)
    return run_of(folder, "nb201.yaml")


def export(folder: Path) -> dict[str, Any]:
    """Manifests and digests of the fronts of a small run with tables that were measured once."""
    text = EXPERIMENT
    if is_before():
        text = "\n".join(BEFORE_TIMING if line.startswith("timing") else line for line in text.splitlines())
    (folder / "tiny.yaml").write_text(text)
    if not (folder / "cloud.jsonl").exists():
        hwnas(folder, "bench", "tiny.yaml")
        shutil.rmtree(folder / "runs")
        return {}
    verbs = (["train", "tiny.yaml"], ["search", "tiny.yaml"], ["export", "runs/tiny"])
    return run_of(folder, *verbs)


def exported(folder: Path) -> dict[str, Any]:
    """Manifests of a run that the other side made, exported by this one."""
    shutil.rmtree(folder / "runs" / "tiny" / "bundle")
    return run_of(folder, ["export", "runs/tiny"])


def hwnas(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "hwnas.cli", *arguments], cwd=folder, check=True)


def run_of(folder: Path, *verbs: str | list[str]) -> dict[str, Any]:
    for verb in verbs:
        hwnas(folder, *(["run", verb] if isinstance(verb, str) else verb))
    (run,) = (folder / "runs").iterdir()
    files = sorted([*run.glob("fronts/*"), *run.glob("bundle/*/*")])
    return {
        "files": {
            str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            for file in files
            if file.name != "manifest.json"
        },
        "manifests": {
            str(file.relative_to(run)): json.loads(file.read_text()) for file in files if file.name == "manifest.json"
        },
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    part.__name__: part for part in (networks, samplers, supernet, resumed, proxies, published, export, exported)
}


STEPS: tuple[tuple[str, str, str, str], ...] = (  # result, side that makes it, part, result that its folder begins with
    ("published", "before", "published", ""), ("published", "after", "published", ""),
    ("supernet", "before", "supernet", ""), ("supernet", "after", "supernet", ""),
    ("resumed-across", "after", "resumed", "supernet-before"),
    ("table", "before", "export", ""),
    ("export", "before", "export", "table-before"), ("export", "after", "export", "table-before"),
    ("export-across", "after", "exported", "export-before"),
    ("samplers", "before", "samplers", ""), ("samplers", "after", "samplers", ""),
    ("proxies", "before", "proxies", ""), ("proxies", "after", "proxies", ""),
    ("networks", "before", "networks", ""), ("networks", "after", "networks", ""),
    ("resumed", "after", "resumed", "supernet-after"),
)  # fmt: skip
AGAINST = {"resumed": "supernet", "resumed-across": "supernet", "export-across": "export"}
"""The result of before that another one must equal: a resumed training, the uninterrupted one."""


def differences(before: Any, after: Any, path: str = "") -> dict[str, list[Any]]:
    """All that is not equal, by its path."""
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [
            (key, before.get(key), after.get(key)) for key in [*before, *(key for key in after if key not in before)]
        ]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(str(index), one, other) for index, (one, other) in enumerate(zip(before, after, strict=True))]
    else:
        return {} if before == after else {path: [before, after]}
    return {
        where: pair
        for key, one, other in pairs
        for where, pair in differences(one, other, f"{path}/{key}" if path else key).items()
    }


def leaves(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inner is None else sum(map(leaves, inner))


def run_step(step: tuple[str, str, str, str], work: Path, trees: Mapping[str, Path]) -> None:
    """One step of a side, in a process of its own, unless its result is there already."""
    result, side, part, begins = step
    folder, out = work / f"{result}-{side}", work / f"{result}-{side}.json"
    if out.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    if begins:
        shutil.copytree(work / begins, folder)
    environment = {**os.environ, "PYTHONPATH": str(trees[side]), "OMP_NUM_THREADS": "1"}
    command = ["nice", sys.executable, __file__, "--side", part, str(folder), str(out)]
    subprocess.run(command, env=environment, check=True)


def compare(work: Path) -> dict[str, Any]:
    """By result, how many values were compared, and those that differ; experiments in the names of today."""
    from hwnas.stored_names import current

    compared = {}
    for result in dict.fromkeys(step[0] for step in STEPS if step[0] != "table"):
        against = work / f"{AGAINST.get(result, result)}-before.json"
        before, after = (json.loads(path.read_text()) for path in (against, work / f"{result}-after.json"))
        expected = before["result"]
        for manifest in expected.get("manifests", {}).values():
            manifest["experiment"] = current(manifest["experiment"])
        if AGAINST.get(result) == "supernet":
            expected = {name: expected[name.partition(",")[0]] for name in after["result"]}
        compared[result] = {
            "values": leaves(expected),
            "differences": differences(expected, after["result"]),
            "seconds": [before["seconds"], after["seconds"]],
        }
    return compared


def side(part: str, folder: Path, out: Path) -> None:
    import hwnas

    assert str(hwnas.__file__).startswith(os.environ["PYTHONPATH"]), hwnas.__file__
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    content = PARTS[part](folder)
    out.write_text(json.dumps({"seconds": round(time.monotonic() - begun), "result": content}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a work tree of commit 94a5ab7")
    parser.add_argument("--published", type=Path, required=True, help="folder of the files of published numbers")
    parser.add_argument("--work", type=Path, default=Path("/tmp/before_after"), help="results that are there are used")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "results" / "redesign.json")
    asked = parser.parse_args()
    from hwnas.workspace.environment import machine, versions

    asked.work.mkdir(parents=True, exist_ok=True)
    os.environ["BEFORE_AFTER_PUBLISHED"] = str(asked.published.resolve())
    for step in STEPS:
        run_step(step, asked.work.resolve(), {"before": asked.before.resolve(), "after": ROOT})
    result = {
        "command": f"python benchmarks/before_after.py {' '.join(sys.argv[1:])}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commits": {
            name: subprocess.check_output(["git", "-C", tree, "rev-parse", "--short", "HEAD"], text=True).strip()
            for name, tree in (("before", asked.before), ("after", ROOT))
        },
        "machine": machine(),
        "versions": versions(),
        "compared": compare(asked.work),
        "networks": json.loads((asked.work / "networks-after.json").read_text())["result"],
        "samplers": json.loads((asked.work / "samplers-after.json").read_text())["result"],
        "weights": json.loads((asked.work / "supernet-after.json").read_text())["result"],
    }
    asked.json.write_text(json.dumps(result, indent=1) + "\n")
    for name, one in result["compared"].items():
        print(f"{name}: {len(one['differences'])} of {one['values']} values differ", *one["differences"], sep="\n  ")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
