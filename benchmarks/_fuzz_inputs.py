"""The kinds of bad input that `fuzz.py` makes of good input, and the commands that read each."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _binary_mutations as files
from benchmarks import _mutations as mutations
from benchmarks._mutations import Change

Argv = tuple[str, ...]
Changer = Callable[[bytes, random.Random], Change]
RUN = "runs/mini"


@dataclass(frozen=True)
class Input:
    """A folder with one bad file in it, and the commands that it is given to."""

    kind: str
    file: str
    """The bad one, in the folder; nothing where the command line itself is bad."""
    what: str
    """What was done to it."""
    commands: tuple[Argv, ...]


BY_SUFFIX: dict[str, Changer] = {
    ".yaml": mutations.in_yaml,
    ".json": mutations.in_json,
    ".jsonl": mutations.in_json_lines,
    ".log": mutations.in_json_lines,
    ".csv": mutations.in_csv,
    ".npz": files.in_npz,
    ".pt": files.in_pt,
    ".safetensors": files.in_safetensors,
}


def spoil(folder: Path, file: str, rng: random.Random) -> str:
    """Change one file of a folder; what was done to it."""
    path = folder / file
    change = (mutations.as_bytes if rng.random() < 0.04 else BY_SUFFIX.get(path.suffix, mutations.as_bytes))(
        path.read_bytes(), rng
    )
    path.unlink()
    path.write_bytes(change.content)
    return change.what


def _one(rng: random.Random, *commands: str) -> Argv:
    """One of these command lines; half of the time as JSON."""
    words = tuple(rng.choice(commands).split())
    return (*words, "--json") if rng.random() < 0.5 else words


def experiment(base: Path, folder: Path, rng: random.Random) -> Input:
    """An experiment: of a run that is there, of published numbers, or a shipped one."""
    kinds = ["mini", "mini", "published", "published", "shipped"]
    kind = rng.choice([one for one in kinds if (base / one).is_dir()])
    shutil.copytree(base / kind, folder, dirs_exist_ok=True)
    if kind == "shipped":
        file = f"experiments/{rng.choice(sorted(path.name for path in (folder / 'experiments').iterdir()))}"
        return Input(
            "experiment",
            file,
            spoil(folder, file, rng),
            (_one(rng, f"feasible {file} --networks 50", f"doctor {file}"),),
        )
    file = f"{kind}.yaml"
    what = spoil(folder, file, rng)
    reads = [f"feasible {file} --networks 50", f"doctor {file}", f"solve {file}", f"show {file}"]
    if kind == "mini":
        reads += [f"bench {file} --dry-run"]
    else:
        reads += [f"search {file} --trials 14"]
    return Input("experiment", file, what, (_one(rng, *reads), _one(rng, *reads)))


def space(base: Path, folder: Path, rng: random.Random) -> Input:
    """A space: a shipped one, or the tiny one."""
    shutil.copytree(base / "shipped" / "spaces", folder, dirs_exist_ok=True)
    shutil.copy(base / "published" / "space.yaml", folder / "many.yaml")
    file = rng.choice([*sorted(path.name for path in folder.glob("*.yaml")), "many.yaml", "digits.yaml", "many.yaml"])
    what = spoil(folder, file, rng)
    small = file in ("many.yaml", "digits.yaml")
    scored = (
        [f"score {file} --sample 2 --proxies params", f"score {file} --sample 1 --proxies synflow"] if small else []
    )
    which = rng.choice(["largest", "smallest", "random:1"])
    commands = (
        _one(rng, f"show {file}", f"show {file} --picture out.svg"),
        _one(rng, f"cost {file} --architecture {which}", *scored),
    )
    return Input("space", file, what, commands)


def architecture(base: Path, folder: Path, rng: random.Random) -> Input:
    """A file of one architecture, or of several."""
    shutil.copy(base / "published" / "space.yaml", folder / "many.yaml")
    front = json.loads((base / "published/runs/published/fronts/edge.json").read_text())
    listed = rng.random() < 0.5
    file = "architecture.json"
    (folder / file).write_text(json.dumps(front if listed else front[0]["architecture"]))
    what = spoil(folder, file, rng)
    command = (
        f"score many.yaml --architectures {file} --proxies params"
        if listed
        else f"cost many.yaml --architecture {file}"
    )
    return Input("architecture", file, what, (_one(rng, command),))


def table(base: Path, folder: Path, rng: random.Random) -> Input:
    """A latency table: a shipped one, or that of a run."""
    shutil.copytree(base / "tables", folder, dirs_exist_ok=True)
    own = (base / "mini").is_dir() and rng.random() < 0.6
    if own:
        shutil.copytree(base / "mini", folder, dirs_exist_ok=True)
    file = f"{RUN}/latency/cpu.jsonl" if own else rng.choice(sorted(path.name for path in folder.glob("*.jsonl")))
    shutil.copy(folder / file, folder / "other.jsonl")
    what = spoil(folder, file, rng)
    reads = [
        f"bench lint {file}",
        f"bench merge {file} other.jsonl --out merged.jsonl",
        f"bench merge other.jsonl {file} --out merged.jsonl",
    ]
    space = "space.yaml" if own else "digits" if "ofa" not in file else "ofa_mobilenet_v3_224"
    reads += [
        f"cost {space} --table {file}",
        f"cost {space} --table {file} --missing estimate --architecture random:{rng.randrange(9)}",
    ]
    commands = [_one(rng, reads[0]), _one(rng, *reads)]
    if own:
        commands += [
            _one(
                rng,
                f"solve {RUN} --setup {file}",
                f"bench {RUN} --dry-run",
                f"doctor {RUN}",
                f"feasible {RUN} --networks 50",
            )
        ]
        if rng.random() < 0.02:
            commands += [("check", file, "--networks", "1", "--space", "space.yaml")]
    return Input("table", file, what, tuple(commands))


def run(base: Path, folder: Path, rng: random.Random) -> Input:
    """One file of a run's folder."""
    whole = (base / "mini").is_dir() and rng.random() < 0.75
    name = "mini" if whole else "published"
    shutil.copytree(base / name, folder, dirs_exist_ok=True)
    top = folder / "runs" / name
    groups: dict[str, list[str]] = {}
    for path in sorted(top.rglob("*")):
        if path.is_file() and path.name != ".lock":
            groups.setdefault(path.relative_to(top).parts[0], []).append(str(path.relative_to(folder)))
    groups = {group: files for group, files in groups.items() if group not in ("artifacts", "bundle")}
    file = rng.choice(groups[rng.choice(sorted(groups))])
    what, runs = spoil(folder, file, rng), f"runs/{name}"
    commands = [_one(rng, f"doctor {runs}"), _one(rng, *_readers(runs, rng))]
    if rng.random() < 0.25:
        writers = ["report", "search --trials 14", *(["halving", "export", "train"] if whole else [])]
        weights = [10, 6, 3, 1, 3][: len(writers)]
        words = rng.choices(writers, weights)[0].split()
        commands.append(_one(rng, " ".join([words[0], runs, *words[1:]])))
    return Input("run", file, what, tuple(commands))


