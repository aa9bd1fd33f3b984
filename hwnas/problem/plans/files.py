"""Model files of a deployment: written by the exporters of the two tiers' set-ups, run, and compared with the whole."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.codecs import BoundaryCodec, InputCodec, Precision, input_codecs
from hwnas.collaborate.halves import split_module
from hwnas.collaborate.learned.deferral import RULE, LearnedDeferral
from hwnas.collaborate.wire import Shape, TensorFormat
from hwnas.config import SetupConfig
from hwnas.deploy.boundary import codec_of_head, write_quantization
from hwnas.deploy.checks import (
    ONE_RUNTIME,
    SAME_ANSWERS,
    TWO_RUNTIMES,
    Check,
    ParityLimit,
    compare_outputs,
    through,
)
from hwnas.deploy.document import DeployedFile
from hwnas.export import format_of
from hwnas.export.bundle import LoadedFile, outputs_of, write_model
from hwnas.network import Network
from hwnas.problem.plans.drafts import plain_answer_shape
from hwnas.problem.plans.exits import trained_exit
from hwnas.problem.plans.stored import StoredPlan
from hwnas.runtimes import offered
from hwnas.tasks import Batch, Task
from hwnas.workspace.measuring.setups import exporter_for, runtime_of
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]

RUNTIMES_OF = {"edge": ("onnxruntime", "tflite"), "cloud": ("onnxruntime", "tflite", "pytorch")}
"""Runtimes that the client and the server open; ONNX Runtime stands in for others."""
MOST_CHECKED = 512
"""Most test samples that files answer when they are compared."""


class SettledNetwork(Protocol):
    """A network that is about to be written; `hwnas.commands.settled.Settled` fits."""

    @property
    def module(self) -> nn.Module:
        """Module with outputs in the user's unit."""

    @property
    def network(self) -> Network:
        """The network."""

    @property
    def task(self) -> Task:
        """Task that knows the training targets."""

    @property
    def calibration(self) -> Array:
        """Training inputs as the network takes them."""

    @property
    def test(self) -> Batch:
        """Test samples, as arrays."""

    @property
    def outputs(self) -> Array:
        """PyTorch's outputs for them."""

    @property
    def tuned(self) -> dict[str, Any] | None:
        """Entry on its fine-tuning; None if there was none."""


@dataclass(frozen=True, eq=False)
class Written:
    """Files that were written.

    Args:
        files: by the name of their entry in the plan: `edge`, `exit`, `cloud`, `fallback`.
        answer_shape: of one sample's answer.
        raw: shape and dtype of an input as the client takes it.
        request: how a request's tensor travels; None if nothing is sent.
        checks: comparisons, by what was compared.
        disagreement: of a cascade, how often its networks differ on held-out samples of which the edge is sure.
    """

    files: Mapping[str, DeployedFile]
    answer_shape: Shape
    raw: Mapping[str, Any]
    request: tuple[TensorFormat, BoundaryCodec | InputCodec] | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    disagreement: Mapping[str, int] | None = None


