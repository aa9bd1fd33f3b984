"""The checks: each takes a case and raises `Broken` with the problem, or `NotRun` with the reason it could not run."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwnas.errors import MissingExtra
from hwnas.export import FORMATS, format_of
from hwnas.measure.table import row_key, row_line
from hwnas.measure.table_lines import TRAINING_ONLY
from hwnas.network import lower
from hwnas.ops import Operator, Shape
from hwnas.ops.costs import operator_costs
from hwnas.ops.make import operator_of
from hwnas.ops.plugins import fault_of
from hwnas.runtimes import RUNTIMES, open_runtime
from hwnas.space import FunctionSpace
from hwnas.supernet import Supernet
from hwnas.testing.case import Case

Check = Callable[[Case], None]
CHECK_BATCH = 3
CLOSE = 1e-4
"""Largest difference of files and slices, relative to the largest output."""


class Broken(AssertionError):
    """The operator breaks the contract."""


class NotRun(Exception):
    """The check could not be made here."""


def fact(case: Case) -> None:
    """Declared as a frozen dataclass; equal knobs make equal operators with equal hashes."""
    if fault := fault_of(case.kind):
        raise Broken(f"`{case.kind.__name__}` {fault}")
    for operator in case.operators:
        twin = dataclasses.replace(operator)
        _hold(
            twin == operator and hash(twin) == hash(operator), operator, "an equal one is unequal or hashes unlike it"
        )
        with contextlib.suppress(ValueError):  # it may refuse to be so wide, with other knobs as they are
            wider = {"in_channels": 2 * operator.in_channels, "out_channels": 2 * operator.out_channels}
            _hold(dataclasses.replace(operator, **wider) != operator, operator, "a wider one is equal")
        try:
            operator.in_channels = 1  # type: ignore[misc]
        except dataclasses.FrozenInstanceError:
            continue
        raise Broken(f"{operator.describe()}: a field can be set")


def new_modules(case: Case) -> None:
    """Each call of `module()` gives a new module, with the same weights under the same seed."""
    for operator in case.operators:
        one, other = seeded(operator), seeded(operator)
        common = {id(part) for part in one.modules()} & {id(part) for part in other.modules()}
        _hold(not common, operator, "two calls of `module()` share a module")
        _hold(
            not {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}, operator, "they share weights"
        )
        _hold(str(one) == str(other), operator, "two calls of `module()` give unlike modules")
        state = other.state_dict()
        for name, value in one.state_dict().items():
            same = name in state and torch.equal(value, state[name])
            _hold(same, operator, f"under one seed, `{name}` is initialised in two ways")


def names(case: Case) -> None:
    """Names of weights do not depend on sizes; weights of one name have the same axes, no larger in a smaller one."""
    largest, *rest = [seeded(operator).state_dict() for operator in case.operators]
    for operator, state in zip(case.operators[1:], rest, strict=True):
        unlike = sorted(state.keys() ^ largest.keys())
        _hold(not unlike, operator, f"`{', '.join(unlike[:1])}` is a weight at one size and not at another")
        for name, value in state.items():
            axes = value.ndim == largest[name].ndim
            _hold(axes, operator, f"`{name}` has {value.ndim} axes, and {largest[name].ndim} in a larger operator")
            fits = all(part <= whole for part, whole in zip(value.shape, largest[name].shape, strict=True))
            _hold(fits, operator, f"`{name}` is {tuple(value.shape)}, no part of {tuple(largest[name].shape)}")
    alike = _as_wide_as_its_output(case.operators[0])  # a slot whose width is open holds both
    for name in largest.keys() & alike.keys():
        one, other = largest[name].ndim, alike[name].ndim
        _hold(one == other, case.operators[0], f"`{name}` has {one} axes, and {other} where it keeps the width")


def output(case: Case) -> None:
    """It runs on the CPU, in training as well, and gives what was derived; images of a batch do not meet."""
    for operator, shape in case.links:
        images, module = _images(shape), trained(operator)
        with torch.no_grad():
            module.train()(images)
            module.eval()
            result = module(images)
            again, alone = module(images), module(images[:1])
        derived = (CHECK_BATCH, *operator_costs(operator, shape).output_shape)
        _hold(tuple(result.shape) == derived, operator, f"it gives {tuple(result.shape)}, derived was {derived}")
        _hold(result.shape[1] == operator.out_channels, operator, f"it gives {result.shape[1]} channels")
        kept = not operator.keeps_shape or result.shape[1:] == shape
        _hold(kept, operator, f"it says that it keeps the shape {shape}, and gives {tuple(result.shape[1:])}")
        _hold(bool(result.isfinite().all()), operator, "it gives what is not finite")
        _hold(torch.equal(result, again), operator, "in eval mode, two calls differ")
        _hold(_close(result[:1], alone), operator, "in eval mode, an image's output depends on the rest of its batch")


def derived_costs(case: Case) -> None:
    """Parameters and MACs as derived on `meta` are those of the built module; activations hold input and output."""
    for operator, shape in case.links:
        costs, module = operator_costs(operator, shape), seeded(operator).eval()
        params = sum(parameter.numel() for parameter in module.parameters())
        _hold(costs.params == params, operator, f"it has {params} parameters, derived were {costs.params}")
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            module(_images(shape)[:1])
        macs = flops.get_total_flops() // 2
        _hold(costs.macs == macs, operator, f"it takes {macs} MACs, derived were {costs.macs}")
        least = 4 * max(torch.Size(shape).numel(), torch.Size(costs.output_shape).numel())
        _hold(costs.activation_bytes >= least, operator, f"{costs.activation_bytes} bytes of activations are too few")


def slices(case: Case) -> None:
    """A smaller operator on slices of the largest weights is the extracted one, in eval mode and in training."""
    chains = {number: {"only": operator} for number, operator in enumerate(case.operators)}

    def build(choose: Callable[[str, list[int]], int]) -> tuple[Shape, dict[str, Operator]]:
        number = choose("operator", list(chains))
        return case.links[number][1], chains[number]

    space = FunctionSpace(case.kind.__name__.lower(), build)
    supernet = Supernet(space)
    shake(supernet)
    for architecture in space.enumerate():
        network = lower(space, architecture)
        images, operator = _images(network.input_shape), network.operators[0]
        for training in (False, True):
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(1)
                shared = supernet.train(training)(images, network)
                torch.manual_seed(2)  # what is not shared must not matter, so it begins elsewhere
                module = supernet.extract(network).train(training)
                torch.manual_seed(1)
                extracted = module(images)
            mode = "training" if training else "eval"
            _hold(_close(shared, extracted), operator, f"its slice and the extracted one differ in {mode} mode")


def gradients(case: Case) -> None:
    """Every parameter takes part in the output."""
    for operator, shape in case.links:
        module = seeded(operator).train()
        if next(module.parameters(), None) is None:
            continue
        module(_images(shape)).square().sum().backward()
        idle = [name for name, value in module.named_parameters() if value.grad is None]
        _hold(not idle, operator, f"`{', '.join(idle[:1])}` takes no part in the output")


def file(case: Case, *, runtime: str) -> None:
    """The runtime's file, run there, gives what PyTorch gives."""
    operator, shape = case.links[0]
    module, images = trained(operator).eval(), _images(shape)
    with torch.no_grad():
        expected = module(images)
    with tempfile.TemporaryDirectory(prefix="hwnas-test-") as folder:
        try:
            opened = open_runtime(runtime)
            format = format_of(runtime)
            loaded = opened.load(format.exporter(module, shape, Path(folder) / f"model{format.suffix}"))
        except MissingExtra as error:
            raise NotRun(f"{error.met}; {error.do}") from error
        result = torch.from_numpy(loaded.run(images.numpy()))
    same = result.shape == expected.shape and _close(result, expected)
    off = f" by {(result - expected).abs().max():.2g}" if result.shape == expected.shape else ""
    _hold(same, operator, f"the file and PyTorch differ{off}")


