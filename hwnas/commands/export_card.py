"""The model card of a bundle, with its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.export.staging import CARD
from hwnas.io.atomic import write_file
from hwnas.problem.fronts.loading import LoadedFront
from hwnas.report.card.card import model_card
from hwnas.report.card.plots import front_chart, recall_chart
from hwnas.report.charts.chart_file import Chart
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from hwnas.commands.settled import Settled

FRONT_PLOT, RECALL_PLOT = "plot-front.svg", "plot-recall.svg"


def write_card(folder: Path, run: Workspace, front: LoadedFront, manifest: Mapping[str, Any]) -> None:
    """Write the card and its plots into the folder of a bundle.

    Raises:
        RunError: a file cannot be written.
    """
    charts = {FRONT_PLOT: _front_chart(run, front, manifest["models"]), RECALL_PLOT: _recalls(manifest["models"])}
    plots = {name: chart for name, chart in charts.items() if chart is not None}
    for name, chart in plots.items():
        write_file(folder / name, chart.svg(), what="chart")
    captions = {name: chart.figure.label for name, chart in plots.items()}
    settings = run.experiment.export.card.model_dump()
    write_file(folder / CARD, model_card(manifest, run.units, captions, settings), what="model card")


def _front_chart(run: Workspace, front: LoadedFront, models: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return the front over its first cost; None where there is nothing to draw it over."""
    quality = run.space.task.quality.name
    metrics = [objective.metric for objective in front.tier.objectives]
    up = next((metric for metric in metrics if metric.split("@")[0] == quality), None)
    across = next((metric for metric in metrics if metric != up), None)
    if up is None or across is None or not front.points:
        return None
    points = [point.expected for point in front.points]
    named = {model["key"]: ", ".join(model["picks"]) for model in models}
    picks = {
        number: named[key] for number, point in enumerate(front.points) if (key := point.architecture.key) in named
    }
    return front_chart(points, picks, across, up, run.units)


def _recalls(models: Sequence[Mapping[str, Any]]) -> Chart | None:
    recalls = {", ".join(model["picks"]): model["test_recall"] for model in models if "test_recall" in model}
    return recall_chart(models[0]["classes"], recalls) if recalls else None


def recall_entry(run: Workspace, settled: Settled) -> dict[str, Any]:
    """Return the recall of each class on the test samples, where each sample has one class and all are there."""
    import numpy as np

    from hwnas.tasks import Classification

    labels, classes = settled.test.targets, run.dataset.classes
    if not isinstance(run.space.task, Classification) or len(np.unique(labels)) != classes:
        return {}
    hits = settled.outputs.argmax(1) == labels
    return {"test_recall": [float(hits[labels == label].mean()) for label in range(classes)]}
