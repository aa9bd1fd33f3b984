"""A supernet is a dictionary of the largest tensors; a sub-network runs on slices of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from hwnas.errors import SpaceError
from hwnas.network import Network, build, operators_by_slot
from hwnas.ops import Operator
from hwnas.ops.operator import new_module
from hwnas.space import AnySpace
from hwnas.supernet.slicing.joint_bias import joint, third_of
from hwnas.supernet.slicing.kernel_transform import (
    Size,
    center_crop,
    is_kernel,
    kernel_sizes,
    steps_to,
    transform_matrices,
    transformed,
)
from hwnas.tasks.ends import Tensors, call

TEMPLATES = 4096
"""Most modules without weights that are kept for the next step that needs them; then all are dropped."""
Steps = tuple[tuple[str, Size], ...]


@final
class Supernet(nn.Module):
    """Shared weights of a space: `supernet(inputs, network)` runs any of its networks.

    Parameters are named `slot/operator/parameter`, dots written as slashes, so optimizers, DDP, EMA and `state_dict`
    work as on any module. The architecture is an argument; there is no active sub-network. Normalisation statistics
    are not shared: in training mode a batch's own are used, in eval mode the untouched initial ones; `extract` and
    recalibration make a network with its own statistics.

    Args:
        space: the space whose networks are to be run.
        seed: seed of the initial weights; the global generator is left as it was.
        kernel_transform: whether a smaller kernel is a learned map of the larger one's centre, not the centre itself.
        joint_bias: whether queries, keys and values of attention share one vector of biases, as in AutoFormer.
    """

    def __init__(
        self, space: AnySpace, *, seed: int = 0, kernel_transform: bool = False, joint_bias: bool = False
    ) -> None:
        super().__init__()
        self.space_name = space.name
        self.kernel_transform = kernel_transform
        self.joint_bias = joint_bias
        self._kernels: dict[str, tuple[Size, ...]] = {}
        self._templates: dict[tuple[str, Operator], _Template] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for scope, operators in _by_scope(space).items():
                for name, value in _largest(scope, operators):
                    self.register_parameter(name, nn.Parameter(joint(name, value) if joint_bias else value))
                if kernel_transform:
                    self._kernels |= _elastic_kernels(scope, operators)
        for key, sizes in self._kernels.items():
            for name, value in transform_matrices(key, sizes):
                self.register_parameter(name, nn.Parameter(value))

    def forward(self, inputs: Tensors, network: Network, *, dropout: bool = True) -> Tensors:
        """Return the outputs of one network; in training mode, without dropout if `dropout` is False.

        Shape:
            inputs: (N, ...), which the task fits to the network's input: images are resized;
            output: (N, ...), of a classification (N, classes). Several inputs or outputs are a tuple.
        """
        x: Tensors = network.task.fitted(inputs, network.input_shape)
        for slot, operator in zip(network.slots, network.operators, strict=True):
            x = self._template(slot, operator).run(self._parameters, x, training=self.training, dropout=dropout)
        return x

    def extract(self, network: Network) -> nn.Sequential:
        """Return a stand-alone module of the network with copies of its slices on their device, statistics initial."""
        with torch.random.fork_rng(devices=[]):
            module = build(network)
        state = module.state_dict()
        for slot, operator in zip(network.slots, network.operators, strict=True):
            for name, value in self._template(slot, operator).slices(self._parameters).items():
                state[f"{slot}.{name}"] = value.detach().clone()
        module.load_state_dict(state)
        first = next(self.parameters(), None)  # there is none if no operator learns
        return module if first is None else module.to(first.device)

    def names_of(self, network: Network) -> frozenset[str]:
        """Return the parameters that a network uses, whole or in part."""
        links = zip(network.slots, network.operators, strict=True)
        return frozenset(name for slot, operator in links for name in self._template(slot, operator).names)

    def _template(self, slot: str, operator: Operator) -> _Template:
        template = self._templates.get((slot, operator))
        if template is None:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            template = self._templates[slot, operator] = _Template(
                slot, operator, self._parameters, self._kernels, self.joint_bias
            )
        return template

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_templates": {}}


class _Wire(NamedTuple):
    """A parameter of a module, and which part of the shared weights it is."""

    parameters: dict[str, Any]
    """Of the module that holds it."""
    name: str
    """In these."""
    full: str
    """In the operator's module."""
    key: str
    """Of the shared weights."""
    size: Size
    steps: Steps
    """Matrices that a smaller kernel goes through."""
    third: int
    """Part of a vector that three share; 0 if it is a weight of its own."""
    kept: Mapping[int, Tensor]
    """Indices by axis, where these are not the leading ones."""


