"""Adapting a trained network, or a trained supernet, to other data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwnas.commands.adapt_files import write_bundle, write_user_network
from hwnas.commands.adapt_sources import (
    TrainedNetwork,
    is_bundle,
    network_source,
    picked_network,
    run_of_bundle,
    user_network,
)
from hwnas.errors import ConfigError
from hwnas.words import brief, counted
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter

if TYPE_CHECKING:
    from torch import nn

    from hwnas.adapt.classes import ClassMatch
    from hwnas.adapt.new_data import NewData
    from hwnas.data import Dataset
    from hwnas.network import Network

How = Literal["head", "norm", "full", "space"]
EPOCHS = 5
"""Epochs of `full`, if no number is given."""


@brief
@dataclass(frozen=True)
class Adaptation:
    """Result of adapting.

    Args:
        how: head, norm, full, space or watch.
        folder: with the files that were written; empty if none were.
        report: all that is known of it, ready for JSON.
        lines: the same for a terminal.
        drifted: of `watch`, whether the samples are unlike those before.

    Example:
        >>> Adaptation("head", "runs/mini/adapted/head", {"samples": 3}).as_dict()["samples"]
        3
    """

    how: str
    folder: str
    report: dict[str, Any]
    lines: tuple[str, ...] = ()
    drifted: bool = field(default=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but the lines, ready for JSON."""
        return {"how": self.how, "folder": self.folder, **self.report}


def adapt(
    target: str,
    data: str,
    *,
    how: How | None = None,
    watch: bool = False,
    weights: Path | None = None,
    tier: str | None = None,
    pick: str = "knee",
    epochs: int | None = None,
    rehearse: int = 0,
    keep_classes: bool = False,
    input_shape: str | None = None,
    name: str | None = None,
    out: Path | None = None,
    runs: Path = Path("runs"),
    reporter: Reporter | None = None,
) -> Adaptation:
    """Adapt a trained network to other data, or say whether data is unlike that before.

    Args:
        target: a trained run, a bundle, or a network of yours: `file.py:function`, or the file that `open` wrote.
        data: a YAML file that names a data set, the name of one, or a `.npz` archive of raw samples.
        how: `head` fits the last layer, `norm` recomputes normalisation statistics, `full` trains all weights on,
            `space` brings the supernet's weights into a new space and searches it.
        watch: only compare the data with the statistics of a bundle.
        weights: state dictionary of a network of yours.
        tier: of a run; the first one if left out.
        pick: rule for the network of the tier's front.
        epochs: of `full`, 5 if left out, and of `space`, a third of those before.
        rehearse: of `full`, number of training samples of the data before that are trained on again; all classes stay.
        keep_classes: all classes of the network stay, and those of the data are added.
        input_shape: of `space`, the new input, such as `1,28,28`; as before if left out.
        name: of `space`, the new run.
        out: folder of the files; in the run's folder if left out.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        What was written, with accuracies before and after.

    Raises:
        ConfigError, SpaceError, DataError: the target, the data or an option cannot be used.
        RunError: the run is not trained to the end, or not searched.
        TrainingError: a fine-tuning diverged.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.adapt("runs/mini", "digits", how="head").report["classes"]["new"]
        []
    """
    reporter = default_reporter(reporter)
    _check_options(how, watch, {"--rehearse": rehearse, "--epochs": epochs, "--input": input_shape, "--name": name})
    source = network_source(target, weights)
    if watch:
        from hwnas.commands.adapt_bundle import watched

        return watched(target, data, tier, runs)
    if how == "head" and source is None and is_bundle(target):
        from hwnas.commands.adapt_bundle import head_of_bundle

        return head_of_bundle(target, data, out)
    if how == "space":
        from hwnas.commands.adapt_space import adapt_space

        return adapt_space(_run_behind(target), data, epochs, input_shape, name, runs, reporter)
    assert how is not None
    if source is not None:
        trained = user_network(source)
        folder = out or Path(f"{source.function}_{how}")
        method = _Method(trained, data, how, epochs or EPOCHS, rehearse, keep_classes or rehearse > 0, folder, reporter)
        return method.run()
    folder_of_run, own_tier = (target, tier) if not is_bundle(target) else (_run_behind(target), tier or _tier(target))
    trained = picked_network(folder_of_run, runs, own_tier, pick, reporter)
    assert trained.run is not None
    folder = out or trained.run[0].folder / "adapted" / how
    with locked(trained.run[0]):
        method = _Method(trained, data, how, epochs or EPOCHS, rehearse, keep_classes or rehearse > 0, folder, reporter)
        return method.run()


def _check_options(how: How | None, watch: bool, options: dict[str, Any]) -> None:
    """Refuse options that do not go together."""
    if (how is None) != watch:
        raise ConfigError(
            "--how and --watch are both given" if watch else "it is not said how to adapt",
            where="hwnas adapt",
            allowed="--how head, norm, full or space adapts; --watch says whether data drifted, and adapts nothing",
            do="Give one of the two",
        )
    of = {"--rehearse": ("full",), "--epochs": ("full", "space"), "--input": ("space",), "--name": ("space",)}
    for option, value in options.items():
        if value and how not in of[option]:
            raise ConfigError(
                f"{option} says nothing of {'--watch' if watch else f'--how {how}'}",
                where="hwnas adapt",
                allowed=f"It is of --how {' and '.join(of[option])}",
                do="Leave it out",
            )


