"""A trained network on other data: another head, other statistics, or all weights trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hwnas.commands.adapt_files import write_bundle, write_user_network
from hwnas.commands.adapt_sources import TrainedNetwork
from hwnas.commands.adaptation import Adaptation, report_lines
from hwnas.errors import ConfigError
from hwnas.words import counted
from hwnas.workspace.progress import Reporter

if TYPE_CHECKING:
    from torch import nn

    from hwnas.adapt.classes import ClassMatch
    from hwnas.adapt.new_data import NewData
    from hwnas.data import Dataset
    from hwnas.network import Network

EPOCHS = 5
"""Epochs of `full`, if no number is given."""


class Adapted(NamedTuple):
    """An adapted network with what is known of it."""

    module: nn.Module
    network: Network
    dataset: Dataset
    report: dict[str, Any]
    match: ClassMatch | None
    """None where classes stay as they are."""


@dataclass(frozen=True)
class NetworkAdapter:
    """One adaptation of a network, with its options."""

    trained: TrainedNetwork
    reference: str
    how: str
    epochs: int | None
    rehearse: int
    keep: bool
    folder: Path
    reporter: Reporter

    def run(self) -> Adaptation:
        """Return the adaptation, whose files are written.

        Raises:
            ConfigError, DataError: the data or an option cannot be used.
            TrainingError: a fine-tuning diverged.
        """
        if self.rehearse and self.trained.old is None:
            raise ConfigError(
                "--rehearse asks for samples of the data before, which is not at hand",
                where=self.trained.label,
                allowed="A run names the data that it was trained on; a network of yours and a bundle alone do not",
                do="Leave --rehearse out",
            )
        data = self._data()
        methods = {"head": self._with_head, "norm": self._with_statistics, "full": self._fine_tuned}
        done = methods[self.how](data)
        report = {"target": self.trained.label, "data": self.reference, **done.report}
        if self.trained.run is None:
            files = write_user_network(self.folder, done.module, done.network, done.dataset, report)
        else:
            files = write_bundle(
                self.folder, self.trained, done.module, done.network, done.dataset, report, self.reporter
            )
        classes = [] if done.match is None else done.match.lines()
        lines = (*classes, *report_lines(report), f"wrote {', '.join(files)} to {self.folder}")
        return Adaptation(self.how, str(self.folder), {**report, "files": files}, lines)

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
        trained = self.trained
        read = read_new_data(
            self.reference, seed=trained.seed, task=task, known=trained.classes, steps=trained.raw_steps
        )
        check_channels(read.dataset, self.trained.network.input_shape, where=f"--data {self.reference}")
        if self.how != "norm" or self.epochs:
            check_labels(read, f"{self.how} --epochs" if self.how == "norm" else self.how, self.reference)
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

    def _with_head(self, data: NewData) -> Adapted:
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
            "classes": match.as_dict(),
            "penalty": fit.strength,
            "features": int(start.weight.shape[1]),
            "test": {
                "before": self._before(match, dataset),
                "after": accuracy_on(module, network, dataset.test),
            },
        }
        return Adapted(module, network, dataset, report, match)

    def _with_statistics(self, data: NewData) -> Adapted:
        """Return the network with statistics of the new data and, where epochs are named, scales and shifts too."""
        from hwnas.adapt.classes import ClassMatch, with_classes
        from hwnas.adapt.fine_tuning import recalibrated, statistics_layers
        from hwnas.adapt.head import accuracy_on

        trained, dataset, where = self.trained, data.dataset, f"--data {self.reference}"
        match = ClassMatch.of(trained.classes, dataset.class_names if data.labelled else ())
        if self.epochs and not match.shared:
            raise ConfigError(
                "the network knows none of the classes of the data"
                if match.old
                else "the network's classes have no names",
                where=f"--how norm --epochs {self.epochs}",
                allowed="Scales and shifts are trained on labels, of classes that the network knows by the same names",
                do="Leave --epochs out, which recomputes statistics alone, or take `--how head`",
            )
        module = recalibrated(trained.module, trained.network, dataset.train, where=where)
        report: dict[str, Any] = {"layers": statistics_layers(module), "samples": len(dataset.train)}
        if match.shared:
            dataset = with_classes(dataset, trained.classes)
        if self.epochs:
            module = self._with_scales(module, dataset, report)
        if not match.shared:
            if data.labelled:
                self.reporter.info("no accuracy is told: the network knows none of the data's classes by their names")
            unnamed = replace(dataset, class_names=trained.classes)
            return Adapted(module, trained.network, trained.old or unnamed, report, None)
        report["test"] = {
            "before": accuracy_on(trained.module, trained.network, dataset.test),
            "after": accuracy_on(module, trained.network, dataset.test),
        }
        return Adapted(module, trained.network, dataset, report, None)

    def _with_scales(self, module: nn.Module, dataset: Dataset, report: dict[str, Any]) -> nn.Module:
        """Return the better of a module with new statistics and one whose scales and shifts were trained as well."""
        from hwnas.adapt.fine_tuning import tuned_scales
        from hwnas.adapt.head import accuracy_on

        trained, epochs = self.trained, self.epochs or 0
        with self.reporter.bar("scales and shifts") as bar:
            tuned = tuned_scales(
                module,
                trained.network,
                dataset,
                trained.recipe,
                epochs,
                seed=trained.seed,
                on_epoch=lambda epoch, loss: bar.update(epoch, epochs, f"loss {loss:.3f}"),
            )
        scored = [accuracy_on(one, trained.network, dataset.validation) for one in (module, tuned)]
        better = (scored[1]["value"] or 0) > (scored[0]["value"] or 0)
        shipped = "scales and shifts" if better else "statistics alone"
        report |= {
            "epochs": epochs,
            "validation": {"statistics": scored[0], "scales": scored[1], "shipped": shipped},
        }
        return tuned if better else module

    def _fine_tuned(self, data: NewData) -> Adapted:
        from hwnas.adapt.fine_tuning import LAYER_DECAY, FineTuning, OldData, statistics_layers
        from hwnas.adapt.head import accuracy_on

        start, network, dataset, report, match = self._with_head(data)
        assert match is not None
        epochs = self.epochs or EPOCHS
        old = None if self.trained.old is None else OldData(self.trained.old, self.rehearse)
        before = report["test"]["before"]
        tuning = FineTuning(network, start, self.trained.module, match, dataset, old, before["value"] if before else 0)
        recipe = tuning.recipe(self.trained.recipe, epochs)
        with self.reporter.bar("fine-tuning") as bar:
            tuned = tuning.run(
                recipe,
                seed=self.trained.seed,
                folder=self.folder.with_name(f"{self.folder.name}.training"),
                device=self.trained.device,
                on_epoch=lambda epoch, loss: bar.update(epoch, epochs, f"loss {loss:.3f}"),
            )
        head = accuracy_on(start, network, dataset.validation)
        full = accuracy_on(tuned, network, dataset.validation)
        better = (full["value"] or 0) >= (head["value"] or 0)
        module = tuned if better else start
        report |= {
            "epochs": epochs,
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
        return Adapted(module, network, dataset, report, match)