@dataclass(frozen=True)
class SideFiles:
    """Files of a plan's sides in the making.

    Args:
        run: the run.
        stored: the plan.
        folders: by side.
    """

    run: Workspace
    stored: StoredPlan
    folders: Mapping[str, Path]

    # --- kinds of plans ---

    def networks(self, edge: SettledNetwork | None, cloud: SettledNetwork | None) -> Written:
        """Write one network to each side that has one."""
        files, checks = dict[str, DeployedFile](), dict[str, Check]()
        for side, settled in (("edge", edge), ("cloud", cloud)):
            if settled is not None:
                files[side], checks[side] = self._whole(side, side, settled)
        first = edge or cloud
        assert first is not None
        codec = None if cloud is None else self._input_codec()
        request = None if codec is None else (codec.format(*self._raw), codec)
        differs = None
        if edge is not None and cloud is not None:
            differs = self._disagreement(edge.task, edge.outputs, cloud.outputs)
        return Written(files, plain_answer_shape(first.task), self._raw_entry, request, checks, differs)

    def _disagreement(self, task: Task, edge: Array, cloud: Array) -> dict[str, int]:
        plan = self.stored.plan
        confidences = task.deferral_scores(edge, plan["temperature"])
        if plan["rule"] == RULE:
            confidences = {RULE: LearnedDeferral(**plan["deferral"]).confidence(confidences)}
        kept = confidences[plan["rule"]] >= plan["threshold"]
        differs = edge.argmax(1) != cloud.argmax(1)
        return {"kept": int(kept.sum()), "differs": int((kept & differs).sum())}

    def halves(self, settled: SettledNetwork) -> Written:
        """Write a network's head to the edge and its tail to the cloud, and compare both with the whole."""
        cut, network = int(self.stored.plan["cut"]), settled.network
        head, tail = split_module(settled.module, cut)
        configs, shape = self._configs(), network.shapes[cut]
        preprocessing = self._preprocessing(network)
        first = self._path("edge", "edge", configs)
        _write(head, network.input_shape, first, configs["edge"], settled.calibration)
        codec = self._boundary_codec(settled, head, first, configs["edge"])
        last = self._path("cloud", "cloud", configs)
        seen = codec.restored(codec.rounded(outputs_of(head, settled.calibration)))
        _write(tail, shape, last, configs["cloud"], _spanning(seen, codec))
        if configs["cloud"].precision == codec.precision == "int8":
            write_quantization(last, codec)
        answer = plain_answer_shape(settled.task)
        files = {
            "edge": _deployed(first, configs["edge"], network.input_shape, shape, preprocessing),
            "cloud": _deployed(last, configs["cloud"], shape, answer, {}),
        }
        check = self._compared(settled, (head, tail), codec, (first, last), configs)
        request = codec.format(shape), codec
        return Written(files, answer, self._raw_entry, request, {"halves": check})

    def with_exit(self, written: Written, settled: SettledNetwork) -> Written:
        """Write the exit that answers on the edge from what the head computes, and compare it with PyTorch's."""
        from hwnas.deploy.exit_module import ExitModule

        network, cut, configs = settled.network, int(self.stored.plan["cut"]), self._configs()
        head, _ = split_module(settled.module, cut)
        shape, answer = network.shapes[cut], written.answer_shape
        config = configs["edge"].model_copy(update={"precision": "fp32"})
        module, path = ExitModule(trained_exit(self.run, network, head), shape), self._path("edge", "exit", configs)
        _write(module, shape, path, config, outputs_of(head, settled.calibration))
        inputs, head_file = settled.test.inputs[:MOST_CHECKED], self.folders["edge"] / written.files["edge"].path.name
        boundaries = np.asarray(runtime_of(configs["edge"]).load(head_file).run(inputs))
        outputs = np.asarray(runtime_of(config).load(path).run(boundaries))
        exact, export = configs["edge"].precision == "fp32", self.run.experiment.export
        limit = ParityLimit("PyTorch's exit", export.tolerance if exact else None, 0.0 if exact else export.agreement)
        reference = outputs_of(module, outputs_of(head, inputs))
        check = compare_outputs(reference, outputs, settled.task, limit, [path])
        every = outputs_of(module, outputs_of(head, settled.test.inputs))
        return replace(
            written,
            files={**written.files, "exit": _deployed(path, config, shape, answer, {})},
            checks={**written.checks, "exit": check},
            disagreement=self._disagreement(settled.task, every, settled.outputs),
        )

    def with_fallback(self, written: Written, settled: SettledNetwork) -> Written:
        """Write a network that answers on the edge where the cloud does not."""
        file, check = self._whole("edge", "fallback", settled)
        return replace(
            written,
            files={**written.files, "fallback": file},
            checks={**written.checks, "fallback": check},
        )

    # --- files ---

    def _whole(self, side: str, name: str, settled: SettledNetwork) -> tuple[DeployedFile, Check]:
        configs, network = self._configs(), settled.network
        path = self._path(side, name, configs)
        _write(settled.module, network.input_shape, path, configs[side], settled.calibration)
        precision, export = configs[side].precision, self.run.experiment.export
        count = min(len(settled.outputs), MOST_CHECKED)
        outputs = np.asarray(runtime_of(configs[side]).load(path).run(settled.test.inputs[:count]))
        limit = ParityLimit(
            "PyTorch", export.tolerance if precision == "fp32" else None, _least(precision, export.agreement)
        )
        check = compare_outputs(settled.outputs[:count], outputs, settled.task, limit, [path])
        answer = plain_answer_shape(settled.task)
        return _deployed(path, configs[side], network.input_shape, answer, self._preprocessing(network)), check

    def _path(self, side: str, name: str, configs: Mapping[str, SetupConfig]) -> Path:
        return self.folders[side] / f"{name}{format_of(configs[side].runtime).suffix}"

    def _configs(self) -> dict[str, SetupConfig]:
        """Return the set-ups of both sides as their files are run on a processor; the edge answers one request."""
        setups = self.run.experiment.setups
        tiers = dict(zip(("edge", "cloud"), self.stored.tiers, strict=True))
        configs = {side: _portable(side, setups[self.run.experiment.tiers[name].setup]) for side, name in tiers.items()}
        configs["edge"] = configs["edge"].model_copy(update={"batch": 1})
        return configs

    # --- comparison ---

    def _compared(
        self,
        settled: SettledNetwork,
        modules: tuple[nn.Module, nn.Module],
        codec: BoundaryCodec,
        paths: tuple[Path, Path],
        configs: Mapping[str, SetupConfig],
    ) -> Check:
        inputs = settled.test.inputs[:MOST_CHECKED]
        head, tail = (runtime_of(configs[side]).load(path) for side, path in zip(("edge", "cloud"), paths, strict=True))
        outputs = through(head, tail, codec, inputs)
        precisions = configs["edge"].precision, configs["cloud"].precision
        alike = configs["edge"].runtime == configs["cloud"].runtime
        if precisions == ("fp32", "fp32") and codec.precision != "fp32":
            restored = codec.restored(codec.rounded(outputs_of(modules[0], inputs)))
            reference, limit = outputs_of(modules[1], restored), ParityLimit("PyTorch's halves", None, SAME_ANSWERS)
        elif precisions[0] == precisions[1] and (precisions[0] == "fp32" or alike):
            reference = np.asarray(self._whole_file(settled, configs["cloud"]).run(inputs))
            difference = None if precisions[0] != "fp32" else ONE_RUNTIME if alike else TWO_RUNTIMES
            limit = ParityLimit(f"the whole {precisions[0]} file", difference, SAME_ANSWERS)
        else:
            reference = settled.outputs[: len(inputs)]
            limit = ParityLimit("PyTorch", None, self.run.experiment.export.agreement)
        return compare_outputs(reference, outputs, settled.task, limit, paths)

    def _whole_file(self, settled: SettledNetwork, config: SetupConfig) -> LoadedFile:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"whole{format_of(config.runtime).suffix}"
            _write(settled.module, settled.network.input_shape, path, config, settled.calibration)
            loaded: LoadedFile = runtime_of(config).load(path)
            return loaded

    # --- what is sent ---

    def _boundary_codec(
        self, settled: SettledNetwork, head: nn.Module, path: Path, config: SetupConfig
    ) -> BoundaryCodec:
        precision, _, packing = str(self.stored.plan["codec"]).partition("+")
        codec = BoundaryCodec(_precision(precision), bool(packing))
        if precision != "int8":
            return codec
        own = codec_of_head(path, codec.packed) if config.precision == "int8" else None
        if own is not None:
            return own
        scale, zero_point = (self.stored.plan.get(name) for name in ("scale", "zero_point"))
        if scale is None or zero_point is None or settled.tuned:
            values = outputs_of(head, settled.calibration)
            return replace(codec, low=float(values.min()), high=float(values.max()))
        return BoundaryCodec.of(scale, zero_point, codec.packed)

    def _input_codec(self) -> InputCodec:
        name = self.stored.plan["codec"]
        return next(codec for codec in input_codecs(*self._raw) if codec.name == name)

    @property
    def _raw(self) -> tuple[Shape, str]:
        """Shape and dtype of one input as it is stored."""
        split = self.run.dataset.test
        taken = split.inputs.take(split.indices[:1])
        return tuple(taken.shape[1:]), str(taken.numpy().dtype)

    @property
    def _raw_entry(self) -> dict[str, Any]:
        shape, dtype = self._raw
        return {"shape": list(shape), "dtype": dtype}

    def _preprocessing(self, network: Network) -> dict[str, Any]:
        """Return what a raw input becomes before a network: divided, normalised, resized, in this order."""
        told = self.run.dataset.preprocessing_at(network.input_shape)
        resize = list(network.input_shape[1:]) if tuple(network.input_shape) != self._raw[0] else None
        return {**{name: told[name] for name in ("divide_by", "mean", "std")}, "resize": resize}