def row(case: Case) -> None:
    """The row of a latency table makes the operator again, and unlike operators have unlike rows."""
    keys = set()
    for operator, shape in case.links:
        line = json.loads(json.dumps(row_line(operator, shape)))
        again = operator_of(case.kind, line["knobs"], where="a row")
        _hold(line["op"] == again.kind, operator, f"its row is of `{line['op']}`")
        rebuilt = {name: value for name, value in again.knobs.items() if name not in TRAINING_ONLY}
        meant = {name: value for name, value in operator.knobs.items() if name not in TRAINING_ONLY}
        _hold(rebuilt == meant, operator, f"its row makes {again.describe()}")
        keys.add(row_key(operator, shape))
    if len(keys) < len(set(case.operators)):
        raise Broken("unlike operators have the same row")


def pickles(case: Case) -> None:
    """Another process can make it, as those that export model files do."""
    for operator in case.operators:
        _hold(copy.deepcopy(operator) == operator, operator, "a copy is unequal")
        _hold(pickle.loads(pickle.dumps(operator)) == operator, operator, "its pickle is unequal")  # noqa: S301 - our own
    if case.kind.__module__.startswith("hwnas."):
        return  # what can be imported here can be imported there
    operator = case.operators[0]
    code = (
        f"import pickle, sys; sys.path[:] = {[p or '.' for p in sys.path]!r}; "
        "print(sum(p.numel() for p in pickle.load(sys.stdin.buffer)().parameters()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(operator.module), capture_output=True, check=False
    )
    stderr_tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
    _hold(done.returncode == 0, operator, f"another process cannot make it: {stderr_tail[0]}")
    _hold(
        int(done.stdout) == sum(p.numel() for p in operator.module().parameters()), operator, "it is another one there"
    )


