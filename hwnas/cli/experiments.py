"""Commands on an experiment and its run."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import RUNS, Front, Json, Reference, Runs, Settings, Trials, edited, refuse_options
from hwnas.cli.printing import print_fronts, print_result
from hwnas.console import Terminal

if TYPE_CHECKING:
    from hwnas.commands.plan import PlannedStage
    from hwnas.commands.run import Outcome
    from hwnas.search.fronts import FrontPoint


def init(
    folder: Annotated[Path, typer.Argument(help="Where to put it; created if missing.")], as_json: Json = False
) -> None:
    """Copy a working experiment and its space into a folder of your own."""
    from hwnas.io.resources import copy_starter

    written = copy_starter(folder)
    print_result({"written": written}, as_json, [f"wrote {path}" for path in written])


def run(
    experiment: Reference,
    runs: Runs = RUNS,
    settings: Settings = None,
    trials: Trials = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell the stages, about how long they take, and their files.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Do all of it: latency tables, training, search, files, report. The same command resumes.

    Exit code 3 if no network is left within the limits of a tier.
    """
    from hwnas import pipeline

    reference = edited(experiment, settings)
    if dry_run:
        _print_plan(pipeline.plan(reference, runs=runs, trials=trials, reporter=Terminal()), as_json)
        return
    _print_outcome(pipeline.run(reference, runs=runs, trials=trials, reporter=Terminal()), reference, runs, as_json)


def _print_plan(stages: Sequence[PlannedStage], as_json: bool) -> None:
    if as_json:
        print_result([vars(stage) for stage in stages], True, [])
    else:
        from hwnas.console.results import show_plan

        show_plan(stages)


