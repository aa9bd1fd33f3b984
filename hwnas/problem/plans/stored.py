"""Plans that `hwnas plan` wrote to a run's folder, read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, RunError, did_you_mean, reason
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.workspace.workspace import Workspace

WINNER = "winner"


@dataclass(frozen=True)
class StoredPlan:
    """A plan with the document that holds it.

    Args:
        path: of the document.
        document: what `hwnas plan` wrote for a link.
        plan: the plan's entry in it.
    """

    path: Path
    document: Mapping[str, Any]
    plan: Mapping[str, Any]

    @property
    def tiers(self) -> tuple[str, str]:
        """Names of the edge's and the cloud's tier."""
        return str(self.document["tiers"]["edge"]), str(self.document["tiers"]["cloud"])

    @property
    def link(self) -> str:
        """Name of the link."""
        return str(self.document["link"]["name"])

    def best_on_the_edge(self) -> Mapping[str, Any]:
        """Return the plan of the edge alone whose accuracy is best."""
        alone = [plan for plan in self.document["plans"] if plan["kind"] == "edge_only"]
        best = max if self.document["quality"]["goal"] == "max" else min
        found: Mapping[str, Any] = best(alone, key=lambda plan: plan["accuracy"])
        return found


def stored_documents(run: Workspace) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield what was planned for a run, by `hwnas plan` for each link and by the searches of its pairs; damaged files
    and those of another experiment are left out."""
    own, folder = run.experiment.name, run.folder / "plans"
    names = {own, *(f"{own}, pair {pair}" for pair in run.experiment.pairs)}
    for path in (*sorted(folder.glob("*.json")), *sorted((folder / "pairs").glob("*.json"))):
        with suppress(RunError):
            document = _read(run, path).document
            if document.get("run") in names:
                yield path, document


def find_plan(run: Workspace, name: str, link: str | None = None) -> StoredPlan:
    """Return a plan of a run by its name.

    Args:
        run: the run.
        name: of the plan; `winner` for the one to take.
        link: name of the link that it was planned for, where plans of several have the name.

    Returns:
        The plan with its document.

    Raises:
        RunError: nothing was planned, or a file of plans is damaged or older than its front.
        ConfigError: there is no such plan, or plans for several links have the name.
    """
    folder = run.folder / "plans"
    paths = sorted(folder.glob("*.json")) if link is None else [folder / f"{link}.json"]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise RunError(
            "nothing was planned" if link is None else f"nothing was planned for a link `{link}`",
            where=str(folder),
            allowed="A deployment is made of a plan",
            do=f"Run `{run.command('plan')} --link {link or 'lte'}`",
        )
    stored = [_read(run, path) for path in paths]
    candidates = [one for document in stored if (one := _named(document, name)) is not None]
    if len(candidates) == 1:
        return _checked(run, candidates[0])
    if candidates:
        raise ConfigError(
            f"plans for {len(candidates)} links are named `{name}`",
            where="--plan",
            allowed=f"Links: {', '.join(one.link for one in candidates)}",
            do="Add `--link NAME`",
        )
    names = [WINNER, *(plan["name"] for one in stored for plan in one.document["plans"])]
    raise ConfigError(
        f"there is no plan `{name}`",
        where="--plan",
        allowed=did_you_mean(name, dict.fromkeys(names)),
        do=f"Name one of the plans in {', '.join(map(str, paths))}",
    )


def _named(stored: StoredPlan, name: str) -> StoredPlan | None:
    wanted = stored.document["winner"] if name == WINNER else name
    plans = (plan for plan in stored.document["plans"] if plan["name"] == wanted)
    plan = next(plans, None)
    return None if plan is None else StoredPlan(stored.path, stored.document, plan)


def _read(run: Workspace, path: Path) -> StoredPlan:
    try:
        document = Fields(loads(path.read_bytes()))
        for tier in ("edge", "cloud"):
            document.object("tiers").text(tier)
        document.object("link").text("name")
        document.object("quality").text("goal")
        document.object("networks")
        if document.optional("winner"):
            document.text("winner")
        for plan in document.objects("plans"):
            plan.text("name")
            plan.text("kind")
            plan.number("accuracy")
            plan.object("latency_ms").number("p99")
        return StoredPlan(path, document.raw, {})
    except FieldError as error:
        raise _unusable(run, path, f"the plans are damaged: {error}") from error
    except OSError as error:
        raise _unusable(run, path, f"the plans cannot be read ({reason(error)})") from error


def _checked(run: Workspace, stored: StoredPlan) -> StoredPlan:
    """Return the plan, if it is one of the run's experiment and of its fronts as they are."""
    experiment = run.experiment
    if stored.document.get("run") != experiment.name:
        raise _unusable(run, stored.path, f"the plans are of the experiment `{stored.document.get('run')}`")
    gone = [tier for tier in stored.tiers if tier not in experiment.tiers]
    if gone:
        raise _unusable(run, stored.path, f"the plans are of a tier `{gone[0]}`, which the experiment has no more")
    return stored


def refuse_stale(run: Workspace, stored: StoredPlan, keys: tuple[set[str], set[str]]) -> None:
    """Refuse a plan of a network that the fronts have no more.

    Raises:
        RunError: it is such a plan.
    """
    plan, (edge, cloud) = stored.plan, keys
    allowed = {"edge_only": (edge, cloud), "cloud_only": (edge, cloud), "cascade": (edge, cloud)}
    both = (edge | cloud, edge | cloud)
    sides = both if plan.get("exit") is not None else allowed.get(plan["kind"], both)
    for key, known in zip((plan["edge"], plan["cloud"]), sides, strict=True):
        if key is not None and key not in known:
            raise _unusable(run, stored.path, f"the fronts changed since: network {key} is on none of them")


def _unusable(run: Workspace, path: Path, problem: str) -> RunError:
    return RunError(
        problem,
        where=str(path),
        allowed="A deployment is made of a plan for the run as it is",
        do=f"Run `{run.command('plan')} --link {path.stem}` again",
    )