CHECKS: Mapping[str, Check] = {  # what is claimed -> what looks
    "it is a frozen dataclass, equal and hashed by its knobs": fact,
    "`module()` gives a new module, the same under one seed": new_modules,
    "names and axes of weights do not depend on sizes": names,
    "it runs and gives the derived shape, image by image": output,
    "derived costs are those of the built module": derived_costs,
    "a slice of the largest weights is the extracted operator": slices,
    "every weight takes part in the output": gradients,
    **{
        f"its {FORMATS.own[spec.formats[0]].title} file gives what PyTorch gives": partial(file, runtime=name)
        for name, spec in RUNTIMES.own.items()
        if spec.requirement is not None  # PyTorch itself is what the others are compared with
    },
    "its row in a latency table makes it again": row,
    "other processes can make it": pickles,
}


def seeded(operator: Operator) -> nn.Module:
    """Return a new module with the weights of one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = operator.module()
    _hold(isinstance(module, nn.Module), operator, f"`module()` gives {type(module).__name__}, no torch.nn.Module")
    return module


def trained(operator: Operator) -> nn.Module:
    """Return a module that looks trained: no weight is at its start, and normalisation has statistics that matter."""
    module = seeded(operator)
    shake(module)
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.running_mean is not None:
                generator = torch.Generator().manual_seed(2)
                child.running_mean.copy_(0.3 * torch.randn(child.num_features, generator=generator))
                assert child.running_var is not None
                child.running_var.copy_(0.5 + torch.rand(child.num_features, generator=generator))
    return module


def shake(module: nn.Module) -> None:
    """Add noise to vectors, such as biases and weights of norms, so that channels can be told apart."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            if value.ndim == 1:
                value.add_(0.3 * torch.randn(value.shape, generator=generator))


def _as_wide_as_its_output(operator: Operator) -> Mapping[str, Tensor]:
    """Return the weights of an operator whose input is as wide as its output; none where it refuses to be so."""
    try:
        return dataclasses.replace(operator, in_channels=operator.out_channels).module().state_dict()
    except Exception:  # a user's operator may raise anything
        return {}


def _images(shape: Shape) -> Tensor:
    return torch.randn(CHECK_BATCH, *shape, generator=torch.Generator().manual_seed(3))


def _close(one: Tensor, other: Tensor) -> bool:
    scale = max(1.0, float(other.abs().max()))
    return bool(((one - other).abs() <= CLOSE * scale).all())


def _hold(true: bool, operator: Operator, otherwise: str) -> None:
    if not true:
        raise Broken(f"{operator.describe()}: {otherwise}")
