"""Description of a file format, read before its converter is imported; and of the ends of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hwnas.errors import MissingExtra
from hwnas.registry import imported

if TYPE_CHECKING:
    from pathlib import Path

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Tensor:
    """One end of a model file. `dtype` is numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Format:
    """A format of model files. Functions are given as "module:function", which is imported on use, or as they are.

    Example:
        >>> Format("PTE", ".pte", "my_package.pte:export_pte").precisions
        ('fp32',)
    """

    title: str
    """Name for people, such as `ONNX`."""
    suffix: str
    """Suffix of its files, such as `.onnx`."""
    export: str | Callable[..., Path]
    """Function that writes a module as a file; `hwnas.export.onnx.export_onnx` has its arguments. Its module and name
    are part of the names of cached files: one that writes something else needs another name."""
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that a file can be written in."""
    tensors: str | Callable[[Path], tuple[Tensor | Sequence[Tensor], Tensor | Sequence[Tensor]]] | None = None
    """Function that reads the input and the output from a file, of several a sequence; a manifest says nothing of them
    if there is none."""
    channels_last: bool = False
    """True if the channels are the last axis of a file's inputs, and not the first after the batch."""
    module: str = ""
    """Optional module that writes it."""
    extra: str = ""
    """Extra of hwnas that `module` comes with."""
    packages: tuple[str, ...] = ()
    """Packages on PyPI whose versions a manifest records; the first one holds `module`."""

    @property
    def exporter(self) -> Callable[..., Path]:
        """Function that writes a module as a file, imported now.

        Raises:
            ConfigError: the module of an installed distribution cannot be imported.
        """
        function: Callable[..., Path] = imported(self.export, what=f"exporter of {self.title} files", where="export")
        return function

    def check_package(self, *, where: str) -> None:
        """Refuse a format whose optional module is not installed; it is not imported, which can take seconds.

        Raises:
            MissingExtra: it is not.
        """
        if not self.module or find_spec(self.module.partition(".")[0]) is not None:
            return
        package = f'"hwnas[{self.extra}]"' if self.extra else " ".join(self.packages) or self.module
        raise MissingExtra(
            f"the package `{self.module}` is not installed, which writes {self.title} files",
            where=where,
            allowed=f'It comes with the extra "{self.extra}"' if self.extra else "It is a package of its own",
            do=f"Run: pip install {package}, or leave the format out, such as by `export: {{formats: [onnx]}}`",
        )
