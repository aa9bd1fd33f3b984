"""A plan of a run as a deployment: model files of both sides that were compared with the whole, and the client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas import __version__
from hwnas.collaborate.wire import PLAN_FILE
from hwnas.commands.settled import settled_network
from hwnas.deploy.document import CLIENT_RULES, request_entry, sealed_plan
from hwnas.deploy.shipping import remove_unlisted, write_client, write_readme
from hwnas.errors import ConfigError
from hwnas.export.staging import staged
from hwnas.io.atomic import write_file
from hwnas.problem.fronts.loading import FrontSource, LoadedFront, check_front_exists, load_front
from hwnas.problem.plans.stored import StoredPlan, find_plan, refuse_stale
from hwnas.problem.studies import weights_producer
from hwnas.serve.repositories import write_for_servers
from hwnas.words import brief
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter
from hwnas.workspace.workspace import Workspace, open_run

if TYPE_CHECKING:
    from hwnas.commands.settled import Settled
    from hwnas.problem.plans.files import SideFiles, Written
    from hwnas.workspace.training.supernets import Trained


@brief
@dataclass(frozen=True, eq=False)
class Deployment:
    """A deployment that was written.

    Args:
        run: the run.
        folder: that holds `edge/` and `cloud/`.
        document: the plan that both sides share, as `plan.json` has it.
    """

    run: Workspace
    folder: Path
    document: Mapping[str, Any]

    @property
    def sides(self) -> tuple[Path, ...]:
        """Folders of the sides that the plan has."""
        return tuple(path for name in ("edge", "cloud") if (path := self.folder / name).is_dir())


FILES = ("edge", "cloud", "fallback")


def export_plan(
    reference: str | Path,
    plan: str,
    *,
    output: Path | None = None,
    link: str | None = None,
    fine_tune: int | None = None,
    front: FrontSource | None = None,
    also: Sequence[str] = (),
    runs: Path = Path("runs"),
    reporter: Reporter | None = None,
) -> Deployment:
    """Write a plan of a run as a deployment: a folder for the edge and one for the cloud.

    Args:
        reference: an experiment's file, the name of a shipped one, or a run's folder.
        plan: name of a plan, or `winner`.
        output: folder of the deployment; one of the plan's name in `plans/` of the run's folder if left out.
        link: name of the link, where plans for several links have the name.
        fine_tune: number of epochs in place of `export.fine_tune_epochs`.
        front: `search` or `halving`; if left out, that of successive halving only where nothing was searched.
        also: `triton` for a model repository of Triton beside the sides, `kserve` for an InferenceService too.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        The deployment, whose files were run and compared with the whole network.

    Raises:
        ConfigError, SpaceError: the experiment or its space is invalid, or there is no such plan.
        RunError: nothing was planned, or the run is another than when it was.
        ExportError: a file could not be made, or disagrees with the whole network.

    Example:
        >>> from hwnas import pipeline
        >>> deployment = pipeline.export_plan("pair.yaml", "winner")
        >>> deployment.sides[0].name
        'edge'
    """
    from hwnas.workspace.training.supernets import check_trained, supernet_of, untrained

    def check(run: Workspace) -> None:
        check_trained(run)
        check_front_exists(run, front)
        found.append(find_plan(run, plan, link))
        _refuse_cascade(found[0])

    found: list[StoredPlan] = []
    run, reporter = open_run(reference, runs=runs, before=check), default_reporter(reporter)
    if fine_tune is not None:
        config = run.experiment.export.model_copy(update={"fine_tune_epochs": fine_tune})
        run = replace(run, experiment=run.experiment.model_copy(update={"export": config}))
    with locked(run):
        trained = supernet_of(run, reporter) or untrained(run)
        producer = weights_producer(run, trained)
        edge, cloud = (load_front(run, tier, front, producer=producer) for tier in found[0].tiers)
        folder = output or run.folder / "plans" / str(found[0].plan["name"])
        writer = _Writer(run, found[0], edge, cloud, trained, reporter)
        writer.refuse_stale()
        _refuse_other_side(folder, uses_cloud=found[0].plan["cloud"] is not None)
        with ExitStack() as stack:
            names = ("edge", "cloud") if found[0].plan["cloud"] is not None else ("edge",)
            document = writer.write({name: stack.enter_context(staged(folder / name)) for name in names})
        for side in (folder / name for name in names):
            remove_unlisted(side, document)
    write_for_servers(folder, also)
    return Deployment(run, folder, document)


def _refuse_other_side(folder: Path, *, uses_cloud: bool) -> None:
    """Refuse a folder where the cloud's side of another plan would stay beside a plan without one."""
    if not uses_cloud and (folder / "cloud").exists():
        raise ConfigError(
            "the folder holds a cloud's side, and the plan has none",
            where=str(folder),
            allowed="A deployment's sides are of one plan",
            do="Remove its folder cloud/, or name another folder by -o",
        )


