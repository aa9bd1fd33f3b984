"""Answers of a run's networks to samples that no search saw: whole, cut, and to inputs that were compressed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.collaborate.cascades import Answers, Parts, split_held_out
from hwnas.collaborate.codecs import TIMED_SAMPLES, BoundaryCodec, InputCodec, Precision, encode_ms
from hwnas.collaborate.halves import split_module
from hwnas.errors import ConfigError
from hwnas.network import Network
from hwnas.problem.accuracy import accuracy_context
from hwnas.problem.plans.sides import Side
from hwnas.space import Architecture
from hwnas.tasks import Batch
from hwnas.workspace.results.bundles import open_bundle
from hwnas.workspace.training.supernets import Trained
from hwnas.workspace.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.accuracy.inherited import InheritedAccuracy

Array = NDArray[Any]

MOST_SAMPLES = 4000
"""Most validation samples, and most test samples, that networks answer."""
BATCH = 256
SIZED_SAMPLES = 32
"""Samples whose packed boundaries are measured at every cut."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers with the sizes of what was sent for them.

    Args:
        answers: to all samples.
        sent_bytes: content of requests, before the protocol's own bytes.
        encode_ms: time of encoding one on this machine.
    """

    answers: Answers
    sent_bytes: Array
    encode_ms: float


@dataclass(frozen=True, eq=False)
class CodedInputs:
    """Inputs as a codec leaves them.

    Args:
        sizes: content of the judging samples' requests, in bytes.
        encode_ms: time of encoding one on this machine.
        seen: all inputs as the cloud sees them; None if it sees the very inputs.
    """

    sizes: Array
    encode_ms: float
    seen: Array | None


class HeldOutSamples:
    """Samples of a run: validation samples, which its search saw, then test samples, which it did not.

    What networks answer is kept in the run's folder, by what they were made of.
    """

    def __init__(self, run: Workspace, trained: Trained, count: int) -> None:
        self.run, self._trained = run, trained
        setting, held_out = (split.first(count) for split in (run.dataset.validation, run.dataset.test))
        self._splits = (setting, held_out)
        self.parts: Parts = split_held_out(len(setting), len(held_out), run.experiment.seed)
        self._folder = run.folder / "plans" / "answers"
        self._modules: dict[str, nn.Module] = {}
        self._coded_by: dict[InputCodec, CodedInputs] = {}
        self._ranges_of: dict[str, list[tuple[float, float]]] = {}
        self._answered: dict[tuple[str, str], Answers] = {}

    @cached_property
    def _scored(self) -> InheritedAccuracy:
        from hwnas.accuracy.inherited import inherited

        return inherited(accuracy_context(self.run, self._trained))

    @cached_property
    def raw(self) -> Tensor:
        """All inputs as they are stored: bytes, or numbers."""
        import torch

        return torch.cat([split.inputs.take(split.indices) for split in self._splits])

    @property
    def raw_dtype(self) -> str:
        """numpy's name of their type."""
        return str(self.raw.numpy().dtype)

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of one of them."""
        return tuple(self.raw.shape[1:])

    @cached_property
    def _targets(self) -> Tensor:
        import torch

        return torch.cat([split.targets for split in self._splits])

    def whole(self, side: Side, architecture: Architecture) -> Answers:
        """Return the answers of a network of a side: of its exported file, where there is one, else of PyTorch."""
        of_side = side.tier, architecture.key
        if of_side not in self._answered:
            self._answered[of_side] = self._asked(side, architecture)
        return self._answered[of_side]

    def _asked(self, side: Side, architecture: Architecture) -> Answers:
        network = self.run.network(architecture)
        file = exported_file(side, architecture.key)
        if file is not None:
            path, digest = file
            origin = f"{path.name}, run on this machine"
            outputs = self._kept(f"{architecture.key}-{digest}", lambda: self._run_file(side, path, network))
        else:
            precision = side.setup.precision
            other = (
                "" if precision == "fp32" else f"; the set-up computes in {precision}, and no file of it is exported"
            )
            origin = f"PyTorch in fp32{other}"
            name = f"{architecture.key}-{self.digest(side)}"
            outputs = self._kept(name, lambda: self._whole(side, architecture, self.inputs))
        return self.judged(network, outputs, origin)

    def compressed(self, side: Side, architecture: Architecture, codec: InputCodec) -> Answers:
        """Return the answers of a network to inputs as a codec that loses something leaves them."""
        import torch

        name, seen = f"{architecture.key}-{self.digest(side)}-{codec.name}", self.coded(codec).seen
        assert seen is not None

        def answer() -> Array:
            return self._whole(side, architecture, self._splits[0].normalised(torch.tensor(seen)))

        outputs = self._kept(name, answer)
        origin = f"PyTorch in fp32, on decoded images ({codec.name})"
        return self.judged(self.run.network(architecture), outputs, origin)

    def coded(self, codec: InputCodec) -> CodedInputs:
        """Return the inputs as a codec leaves them; each is encoded once for all networks."""
        if codec not in self._coded_by:
            samples, judging = self.raw.numpy(), self.parts.judging
            timed = encode_ms(codec, list(samples[:TIMED_SAMPLES]))
            rows = judging if codec.is_lossless else np.arange(len(samples))
            coded = {int(row): codec.encode(samples[row]) for row in rows}
            sizes = np.array([len(coded[int(row)]) for row in judging])
            seen = None
            if not codec.is_lossless:
                seen = np.stack(
                    [codec.decode(coded[row], self.raw_shape, self.raw_dtype) for row in range(len(samples))]
                )
            self._coded_by[codec] = CodedInputs(sizes, timed, seen)
        return self._coded_by[codec]

    def fitted_codec(self, side: Side, architecture: Architecture, cut: int, codec: BoundaryCodec) -> BoundaryCodec:
        """Return the codec of a boundary, whose bytes span what training inputs gave there."""
        if codec.precision != "int8":
            return codec
        low, high = self._ranges(side, architecture)[cut]
        return replace(codec, low=low, high=high)

    def cut(self, side: Side, architecture: Architecture, cut: int, codec: BoundaryCodec) -> Judged:
        """Return the answers of a network that is cut after an operator, and the sizes of its boundary."""
        import torch

        network = self.run.network(architecture)
        head, tail = split_module(self.module(side, architecture), cut)

        def answer() -> Array:
            outputs = []
            with torch.no_grad():
                for some in torch.split(self.inputs, BATCH):
                    boundary = head(self.fitted(network, some)).numpy()
                    seen = codec.restored(codec.rounded(boundary))
                    outputs.append(tail(torch.from_numpy(seen)).numpy())
            return np.concatenate(outputs)

        with torch.no_grad():
            first = self.fitted(network, self.inputs[self.parts.judging[:SIZED_SAMPLES]])
            boundaries = list(head(first).numpy())
        sizes = np.array([len(codec.encode(one)) for one in (boundaries if codec.packed else boundaries[:1])])
        outputs = self._kept(f"{architecture.key}-{self.digest(side)}-after-{cut}-{codec.precision}", answer)
        origin = f"PyTorch in fp32, cut after operator {cut} with the boundary in {codec.precision}"
        return Judged(self.judged(network, outputs, origin), sizes, encode_ms(codec, boundaries))

    def packed_bytes(self, side: Side, architecture: Architecture, precision: Precision) -> list[float]:
        """Return the mean packed size of every boundary, from cut 0 on, over some samples."""
        sizes = []
        for cut, boundary in enumerate(
            self.boundaries(side, architecture, self.inputs[self.parts.judging[:SIZED_SAMPLES]])
        ):
            codec = self.fitted_codec(side, architecture, cut, BoundaryCodec(precision, True))
            sizes.append(float(np.mean([len(codec.encode(one)) for one in boundary.numpy()])))
        return sizes

    def _ranges(self, side: Side, architecture: Architecture) -> list[tuple[float, float]]:
        """Return the least and the largest value at every cut over training inputs."""
        import torch

        key = f"{architecture.key}-{self.digest(side)}"
        if key not in self._ranges_of:
            boundaries = self.boundaries(side, architecture, torch.cat(self._scored.calibration)[:BATCH])
            self._ranges_of[key] = [(float(boundary.min()), float(boundary.max())) for boundary in boundaries]
        return self._ranges_of[key]

    def boundaries(self, side: Side, architecture: Architecture, inputs: Tensor) -> Iterator[Tensor]:
        """Yield what leaves each operator, from cut 0, the input as the network takes it, on."""
        import torch

        boundary = self.fitted(self.run.network(architecture), inputs)
        yield boundary
        for child in self.module(side, architecture).children():
            with torch.no_grad():
                boundary = child(boundary)
            yield boundary

    # --- networks ---

    def module(self, side: Side, architecture: Architecture) -> nn.Module:
        key = f"{architecture.key}-{self.digest(side)}"
        if key not in self._modules:
            from hwnas.supernet.weights_file import load_module

            network, weights = self.run.network(architecture), side.front.weights(self.run, architecture)
            module = load_module(weights, network) if weights is not None else self._scored.settled(network)
            self._modules[key] = module.cpu().eval()
        return self._modules[key]

    def _whole(self, side: Side, architecture: Architecture, inputs: Tensor) -> Array:
        from hwnas.export.bundle import outputs_of

        network = self.run.network(architecture)
        outputs: Array = outputs_of(self.module(side, architecture), self.fitted(network, inputs).numpy())
        return outputs

    def _run_file(self, side: Side, path: Path, network: Network) -> Array:
        """Return what a file answers, in the unit in which the module that it was made of does."""
        import torch

        from hwnas.workspace.measuring.setups import runtime_of

        config = self.run.experiment.setups[self.run.experiment.tiers[side.tier].setup]
        outputs = np.asarray(runtime_of(config).load(path).run(self.fitted(network, self.inputs).numpy()))
        own: Array = self._splits[0].fit(network.task).from_unit(torch.from_numpy(outputs)).numpy()
        return own

    def digest(self, side: Side) -> str:
        made_of = side.front.producer or self._scored.producer
        return hashlib.sha256(made_of.encode()).hexdigest()[:12]

    # --- samples ---

    @cached_property
    def inputs(self) -> Tensor:
        import torch

        return torch.cat([split.every() for split in self._splits])

    def fitted(self, network: Network, inputs: Tensor) -> Tensor:
        fitted: Tensor = network.task.fitted(inputs, network.input_shape)
        return fitted

    # --- answers ---

    def judged(self, network: Network, outputs: Array, origin: str) -> Answers:
        import torch

        task, rows = self._splits[0].fit(network.task), self.parts.setting
        batch = Batch(self.inputs, self._targets)
        scores = task.sample_scores(task.to_unit(torch.from_numpy(outputs)), batch)
        temperature = task.fitted_temperature(outputs[rows], self._targets.numpy()[rows])
        return Answers(scores, task.deferral_scores(outputs, temperature), origin, temperature)

    def _kept(self, name: str, compute: Callable[[], Array]) -> Array:
        """Return outputs that are stored under a name, computed where they are not, or are damaged."""
        import torch

        from hwnas.supernet.torch_file import DamagedFile, read_torch, write_torch

        path = self._folder / f"{name}-{self._samples_digest}.answers"
        with suppress(OSError, DamagedFile):
            stored: Array = read_torch(path).numpy()
            return stored
        outputs = compute()
        with suppress(OSError, RuntimeError):
            write_torch(path, torch.from_numpy(outputs))
        return outputs

    @cached_property
    def _samples_digest(self) -> str:
        seen = hashlib.sha256(self.run.dataset.name.encode())
        seen.update(self.raw.numpy().tobytes())
        seen.update(self._targets.numpy().tobytes())
        return seen.hexdigest()[:12]


def held_out_samples(
    run: Workspace, sides: Sequence[Side], count: int, trained: Trained | None
) -> HeldOutSamples | str:
    """Return the held-out samples with the run's weights; why there are none, where networks cannot be judged on
    samples."""
    from hwnas.data.source import Several

    if run.experiment.data is None:
        return "the run has no data: accuracies are those of its search, and nothing is judged on samples"
    if isinstance(run.dataset.train.inputs, Several):
        return "samples have several inputs: accuracies are those of the search, and nothing is judged on samples"
    if trained is None:
        return "the run has no weights: accuracies are those of its search, and nothing is judged on samples"
    samples = HeldOutSamples(run, trained, count)
    try:
        for side in sides:
            for point in side.points.values():
                samples.whole(side, point.architecture)
    except ConfigError as error:
        return f"accuracies are those of the search: {error.met}"
    return samples


def exported_file(side: Side, key: str) -> tuple[Path, str] | None:
    """Return the file of a network that the tier's own runtime runs here, and twelve digits of its digest; None if none
    was exported or it is damaged."""
    config = side.run.experiment.setups[side.run.experiment.tiers[side.tier].setup]
    bundle = open_bundle(side.front.folder)
    if config.host or bundle.manifest is None:
        return None
    for model in bundle.models:
        for file in model.files if model.key == key else ():
            if bundle.is_own(file) and file.name not in bundle.wrong:
                return side.front.folder / file.name, file.sha256[:12]
    return None