def _run_behind(target: str) -> str:
    """Return the run of a target: itself, or the one that a bundle stands in.

    Raises:
        ConfigError: the bundle stands alone.
    """
    if not is_bundle(target):
        return target
    behind = run_of_bundle(target)
    if behind is None:
        raise ConfigError(
            "the bundle stands outside its run, whose weights are needed",
            where=target,
            allowed="Beside a bundle alone a head is fitted, on its features; all else trains or runs PyTorch's module",
            do="Take `--how head`, or name the run",
        )
    return behind[0]


def _tier(target: str) -> str | None:
    behind = run_of_bundle(target)
    return None if behind is None else behind[1]


@dataclass(frozen=True)
class _Method:
    """One adaptation of a network, all of its options."""

    trained: TrainedNetwork
    reference: str
    how: How
    epochs: int
    rehearse: int
    keep: bool
    folder: Path
    reporter: Reporter

    def run(self) -> Adaptation:
        data = self._data()
        module, network, dataset, report, match = getattr(self, f"_{self.how}")(data)
        report = {"target": self.trained.label, "data": self.reference, **report}
        if self.trained.run is None:
            files = write_user_network(self.folder, module, network, dataset, report)
        else:
            old = self.trained.old
            assert old is not None
            shown = dataset if data.labelled else old
            files = write_bundle(self.folder, self.trained, module, network, shown, report, self.reporter)
        lines = [*_report_lines(report, match), f"wrote {', '.join(files)} to {self.folder}"]
        return Adaptation(self.how, str(self.folder), {**report, "files": files}, tuple(lines))

    def _data(self) -> NewData:
        from hwnas.adapt.classes import normalised_as
        from hwnas.adapt.new_data import NewData, check_channels, check_labels, read_new_data

        task = self.trained.network.kind
        if not task.has_labels:
            raise ConfigError(
                f"the networks learn `{type(task).__name__}`",
                where=self.trained.label,
                allowed="Classifiers are adapted",
                do="Fine-tune such a network by an experiment with the new data and `train.initial_weights`",
            )
        steps = () if self.trained.old is None else self.trained.old.raw.steps
        read = read_new_data(self.reference, seed=self.trained.seed, task=task, known=self.trained.classes, steps=steps)
        check_channels(read.dataset, self.trained.network.input_shape, where=f"--data {self.reference}")
        if self.how != "norm":
            check_labels(read, self.how, self.reference)
        if self.trained.normalised is None:
            return read
        return NewData(normalised_as(read.dataset, self.trained.normalised), read.labelled, read.spec)

    def _match(self, dataset: Dataset) -> ClassMatch:
        from hwnas.adapt.classes import ClassMatch

        match = ClassMatch.of(self.trained.classes, dataset.class_names, keep=self.keep)
        if not match.shared:
            self.reporter.info(match.lines()[0])
        return match

    def _before(self, match: ClassMatch, dataset: Dataset) -> dict[str, Any] | None:
        """Return the accuracy of the network before on test samples of new data; None if it knows none of the classes.

        Samples of classes that it does not know count as wrong.
        """
        from hwnas.adapt.fine_tuning import KnownClasses
        from hwnas.adapt.head import accuracy_on, for_classes

        if not match.shared:
            return None
        known = KnownClasses(self.trained.module, match)
        return accuracy_on(known, for_classes(self.trained.network, len(match.new)), dataset.test)

    def _start(self, data: NewData) -> tuple[nn.Module, Network, Dataset, dict[str, Any], ClassMatch]:
        """Return the network with a head for the new data."""
        from hwnas.adapt.board.logistic import matched_rows
        from hwnas.adapt.classes import with_classes
        from hwnas.adapt.head import accuracy_on, features_of, fit_head, for_classes, head_of, last_linear, with_head

        trained, match = self.trained, self._match(data.dataset)
        dataset = with_classes(data.dataset, match.new)
        layer = last_linear(trained.module, trained.network.input_shape, where=trained.label)
        width = head_of(trained.module, layer, ()).bias.shape[0]
        names = trained.classes or tuple(f"\0{number}" for number in range(width))
        start = matched_rows(head_of(trained.module, layer, names), match.new)
        learned, chosen = (
            features_of(trained.module, layer, trained.network, split) for split in (dataset.train, dataset.validation)
        )
        fit = fit_head(learned, chosen, start)
        network = for_classes(trained.network, len(match.new))
        module = with_head(trained.module, layer, fit.head)
        report = {
            "classes": {
                "kept": list(match.shared),
                "new": [name for name in match.new if name not in match.old],
                "left_out": [name for name in match.old if name not in match.new],
            },
            "penalty": fit.strength,
            "features": int(start.weight.shape[1]),
            "test": {
                "before": self._before(match, dataset),
                "after": accuracy_on(module, network, dataset.test),
            },
        }
        return module, network, dataset, report, match

    def _head(self, data: NewData) -> tuple[nn.Module, Network, Dataset, dict[str, Any], ClassMatch]:
        return self._start(data)

    def _norm(self, data: NewData) -> tuple[nn.Module, Network, Dataset, dict[str, Any], ClassMatch | None]:
        from hwnas.adapt.classes import ClassMatch, with_classes
        from hwnas.adapt.fine_tuning import recalibrated, statistics_layers
        from hwnas.adapt.head import accuracy_on

        trained, dataset = self.trained, data.dataset
        where = f"--data {self.reference}"
        module = recalibrated(trained.module, trained.network, dataset.train, where=where)
        report: dict[str, Any] = {"layers": statistics_layers(module), "samples": len(dataset.train)}
        if not data.labelled or not trained.classes:
            return module, trained.network, dataset, report, None
        match = ClassMatch.of(trained.classes, dataset.class_names)
        if not match.shared:
            self.reporter.info(match.lines()[0])
        dataset = with_classes(dataset, trained.classes)
        if not len(dataset.test):
            return module, trained.network, trained.old or dataset, report, match
        report["test"] = {
            "before": accuracy_on(trained.module, trained.network, dataset.test),
            "after": accuracy_on(module, trained.network, dataset.test),
        }
        return module, trained.network, dataset, report, None

    def _full(self, data: NewData) -> tuple[nn.Module, Network, Dataset, dict[str, Any], ClassMatch]:
        from hwnas.adapt.fine_tuning import LAYER_DECAY, FineTuning, OldData, statistics_layers
        from hwnas.adapt.head import accuracy_on

        start, network, dataset, report, match = self._start(data)
        old = None if self.trained.old is None else OldData(self.trained.old, self.rehearse)
        if self.rehearse and old is None:
            raise ConfigError(
                "--rehearse asks for samples of the data before, which is not at hand",
                where=self.trained.label,
                allowed="A run names the data that it was trained on; a network of yours does not",
                do="Leave --rehearse out",
            )
        before = report["test"]["before"]
        tuning = FineTuning(network, start, self.trained.module, match, dataset, old, before["value"] if before else 0)
        recipe = tuning.recipe(self.trained.recipe, self.epochs)
        with self.reporter.bar("fine-tuning") as bar:
            tuned = tuning.run(
                recipe,
                seed=self.trained.seed,
                folder=self.folder.with_name(f"{self.folder.name}.training"),
                device=self.trained.device,
                on_epoch=lambda epoch, loss: bar.update(epoch, self.epochs, f"loss {loss:.3f}"),
            )
        head = accuracy_on(start, network, dataset.validation)
        full = accuracy_on(tuned, network, dataset.validation)
        better = (full["value"] or 0) >= (head["value"] or 0)
        module = tuned if better else start
        report |= {
            "epochs": self.epochs,
            "validation": {"head": head, "full": full, "shipped": "full" if better else "head"},
            "learning_rate": {"last_layer": recipe.learning_rate, "layer_decay": LAYER_DECAY},
            "teacher": {"classes": len(match.shared), "weight": recipe.distill_weight} if tuning.teaches else None,
            "rehearsed": self.rehearse,
            "normalisation": f"{counted(statistics_layers(module), 'layer')}: statistics of each batch while it is "
            f"trained, then means over {counted(recipe.calibration_batches, 'batch', 'batches')} of training samples",
            "forgetting": tuning.forgetting(module),
        }
        report["test"]["head"], report["test"]["after"] = (
            report["test"]["after"],
            accuracy_on(module, network, dataset.test),
        )
        return module, network, dataset, report, match