def _readers(runs: str, rng: random.Random) -> list[str]:
    pick = rng.choice(["best", "knee", "weights:top1=2,latency_ms=1", "lexicographic:latency_ms,top1", "cluster:2"])
    shown = [f"show {runs}", f"show {runs} --pick {pick}", f"solve {runs}", f"solve {runs} --limit latency_ms=0.9"]
    if runs == RUN:
        shown += [
            f"show {runs} --front halving",
            f"solve {runs} --front halving",
            f"bench {runs} --dry-run",
            f"feasible {runs} --networks 50",
        ]
    return shown


def bundle(base: Path, folder: Path, rng: random.Random) -> Input:
    """A file of a bundle."""
    shutil.copytree(base / "mini", folder, dirs_exist_ok=True)
    files = sorted(str(path.relative_to(folder)) for path in (folder / RUN / "bundle").rglob("*") if path.is_file())
    manifest = next(file for file in files if file.endswith("manifest.json"))
    file = manifest if rng.random() < 0.75 else rng.choice(files)
    what = spoil(folder, file, rng)
    commands = [_one(rng, f"doctor {RUN}"), _one(rng, f"report {RUN}")]
    if rng.random() < 0.03:
        commands.append(("export", RUN))
    return Input("bundle", file, what, tuple(commands))


def kit(base: Path, folder: Path, rng: random.Random) -> Input:
    """A kit; its commands begin with the kit's file."""
    from hwnas.boards.archive import checksum

    change = files.in_zip((base / "kit" / "kit.pyz").read_bytes(), rng, comment=checksum)
    (folder / "kit.pyz").write_bytes(change.content)
    words = ["--list"] if rng.random() < 0.5 else ["--dry-run"]
    return Input("kit", "kit.pyz", change.what, (("kit.pyz", *words),))


