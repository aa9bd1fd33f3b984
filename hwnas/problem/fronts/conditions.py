"""The conditions that a front was found under, kept and compared with those of the experiment. Neither torch nor a
supernet is needed for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.accuracy import RANKED, TRAINLESS, source_of
from hwnas.config import AccuracyConfig, RungConfig, SetupConfig, TrainConfig
from hwnas.errors import RunError, reason
from hwnas.io.atomic import write_file
from hwnas.io.checksum import sha256_of
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.measure.table import check_line
from hwnas.network import known_operators, lower
from hwnas.ops.plugins import installed_code
from hwnas.pareto import Limit, Objective, Tier
from hwnas.problem.cost_models import header_of, table_digest
from hwnas.registry import member
from hwnas.search.successive_halving import tier_for_rung
from hwnas.space import Space
from hwnas.stored_names import current, stored
from hwnas.tasks.options import code_of
from hwnas.user_code import read_source
from hwnas.workspace.results.halving_results import objective_of
from hwnas.workspace.workspace import Workspace

OF_TIER = ("objectives", "limits", "setup", "latency")
"""Parts that may change while accuracies stay as they are."""
OF_RUN = ("space", "seed", "data", "train", "accuracy")
"""Parts that decide an accuracy."""
NEUTRAL_TRAIN_KEYS = ("processes", "launcher", "on_divergence", "checkpoint_every", "grad_accumulation_steps")
"""Keys of `train` that do not decide the weights; the number of parts that a batch is cut into is kept as `parts`."""
STORED_AS = {"train": "train", "accuracy": "accuracy", "setup": "setups.*"}
"""Parts that are sections of an experiment, with their paths in `hwnas.stored_names`."""
OF_FILES = ("table", "device", "runtime_version", "content")
"""Keys under `latency` and `accuracy` that are known from a file only."""
ELSEWHERE = {"latencies", "table", "python", "ssh_config"}
"""Keys of a set-up that are kept under `latency` or decide no number."""


@dataclass(frozen=True)
class Conditions:
    """All that a front's numbers and members rest on, in plain words and values."""

    parts: Mapping[str, Any]
    """By the names of `OF_TIER` and `OF_RUN`."""
    producer: str = ""
    """Producer of the accuracies; empty if it is not known."""
    study: str = ""
    """Study that a search's front belongs to."""

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that is ready for JSON, in the names that are stored."""
        parts = {
            name: stored(part, STORED_AS[name]) if name in STORED_AS and part else part
            for name, part in self.parts.items()
        }
        return {"producer": self.producer, "study": self.study, **parts}

    def tier(self, name: str) -> Tier:
        """Return the tier with objectives and limits as they were."""
        goals = (text.partition(" ") for text in self.parts["objectives"])
        limits = (text.rsplit(" ", 2) for text in self.parts["limits"])
        return Tier(
            name,
            tuple(Objective(metric, "min" if goal == "min" else "max") for goal, _, metric in goals),
            tuple(Limit(metric, float(bound), "most" if sign == "<=" else "least") for metric, sign, bound in limits),
        )

    def unlike(self, now: Conditions, parts: tuple[str, ...]) -> list[str]:
        """Return a line for each thing in which they differ: `limits: params <= 40000 then, params <= 4000 now`."""
        return [line for part in parts for line in _unlike(part, self.parts.get(part), now.parts.get(part))]


def conditions_of(
    run: Workspace,
    tier: str,
    rung: RungConfig | None = None,
    *,
    quality: Objective | None = None,
    producer: str = "",
    study: str = "",
) -> Conditions:
    """Return the conditions of the experiment as it is now; of halving with its last rung or its objective."""
    wanted, accuracy = run.objectives.tier(tier), run.experiment.accuracy.model_dump(mode="json")
    if accuracy["file_every"] is None:
        del accuracy["file_every"]
    if (quality := quality if rung is None else objective_of(rung.score, run.space.task)) is not None:
        wanted = tier_for_rung(wanted, quality)
    if rung is not None:
        accuracy |= {"source": rung.score, "epochs": rung.epochs or accuracy["epochs"]}
    source = source_of(accuracy["source"], where=f"experiment `{run.experiment.name}`")
    looks = source.data or (source in (TRAINLESS, RANKED) and run.experiment.data is not None)
    data = run.experiment.data if looks else None
    setup = run.experiment.tiers[tier].setup
    parts = {
        "objectives": [f"{objective.goal} {objective.metric}" for objective in wanted.objectives],
        "limits": [_limit(limit) for limit in wanted.limits],
        "setup": run.experiment.setups[setup].model_dump(mode="json", exclude=ELSEWHERE) | _precisions(run, tier),
        "latency": _latency(run, tier),
        "space": space_identity(run),
        "seed": run.experiment.seed,
        "data": {"name": data} if isinstance(data, str) else data,
        "train": _train(run) if source.data else None,
        "accuracy": {**accuracy, "content": _content(run, accuracy["source"], accuracy["file"])},
    }
    return Conditions(json.loads(json.dumps(parts)), producer, study)


def conditions_path(front: Path) -> Path:
    """Return the file of a front's conditions: `conditions/fronts/edge.json` is of `fronts/edge.json`, so that no
    tier's name can clash with them."""
    return front.parent.parent / "conditions" / front.parent.name / front.name


