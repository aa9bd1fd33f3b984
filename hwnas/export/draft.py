"""A model file in the making: it gets its name when it is whole."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from hwnas.errors import ConfigError, ExportError, MissingExtra, raised
from hwnas.export.disk import unwritten
from hwnas.io.atomic import part_of
from hwnas.io.quiet import suppress_stdio


@contextlib.contextmanager
def drafted(module: nn.Module, path: Path, *, to: str) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on leaving it replaces `path` at once. Meanwhile the module is in eval
    mode and without gradients, and converters' warnings, which are meant for their own developers, are dropped.

    Raises:
        DiskError: the file cannot be written, however deep below that shows.
        ConfigError, ExportError, MissingExtra: the body raises it.
        ExportError: whatever else the body raises, with the operator types of the module.
    """
    draft = part_of(path)
    modes = {child: child.training for child in module.modules()}
    module.eval()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # attention in one operation, which no converter knows
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad(), suppress_stdio(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield draft
        os.replace(draft, path)
    except (ConfigError, ExportError, MissingExtra):
        raise
    except Exception as error:  # converters raise anything
        raise unwritten(error, path) or _failed(module, path, to, error) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        for child, training in modes.items():
            child.training = training


def _failed(module: nn.Module, path: Path, to: str, cause: Exception) -> ExportError:
    kinds = sorted({type(child).__name__ for child in module.modules() if not any(child.children())})
    return ExportError(
        f"the conversion to {to} failed ({raised(cause)})",
        where=f"{path} from a module of {', '.join(kinds)}",
        allowed=f"Every operation of a module must be known to the {to} converter",
        do="Replace the operation in the operator's module(), or leave this runtime out of the experiment",
    )