def _precision(name: str) -> Precision:
    known: dict[str, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}
    return known[name]


def _least(precision: str, agreement: float) -> float:
    return 0.0 if precision == "fp32" else agreement


def _portable(side: str, config: SetupConfig) -> SetupConfig:
    """Return a set-up as a deployment's file is run: on a processor, by a runtime that the side opens."""
    runtime = config.runtime if config.runtime in RUNTIMES_OF[side] else "onnxruntime"
    kept = config.precision in offered(runtime) and config.precision in format_of(runtime).precisions
    precision = config.precision if kept else "fp32"
    changes = {"runtime": runtime, "precision": precision, "accelerator": "cpu", "device": None, "cores": None}
    return config.model_copy(update={**changes, "host": None, "latencies": None})


def _write(module: nn.Module, shape: Shape, path: Path, config: SetupConfig, calibration: Array) -> None:
    exporter = exporter_for(format_of(config.runtime), config.batch, config.precision, calibration=calibration)
    write_model(module, shape, path, exporter)


def _spanning(boundaries: Array, codec: BoundaryCodec) -> Array:
    """Return boundaries whose least and largest values are those that the codec's bytes stand for, so that an int8 file
    that is calibrated with them has its scale."""
    if codec.precision != "int8":
        return boundaries
    spanning = boundaries.copy()
    flat = spanning.reshape(len(spanning), -1)
    flat[0, 0], flat[0, -1] = codec.restored(np.array([0, 255], np.uint8))
    return spanning


def _deployed(
    path: Path, config: SetupConfig, input_shape: Shape, output_shape: Shape, preprocessing: Mapping[str, Any]
) -> DeployedFile:
    how = (config.runtime, config.precision, config.threads, config.batch)
    return DeployedFile(path, *how, tuple(input_shape), tuple(output_shape), preprocessing)
