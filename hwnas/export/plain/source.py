"""A network as a file of Python: plain PyTorch that builds it and loads its weights, and gives the same outputs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hwnas.errors import raised
from hwnas.export.plain.forwards import calls_of
from hwnas.export.plain.layers import Uncovered
from hwnas.export.plain.tree import GROUP, TreeWriter
from hwnas.ops import Shape
from hwnas.tasks.ends import call

SAME = 1e-5
"""Largest difference of an output from the network's, as a share of the largest output, or of 1 if that is more."""

HEAD = '''"""{title}

Plain PyTorch: `load()` returns the network with the weights of `{weights}` beside this file.
It takes inputs of shape {inputs}, prepared by the steps that manifest.json lists.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


def chain(**modules):
    """Return modules that are called one after the other."""
    return nn.Sequential(OrderedDict(modules))


class Parts(nn.Module):
    """Modules by name, and tensors of its own; the classes below say what is done with them."""

    def __init__(self, tensors=None, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        for name, tensor in (tensors or {{}}).items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
'''
GROUP_CLASS = '''

class Group(Parts):
    """Modules and tensors that the block around them uses."""
'''
IMPORTS = {"torch.": "import torch", "functional.": "from torch.nn import functional"}
"""Imports that are only there where they are used, by the text that tells so."""
TAIL = '''

def build():
    """Return the network, without its weights."""
    return {expression}


def load(path=Path(__file__).with_name("{weights}")):
    """Return the network with its weights, in eval mode."""
    from safetensors.torch import load_file  # pip install safetensors

    network = build()
    network.load_state_dict(load_file(path))
    return network.eval()


if __name__ == "__main__":
    print(load())
'''


@dataclass(frozen=True)
class PlainNetwork:
    """A network as source, with its weights."""

    source: str
    state: dict[str, Tensor]


def plain_network(module: nn.Module, shape: Shape, inputs: Any, *, title: str, weights: str) -> PlainNetwork:
    """Return a network as source that was executed and compared with it.

    Args:
        module: the network; it stays as it is.
        shape: of its inputs.
        inputs: some inputs, as it takes them.
        title: first line of the file.
        weights: name of the file of weights beside it.

    Raises:
        Uncovered: it cannot be written as source, or the source would give other outputs.
    """
    module = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    bare = copy.deepcopy(module).to("meta")
    bare = bare if list(bare.children()) else nn.Sequential(bare)
    module = module if list(module.children()) else nn.Sequential(module)
    calls = calls_of(bare, shape)
    expected, why = call(module, inputs), Uncovered("")
    for join in (True, False):
        writer = TreeWriter(calls, join=join)
        expression = "\n".join(writer.expression(bare).lines(4))
        source = _source(writer, expression, title, weights, shape)
        try:
            return PlainNetwork(source, _checked(source, module, inputs, expected))
        except Uncovered as error:
            why = error
    raise why


def _source(writer: TreeWriter, expression: str, title: str, weights: str, shape: Shape) -> str:
    sizes = [tuple(getattr(one, "shape", shape)) for one in shape] if hasattr(shape[0], "shape") else [tuple(shape)]
    inputs = " and ".join(f"(N, {', '.join(map(str, size))})" for size in sizes)
    parts = [HEAD.format(title=title, weights=weights, inputs=inputs), GROUP_CLASS if writer.has_groups else ""]
    for name, body in writer.classes:
        parts.append(f"\n\nclass {name}(Parts):\n" + "\n".join(f"    {line}" for line in body.splitlines()) + "\n")
    assert all(name != GROUP for name, _ in writer.classes)
    body = "".join([*parts[1:], TAIL.format(expression=expression, weights=weights)])
    unused = [line for name, line in IMPORTS.items() if name not in body]
    return "".join([*(f"{line}\n" for line in parts[0].splitlines() if line not in unused), body])


def _checked(source: str, module: nn.Module, inputs: Any, expected: Any) -> dict[str, Tensor]:
    """Return the weights of a source, which gives the outputs that are expected."""
    names: dict[str, Any] = {"__name__": "plain", "__file__": "plain.py"}
    try:
        exec(compile(source, "plain.py", "exec"), names)  # noqa: S102  # it was written here a moment ago
        twin: nn.Module = names["build"]().eval()
        own = {
            **dict(module.named_parameters(remove_duplicate=False)),
            **dict(module.named_buffers(remove_duplicate=False)),
        }
        state = {name: own[name].detach().clone().contiguous() for name in twin.state_dict()}
        twin.load_state_dict(state)
        with torch.no_grad():
            outputs = call(twin, inputs)
    except Exception as error:  # generated code fails in any way
        raise Uncovered(f"the source does not run ({raised(error)})") from error
    if unused := own.keys() - state.keys():
        raise Uncovered(f"the source has no place for {', '.join(sorted(unused))}")
    pairs = list(zip(tree_leaves(outputs), tree_leaves(expected), strict=True))
    largest = max(1.0, *(float(wanted.abs().max()) for _, wanted in pairs))
    apart = max(float((got - wanted).abs().max()) for got, wanted in pairs)
    if not apart <= SAME * largest:
        raise Uncovered(f"the source gives outputs that differ by {apart:.3g}")
    return state