def write_conditions(front: Path, conditions: Conditions) -> None:
    """Write the conditions of the front in a file, with the file's checksum, after the front, so that a kill between
    the two is noticed."""
    raw = {"front": sha256_of(front), **conditions.as_dict()}
    write_file(conditions_path(front), json.dumps(raw, indent=1, allow_nan=False) + "\n")


def read_conditions(front: Path) -> tuple[Conditions | None, str]:
    """Return the conditions of the front in a file; None where they are not known, and why.

    Raises:
        RunError: the file that holds them is damaged.
    """
    path = conditions_path(front)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None, "what it was found under was not kept"
    except OSError as error:
        raise _damaged(path, reason(error)) from error
    try:
        raw = Fields(loads(text))
        digest, conditions = raw.text("front"), conditions_in(raw)
    except FieldError as error:
        raise _damaged(path, str(error)) from error
    if digest != sha256_of(front):
        return None, f"{front.name} is not the file whose conditions were kept"
    return conditions, ""


def conditions_in(raw: Fields) -> Conditions:
    """Return the conditions in a JSON object.

    Raises:
        FieldError: a part is missing or malformed.
    """
    parts: dict[str, Any] = {"seed": raw.integer("seed"), "space": raw.text("space")}
    parts |= {name: list(raw.texts(name)) for name in ("objectives", "limits")}
    parts |= {name: dict(raw.object(name).raw) for name in ("setup", "latency", "accuracy")}
    parts |= {name: dict(raw.object(name).raw) if raw.optional(name) else None for name in ("data", "train")}
    parts |= {name: current(parts[name], path) for name, path in STORED_AS.items()}
    conditions = Conditions(parts, raw.text("producer"), raw.text("study"))
    try:
        tier = conditions.tier("")
    except ValueError as error:
        raise FieldError("`limits` holds a text that is no limit") from error
    if len(tier.objectives) < 2:
        raise FieldError("`objectives` names fewer than two")
    return conditions