class _Template:
    """One operator's module without its own weights: slices are wired in for the duration of a call.

    Wiring by hand instead of `torch.func.functional_call` halves the overhead of a step on small networks.
    """

    def __init__(
        self,
        slot: str,
        operator: Operator,
        weights: Mapping[str, Tensor | None],
        kernels: Mapping[str, tuple[Size, ...]],
        joint_bias: bool,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            self.module = new_module(operator)
        self._leading = operator.leading_axes
        self._wires: list[_Wire] = []
        kept = operator.cut_indices()
        named: dict[int, str] = {}  # a tied parameter goes by the first of its names
        for prefix, child in self.module.named_modules():
            for name, value in child._parameters.items():
                if value is not None:
                    full = f"{prefix}.{name}" if prefix else name
                    key, size = key_of(operator.scope(slot), named.setdefault(id(value), full)), tuple(value.shape)
                    _check_fits(key, size, weights, operator)
                    steps = steps_to(key, kernels[key], size) if key in kernels else ()
                    third = third_of(key) if joint_bias else 0
                    wire = _Wire(child._parameters, name, full, key, size, steps, third, kept.get(full, {}))
                    self._wires.append(wire)
            if isinstance(child, _BatchNorm):
                child.track_running_stats = False  # statistics stay as they are: a template is shared by all steps
        self._dropouts = [child for child in self.module.modules() if isinstance(child, _DropoutNd)]
        self._mode = True, True  # of a new module
        self._unwire()
        self._device = torch.device("cpu")

    @property
    def names(self) -> set[str]:
        """The shared parameters that it uses."""
        return {name for wire in self._wires for name in (wire.key, *(matrix for matrix, _ in wire.steps))}

    def run(self, weights: Mapping[str, Tensor | None], x: Tensors, *, training: bool, dropout: bool) -> Tensors:
        if self._mode != (training, dropout):
            self.module.train(training)
            for child in self._dropouts:
                child.train(training and dropout)
            self._mode = training, dropout
        device = (x[0] if isinstance(x, tuple) else x).device
        if device != self._device:
            self.module.to(device)  # buffers alone: no parameter is wired in
            self._device = device
        try:
            for wire in self._wires:
                wire.parameters[wire.name] = _slice(weights, wire, self._leading)
            out = call(self.module, x)
        finally:
            self._unwire()
        return out

    def slices(self, weights: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        return {wire.full: _slice(weights, wire, self._leading) for wire in self._wires}

    def _unwire(self) -> None:
        for wire in self._wires:
            wire.parameters[wire.name] = None


def _slice(weights: Mapping[str, Tensor | None], wire: _Wire, leading: int) -> Tensor:
    value = weights[wire.key]
    assert value is not None
    if wire.third:
        return value[wire.third * wire.size[0] : (wire.third + 1) * wire.size[0]]
    if wire.kept and value.shape != wire.size:
        for axis, indices in wire.kept.items():
            value = value.index_select(axis, indices.to(value.device))
        return value
    if wire.steps:
        return transformed(value, wire.size, wire.steps, weights)
    return value if value.shape == wire.size else center_crop(value, wire.size, leading)


def _check_fits(key: str, size: Size, weights: Mapping[str, Tensor | None], operator: Operator) -> None:
    stored = weights.get(key)
    if stored is None or stored.ndim != len(size) or any(p > w for p, w in zip(size, stored.shape, strict=True)):
        raise SpaceError(
            f"the supernet holds no weights `{key}` of size {size}",
            where=operator.describe(),
            allowed="It runs the networks of the space it was made for",
            do="Use a network of that space",
        )


def key_of(scope: str, parameter: str) -> str:
    """Return the name of a shared parameter."""
    return f"{scope}/{parameter.replace('.', '/')}"


def _by_scope(space: AnySpace) -> dict[str, list[Operator]]:
    """Return the operators of a space whose parameters of one name are slices of one tensor.

    Equal ones stand there several times if they come from several slots: their parameters may be named by the slot.
    """
    by_scope: dict[str, list[Operator]] = {}
    for slot, links in operators_by_slot(space).items():
        kinds: dict[type[Operator], dict[Operator, None]] = {}
        for operator, _ in links:
            kinds.setdefault(type(operator), {})[operator] = None
        for operator in (one for kind, operators in kinds.items() for one in kind.holders(tuple(operators))):
            by_scope.setdefault(operator.scope(slot), []).append(operator)
    return by_scope


def _largest(scope: str, operators: Iterable[Operator]) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter's largest tensor over the operators of one scope, initialised as an operator initialises it.

    Where no operator holds the whole tensor (one is longer along one axis, another along another), it is filled from
    the smaller operators to the larger ones, so that every slice in use is initialised.
    """
    forms = [(operator, _sizes(scope, operator)) for operator in operators]
    forms.sort(key=lambda form: sum(math.prod(size) for size in form[1].values()))
    initial: dict[int, dict[str, Tensor]] = {}
    for key in {key: None for _, sizes in forms for key in sizes}:
        sizes_by_form = {index: sizes[key] for index, (_, sizes) in enumerate(forms) if key in sizes}
        if len({len(size) for size in sizes_by_form.values()}) > 1:
            raise SpaceError(
                f"shared parameter `{key}` has different numbers of axes",
                where=f"weights of `{scope}`",
                allowed="Parameters of one name are slices of one tensor",
                do="Give the forms different parameter names",
            )
        largest = tuple(map(max, zip(*sizes_by_form.values(), strict=True)))
        whole = [index for index, size in sizes_by_form.items() if size == largest]
        value = torch.zeros(largest)
        for index in whole[-1:] or sizes_by_form:
            if index not in initial:
                initial[index] = {
                    key_of(scope, n): p.detach() for n, p in new_module(forms[index][0]).named_parameters()
                }
            leading = forms[index][0].leading_axes
            center_crop(value, sizes_by_form[index], leading).copy_(initial[index][key])
        yield key, value


def _sizes(scope: str, operator: Operator) -> dict[str, Size]:
    with torch.device("meta"):
        return {key_of(scope, name): tuple(p.shape) for name, p in new_module(operator).named_parameters()}


def _elastic_kernels(scope: str, operators: Iterable[Operator]) -> dict[str, tuple[Size, ...]]:
    """Return the spatial sizes, largest first, of the scope's convolution kernels that occur in several sizes."""
    sizes_by_key: dict[str, list[Size]] = {}
    for operator in operators:
        with torch.device("meta"):
            module = new_module(operator)
        for prefix, child in module.named_modules():
            for name, value in child.named_parameters(recurse=False):
                if is_kernel(child, name):
                    key = key_of(scope, f"{prefix}.{name}" if prefix else name)
                    sizes_by_key.setdefault(key, []).append(tuple(value.shape))
    chains = {key: kernel_sizes(key, sizes) for key, sizes in sizes_by_key.items()}
    return {key: sizes for key, sizes in chains.items() if len(sizes) > 1}