def _report_lines(report: dict[str, Any], match: ClassMatch | None) -> list[str]:
    """Return the report as lines."""
    lines = [] if match is None else match.lines()
    if "layers" in report:
        lines.append(f"{counted(report['layers'], 'layer')} have statistics of {counted(report['samples'], 'sample')}")
    if (test := report.get("test")) is not None:
        parts = [
            f"{label} {test[key]['value']:.1%}"
            for key, label in (("before", "before"), ("head", "with a new head"), ("after", "after"))
            if test.get(key)
        ]
        lines.append(
            f"test accuracy on the new data: {', '.join(parts)} ({counted(test['after']['samples'], 'sample')})"
        )
    if "validation" in report:
        lines.append(f"normalisation: {report['normalisation']}")
        teacher = report["teacher"]
        lines.append(
            "no teacher: the network before names none of the classes"
            if teacher is None
            else f"the network before teaches {counted(teacher['classes'], 'class', 'classes')}, "
            f"{teacher['weight']:.0%} of the loss"
        )
        if report["validation"]["shipped"] == "head":
            lines.append("the head alone is better on validation samples, and is what was written")
    if (lost := report.get("forgetting")) is not None:
        lines.append(
            f"on {counted(lost['samples'], 'validation sample')} of the data before: {lost['before']:.1%} before, "
            f"{lost['after']:.1%} after"
        )
    return lines