def space_identity(run: Workspace) -> str:
    """Return the space's name and eight digits of its choices, of the networks at both its ends and of operators from
    outside."""
    space = run.space
    networks = [lower(space, end) for end in (space.smallest(), space.largest())]
    ends = [check_line(network) for network in networks]
    choices = [(choice.name, choice.options) for choice in space.choices]
    kinds = {type(operator) for network in networks for operator in network.operators}
    if isinstance(space, Space):
        known, ops = known_operators(space), {block.op for stage in space.stages for block in stage.blocks}
        kinds |= {member(known, op, what="operator", where=f"space `{space.name}`") for op in ops}
    installed = sorted({installed_code(kind) for kind in kinds} - {""})
    own = [plugin.digest for plugin in space.plugins]
    content = json.dumps(
        [choices, ends, [*own, *filter(None, [code_of(space.task)]), *installed]], sort_keys=True, default=str
    )
    return f"{space.name} {hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _latency(run: Workspace, tier: str) -> dict[str, Any]:
    """Return the source of the tier's latencies; a missing file is left out."""
    setup = run.experiment.tiers[tier].setup
    config = run.experiment.setups[setup]
    if config.latencies is not None:
        path = run.paths.resolve(config.latencies.file)
        keys = config.latencies.model_dump(mode="json", exclude={"file"})
        return {"source": "published", **keys, **({"content": sha256_of(path)[:12]} if path.is_file() else {})}
    if run.objectives.is_live(tier):
        return {"source": "live"}
    path = run.paths.table(setup)
    others = {precision: run.paths.table(other) for precision, other in run.experiment.setups_of(tier).items()}
    listed = {one: table_digest(table) for one, table in others.items() if table != path and table.is_file()}
    return {"source": "table", **(_header(path) if path.is_file() else {}), **listed}


def _precisions(run: Workspace, tier: str) -> dict[str, Any]:
    """Return the precisions that a tier lists, and what decides accuracies in int8."""
    precisions = run.experiment.tiers[tier].precisions
    if precisions is None:
        return {}
    return {"precisions": list(precisions), "calibration_samples": run.experiment.export.calibration_samples}


def _header(path: Path) -> dict[str, Any]:
    digest, setup = table_digest(path), header_of(path)
    if setup is None:
        return {"table": digest}
    return {"device": setup.device, "runtime_version": setup.runtime_version, "table": digest}


def _train(run: Workspace) -> dict[str, Any]:
    config = run.experiment.train
    recipe, parts = config.model_dump(mode="json", exclude=set(NEUTRAL_TRAIN_KEYS)), config.grad_accumulation_steps
    return {**recipe, "parts": parts if parts > 1 else config.processes}


def _content(run: Workspace, source: str, file: str) -> str | None:
    """Return the digest of a file of accuracies, or of a function's file, if it exists."""
    path = source.rpartition(":")[0] if ":" in source else file
    if not path or not (there := run.paths.resolve(path)).is_file():
        return None
    return read_source(there).digest if there.suffix == ".py" else sha256_of(there)[:12]


def _limit(limit: Limit) -> str:
    bound = f"{limit.bound:g}"
    exact = bound if float(bound) == limit.bound else repr(limit.bound)
    return f"{limit.metric} {'<=' if limit.side == 'most' else '>='} {exact}"


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "train": TrainConfig().model_dump(mode="json"),
    "accuracy": AccuracyConfig().model_dump(mode="json"),
    "setup": SetupConfig(runtime="onnxruntime").model_dump(mode="json"),
}
"""Values of keys that an earlier version did not have."""


def _unlike(part: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, list) and isinstance(now, list):
        gone, new = [one for one in then if one not in now], [one for one in now if one not in then]
        if gone or new:
            yield f"{part}: {', '.join(gone) or 'none'} then, {', '.join(new) or 'none'} now"
        return
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        if then != now:
            yield f"{part}: {_word(then)} then, {_word(now)} now"
        return
    for key in dict.fromkeys([*then, *now]):
        usual = DEFAULTS.get(part, {}).get(key)
        before, after = then.get(key, usual), now.get(key, usual)
        # Where the file is not there, or was not, nothing is known.
        unknown = part in ("latency", "accuracy") and key in OF_FILES and None in (before, after)
        if before != after and not unknown:
            yield f"{part}.{key}: {_word(before)} then, {_word(after)} now"


def _word(value: Any) -> str:
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return "none" if value is None else str(value)


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        f"what a front was found under cannot be read ({why})",
        where=str(path),
        allowed="A JSON object that hwnas wrote beside the front",
        do="Delete it: the front is then solved again from stored accuracies",
    )
