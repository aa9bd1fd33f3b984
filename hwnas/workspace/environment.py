"""Software and machine that results come from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from hwnas import __version__
from hwnas.export import FORMATS
from hwnas.registry import installed_members
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.setup import cpu_name

PACKAGES = ("torch", "numpy", "optuna", "moocore", "scikit-learn")
"""Packages that results depend on, beside those of formats and runtimes."""


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that results depend on, and of distributions that add members."""
    result = {"hwnas": __version__, "python": platform.python_version()}
    used = [*FORMATS.own.values(), *RUNTIMES.own.values()]
    own = (package for spec in used for package in spec.packages)
    adding = (point.dist.name for point in installed_members() if point.dist is not None)
    for package in dict.fromkeys((*PACKAGES, *own, *adding)):
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            continue
    return result


def machine() -> Mapping[str, str]:
    """Return a description of this machine."""
    return {
        "processor": cpu_name(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