def data(base: Path, folder: Path, rng: random.Random) -> Input:
    """A file of a data set."""
    shutil.copytree(base / "data", folder, dirs_exist_ok=True)
    name = rng.choice(["idx", "images", "cifar10"])
    files = (
        ["cifar10_jpeg.npz"]
        if name == "cifar10"
        else sorted(str(p.relative_to(folder)) for p in (folder / name).rglob("*.*"))
    )
    files = files if name != "idx" else sorted(f"idx/{p.name}" for p in (folder / "idx").iterdir())
    file = rng.choice(files)
    what = spoil(folder, file, rng)
    command = (
        f"train on_{name}.yaml"
        if rng.random() < 0.5
        else f"score on_{name}.yaml --sample 1 --proxies synflow,grad_norm"
    )
    return Input("data", file, what, (_one(rng, command),))


def published(base: Path, folder: Path, rng: random.Random) -> Input:
    """A file of published accuracies and latencies."""
    shutil.copytree(base / "published", folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "runs")
    forms = [
        pair
        for pair in (("published", "table.csv"), ("archived", "table.npz"), ("columns", "table.parquet"))
        if (folder / pair[1]).is_file()
    ]
    name, file = rng.choice(forms)
    what = spoil(folder, file, rng)
    return Input(
        "published",
        file,
        what,
        (
            _one(
                rng,
                f"feasible {name}.yaml --networks 50",
                f"search {name}.yaml --trials 6",
                f"run {name}.yaml --trials 6",
            ),
        ),
    )


VERBS = ("show", "cost", "solve", "doctor", "report", "feasible", "search", "export", "halving", "train")
ODD_WORDS = (
    "", " ", mutations.DIGITS, "a" * 5000, "|" * 500,
    *"""0 -1 1e999 nan inf x é漢 {} [ : , || |x| . .. ../.. /dev/null /proc/self/mem runs space.yaml no_such.yaml
    file.py:f space.yaml:f x= =1 latency_ms= latency_ms=nan latency_ms=-1 latency_ms=1e999 latency_ms=1=2 latency_ms=0x1
    top1=2 params=0 random: random:x random:-1 random:99999999999999999999 weights: weights:top1=nan,latency_ms=1
    weights:top1=0,latency_ms=0 weights:top1=1e308,latency_ms=1e308 cluster:0 cluster:99999999 cluster:x
    lexicographic: lexicographic:x BEST lagest params, params,params noise digits""".split(),  # noqa: SIM905
)  # fmt: skip


def options(base: Path, folder: Path, rng: random.Random) -> Input:
    """A command line with one word that is odd."""
    name = "mini" if (base / "mini").is_dir() else "published"
    shutil.copytree(base / name, folder, dirs_exist_ok=True)
    runs, word = f"runs/{name}", rng.choice(ODD_WORDS)
    scored = ("score", "space.yaml", "--sample", "1", "--proxies")
    templates: Sequence[Argv] = (
        *((verb, word) for verb in VERBS), ("cost", "space.yaml", "--architecture", word),
        ("show", runs, "--pick", word), ("show", "space.yaml", "--picture", word), ("doctor", runs, "--runs", word),
        ("cost", "space.yaml", "--table", word), ("solve", runs, "--limit", word), ("solve", runs, "--setup", word),
        ("feasible", runs, "--networks", word if len(word) < 3 else "x"),
        (*scored, word), (*scored, "synflow", "--data", word), (*scored, "params", "--architectures", word),
        ("bench", "lint", word), ("bench", word, "--dry-run"), ("bench", "merge", word, "--out", "merged.jsonl"),
        ("bench", "import", word, "--format", "ofa", "--table", "new.jsonl"),
        ("bench", "import", "space.yaml", "--format", word, "--table", "new.jsonl"),
    )  # fmt: skip
    argv = rng.choice(templates)
    return Input("options", "", f"{word[:40]!r}", (argv if rng.random() < 0.7 else (*argv, "--json"),))


Maker = Callable[[Path, Path, random.Random], Input]
KINDS: dict[Maker, int] = {
    experiment: 24, space: 22, architecture: 4, table: 13, run: 20, bundle: 3, kit: 2, data: 3, published: 5,
    options: 4,
}  # fmt: skip
"""Each kind with its share, in hundredths."""
QUICK: dict[Maker, int] = {experiment: 5, space: 6, architecture: 2, table: 2, run: 4, published: 2, options: 1}
"""Of the tests, whose base holds no trained run."""


def made(number: int, seed: int, base: Path, folder: Path, kinds: dict[Any, int] = KINDS) -> Input:
    """Input of that number: a folder with one bad file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed}/{number}")
    maker = rng.choices(list(kinds), list(kinds.values()))[0]
    return maker(base, folder, rng)
