"""Search spaces: what is open, how it is decided, how many architectures that makes. No torch in here."""

from hwnas.space.architecture import Architecture, Choice, Suggest, Value
from hwnas.space.function import FunctionSpace
from hwnas.space.reader import parse_space, read_space
from hwnas.space.space import Space
from hwnas.space.stage import Block, Knob, Layer, Stage

AnySpace = Space | FunctionSpace

__all__ = [
    "AnySpace",
    "Architecture",
    "Block",
    "Choice",
    "FunctionSpace",
    "Knob",
    "Layer",
    "Space",
    "Stage",
    "Suggest",
    "Value",
    "parse_space",
    "read_space",
]