def _refuse_cascade(stored: StoredPlan) -> None:
    """Refuse a cascade that the client cannot follow."""
    rule = stored.plan.get("rule")
    if rule is not None and rule not in CLIENT_RULES:
        raise ConfigError(
            f"the cascade keeps answers by the rule `{rule}`",
            where=str(stored.path),
            allowed=f"The client knows {', '.join(CLIENT_RULES)}",
            do="Deploy a plan without a cascade, or give the task one of these rules",
        )


@dataclass(frozen=True)
class _Writer:
    """A deployment in the making."""

    run: Workspace
    stored: StoredPlan
    edge: LoadedFront
    cloud: LoadedFront
    trained: Trained
    reporter: Reporter

    @property
    def plan(self) -> Mapping[str, Any]:
        return self.stored.plan

    def refuse_stale(self) -> None:
        edge, cloud = ({point.architecture.key for point in front.standing} for front in (self.edge, self.cloud))
        refuse_stale(self.run, self.stored, (edge, cloud))

    def write(self, sides: Mapping[str, Path]) -> dict[str, Any]:
        """Write both sides to their folders and return the plan's document."""
        from hwnas.problem.plans.files import SideFiles

        files = SideFiles(self.run, self.stored, sides)
        written = self._split(files) if self.plan["cut"] is not None else self._whole_networks(files)
        document = sealed_plan(self._content(written))
        for folder in sides.values():
            write_file(folder / PLAN_FILE, json.dumps(document, indent=1, allow_nan=False) + "\n")
            write_readme(folder, document)
        write_client(sides["edge"])
        return document

    def _split(self, files: SideFiles) -> Written:
        with self.reporter.bar(f"exporting {self.plan['name']}") as bar:
            bar.update(0, 2, "the two halves")
            settled = self._settled(self.plan["edge"], self._front_of(self.plan["edge"]))
            written = files.halves(settled)
            if self.plan.get("exit") is not None:
                bar.update(1, 2, "the exit")
                written = files.with_exit(written, settled)
            else:
                bar.update(1, 2, "the fallback")
                written = self._with_fallback(files, written)
            bar.update(2, 2, "done")
        return written

    def _whole_networks(self, files: SideFiles) -> Written:
        plan = self.plan
        with self.reporter.bar(f"exporting {plan['name']}") as bar:
            bar.update(0, 2, "the edge")
            edge = None if plan["edge"] is None else self._settled(plan["edge"], self.edge)
            cloud = None if plan["cloud"] is None else self._settled(plan["cloud"], self.cloud)
            written = files.networks(edge, cloud)
            bar.update(1, 2, "the fallback")
            written = written if edge is not None else self._with_fallback(files, written)
            bar.update(2, 2, "done")
        return written

    def _with_fallback(self, files: SideFiles, written: Written) -> Written:
        key = self.stored.best_on_the_edge()["edge"]
        return files.with_fallback(written, self._settled(key, self.edge))

    def _front_of(self, key: str) -> LoadedFront:
        """Return the front whose weights a network that is cut has: the edge's if it is there."""
        return self.edge if any(point.architecture.key == key for point in self.edge.standing) else self.cloud

    def _settled(self, key: str, front: LoadedFront) -> Settled:
        point = next(point for point in front.standing if point.architecture.key == key)
        return settled_network(self.run, front, point, self.trained, lambda epoch, epochs: None)

    def _content(self, written: Written) -> dict[str, Any]:
        plan, cloud = self.plan, written.files.get("cloud")
        entries = {name: None if (file := written.files.get(name)) is None else file.entry() for name in FILES}
        if entries["fallback"] is not None:
            entries["fallback"]["accuracy"] = self.stored.best_on_the_edge()["accuracy"]
        return {
            "hwnas": __version__,
            "name": plan["name"],
            "kind": plan["kind"],
            "task": {
                "name": type(self.run.space.task).__name__,
                "class_names": list(self.run.dataset.class_names) or None,
            },
            "link": self.stored.link,
            "codec": plan["codec"],
            "cut": plan["cut"],
            **entries,
            **({"exit": written.files["exit"].entry()} if "exit" in written.files else {}),
            "request": None if written.request is None else request_entry(*written.request),
            "answer": {"shape": list(written.answer_shape), "dtype": "float32"},
            "raw": {**written.raw, **({"steps": list(steps)} if (steps := self.run.dataset.raw.steps) else {})},
            "preprocessing": {} if cloud is None else dict(cloud.preprocessing),
            "cascade": self._cascade(written),
            "predicted": {
                name: plan[name]
                for name in ("latency_ms", "waterfall_ms", "accuracy", "accuracy_error", "escalated", "bytes")
            },
            "deadline_ms": plan["latency_ms"]["p99"],
            "checks": {name: check.as_dict() for name, check in written.checks.items()},
        }

    def _cascade(self, written: Written) -> dict[str, Any] | None:
        if self.plan["kind"] != "cascade":
            return None
        own = {name: self.plan[name] for name in ("rule", "temperature", "deferral", "threshold", "guarantee")}
        return {**own, "disagreement": written.disagreement}