def demo(
    runs: Runs = RUNS,
    settings: Settings = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the report in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """See it work in a minute: the shipped experiment `demo`, whose networks are trained already, as `run` does it."""
    from hwnas import pipeline

    reference = edited("demo", settings)
    outcome = pipeline.run(reference, runs=runs, reporter=Terminal())
    if not (no_open or as_json):
        _open_page(outcome.report)
    _print_outcome(outcome, reference, runs, as_json)


def _open_page(page: Path) -> None:
    """Open a page in the browser, if there is a display."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.absolute().as_uri())


def _print_outcome(outcome: Outcome, reference: str, runs: Path, as_json: bool) -> None:
    from hwnas.commands.search import refuse_empty_fronts

    if not as_json:
        print_fronts(reference, runs)
    lines = [f"{path.parent}: model files and manifest" for path in outcome.manifests] + [f"report: {outcome.report}"]
    result = {
        "folder": outcome.folder,
        "report": outcome.report,
        "manifests": outcome.manifests,
        "tiers": {tier.tier.name: _searched(tier) for tier in outcome.tiers},
    }
    print_result(result, as_json, lines)
    refuse_empty_fronts(outcome.tiers)


def feasible(
    experiment: Reference,
    networks: Annotated[int, typer.Option(min=1, help="So many networks are drawn from the space.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    runs: Runs = RUNS,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Show what each tier's limits leave of the space, before anything is trained. Exit code 2 if it is nothing."""
    from hwnas import pipeline
    from hwnas.problem.feasibility import raise_if_infeasible

    tiers = pipeline.feasible(edited(experiment, settings), runs=runs, networks=networks, seed=seed)
    if as_json:
        print_result({tier.tier: tier.as_dict() for tier in tiers}, True, [])
    else:
        from hwnas.console.results import show_feasible

        show_feasible(tiers)
    for tier in tiers:
        raise_if_infeasible(tier)


def train(
    experiment: Reference,
    runs: Runs = RUNS,
    settings: Settings = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the weights to this .safetensors file too, for `train.weights`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the experiment's supernet, or continue where training stopped."""
    from hwnas import pipeline

    history = pipeline.train(edited(experiment, settings), runs=runs, save=save, reporter=Terminal())
    lines = [
        *(f"epoch {last.epoch}: loss {last.loss:.3f}, {history.qualities(last)}" for last in history[-1:]),
        *([] if history else ["nothing is trained: the weights are published ones"]),
        *([f"wrote {save}"] if save else []),
    ]
    print_result([vars(epoch) for epoch in history], as_json, lines)


def search(
    experiment: Reference, runs: Runs = RUNS, settings: Settings = None, trials: Trials = None, as_json: Json = False
) -> None:
    """Search the tiers of an experiment that is trained and timed, or continue the search.

    Exit code 3 if no network is left within the limits of a tier.
    """
    from hwnas import pipeline
    from hwnas.commands.search import refuse_empty_fronts

    tiers = pipeline.search(edited(experiment, settings), runs=runs, trials=trials, reporter=Terminal())
    if not as_json:
        print_fronts(edited(experiment, settings), runs)
    print_result({tier.tier.name: _searched(tier) for tier in tiers}, as_json, [])
    refuse_empty_fronts(tiers)


def halving(experiment: Reference, runs: Runs = RUNS, settings: Settings = None, as_json: Json = False) -> None:
    """Score many networks cheaply and the best of them dearly, by the rungs in `search.successive_halving`.

    The front among the networks of the last rung is timed and kept; `show`, `export`, `solve` and `report` read it. The
    same command continues where it was stopped.
    """
    from hwnas import pipeline
    from hwnas.workspace.results.halving_results import refuse_empty_results

    results = pipeline.halving(edited(experiment, settings), runs=runs, reporter=Terminal())
    if as_json:
        by_tier = {result.tier: {**result.as_dict(), "front": [_point(p) for p in result.front]} for result in results}
        print_result(by_tier, True, [])
    else:
        from hwnas.console.results import show_halving

        for result in results:
            show_halving(result)
    refuse_empty_results(results)


def fidelity(
    experiment: Reference,
    runs: Runs = RUNS,
    settings: Settings = None,
    networks: Annotated[int, typer.Option(min=2, help="How many random networks to train alone.")] = 24,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each; as many as the supernet's if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How far to trust the run's accuracies: train random networks alone and compare ranks.

    Prints rank correlations with bootstrap intervals, and writes fidelity.json and a page with a plot beside the run.
    The same command continues where it was stopped.
    """
    from hwnas import pipeline

    judged = pipeline.fidelity(
        edited(experiment, settings), runs=runs, networks=networks, epochs=epochs, reporter=Terminal()
    )
    if as_json:
        print_result(json.loads(judged.json.read_text(encoding="utf-8")), True, [])
        return
    from hwnas.console.results import show_fidelity

    show_fidelity(judged.fidelity)
    print_result(None, False, [f"wrote {judged.json}", f"wrote {judged.page}"])


def solve(
    experiment: Reference,
    setup: Annotated[
        str | None,
        typer.Option(
            help="A set-up of the experiment, a latency table's file or the name of a shipped one; if left out, "
            "that of each tier."
        ),
    ] = None,
    limit: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as latency_ms=20. Repeatable.")] = None,
    front: Front = None,
    runs: Runs = RUNS,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """The front for another set-up or other limits, from stored accuracies and a table. Nothing is trained or timed.

    Without --setup, of an experiment with several set-ups, there is one for each tier.
    """
    from hwnas import pipeline
    from hwnas.workspace.references import experiment_of

    by, limits = front or "search", limit or []
    if setup is None and len(experiment_of(edited(experiment, settings))[1].setups) > 1:
        tiers = pipeline.solve_tiers(edited(experiment, settings), limits=limits, front=by, runs=runs)
        document: Any = {name: solved.as_dict() for name, solved in tiers.items()}
    else:
        solved = pipeline.solve(edited(experiment, settings), setup=setup, limits=limits, front=by, runs=runs)
        tiers, document = {solved.tier.name: solved}, solved.as_dict()
    if as_json:
        print_result(document, True, [])
        return
    from hwnas.console.results import show_fronts

    show_fronts([pipeline.solved_facts(solved) for solved in tiers.values()])


def export(
    experiment: Reference,
    runs: Runs = RUNS,
    settings: Settings = None,
    fine_tune: Annotated[
        int | None, typer.Option("--fine-tune", min=0, help="Train each pick on for so many epochs first.")
    ] = None,
    pick: Annotated[
        list[str] | None,
        typer.Option(
            help="A rule in place of the experiment's `export.picks`, as `show --pick` takes it: knee, "
            "weights:top1=2,latency_ms=1. Repeatable."
        ),
    ] = None,
    front: Front = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="NAME", help="Write this plan of `hwnas plan`, or `winner`.")
    ] = None,
    link: Annotated[str | None, typer.Option("--link", help="Of --plan: the link that it was planned for.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Of --plan: the folder to write.")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Of --plan: what another server loads, triton or kserve. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the picks of each front as ONNX and TFLite files, run them and compare them with PyTorch.

    With --plan, write one plan as a folder for the edge and one for the cloud, which `hwnas serve` serves.
    """
    from hwnas import pipeline
    from hwnas.export.manifest import read_manifest

    reference = edited(experiment, settings)
    if plan is None:
        refuse_options(
            {"--link": link, "--output": output, "--also": also},
            "without --plan",
            "A folder, a link and other servers are those of a plan",
        )
        manifests = pipeline.export(
            reference, runs=runs, fine_tune=fine_tune, picks=pick, front=front, reporter=Terminal()
        )
        print_result(
            {path.parent.name: dict(read_manifest(path).content) for path in manifests},
            as_json,
            [f"wrote {path}" for path in manifests],
        )
        return
    refuse_options({"--pick": pick}, "with --plan", "A plan names its networks")
    done = pipeline.export_plan(
        reference,
        plan,
        output=output,
        link=link,
        fine_tune=fine_tune,
        front=front,
        also=also or (),
        runs=runs,
        reporter=Terminal(),
    )
    print_result(done.document, as_json, [f"wrote {side}" for side in done.sides])


def report(experiment: Reference, runs: Runs = RUNS, settings: Settings = None, as_json: Json = False) -> None:
    """Write the report of a searched run again."""
    from hwnas import pipeline

    path = pipeline.report(edited(experiment, settings), runs=runs, reporter=Terminal())
    print_result({"report": path}, as_json, [f"wrote {path}"])


def _searched(tier: Any) -> dict[str, Any]:
    return {
        "trials": tier.finished.trials,
        "failed": tier.finished.failed,
        "stopped": tier.finished.stopped,
        "front": [_point(point) for point in tier.front],
    }


def _point(point: FrontPoint) -> dict[str, Any]:
    return {
        "key": point.architecture.key,
        **point.precision_entry,
        **({} if point.paired is None else {"paired": point.paired.entry}),
        "scores": dict(point.scores),
        "measured": dict(point.measured),
        "kept": point.kept,
        "picks": list(point.picks),
        **point.estimates_entry,
    }
