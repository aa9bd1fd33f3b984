"""Requirements of a kit on a board: Python, numpy and one runtime, and the pip command for what is missing. Board side:
Python 3.9 syntax, no numpy."""

from __future__ import annotations

import importlib
import os
import platform
import shlex
import sys
import sysconfig
from collections.abc import Iterable

from hwnas.errors import MissingExtra, raised
from hwnas.runtimes import Requirement, runtime_spec

LITERT_FROM = (3, 10)
"""Oldest Python that ai-edge-litert is published for."""


def check_requirements(runtime: str) -> None:
    """Import what the runtime needs.

    Raises:
        MissingExtra: something is not there, or does not load; it names the pip command.
    """
    need, failure = runtime_spec(runtime).requirement or Requirement((), ()), _loaded(["numpy"])
    if failure:
        packages = _pip(need)
        more = () if any(package.startswith("numpy") for package in packages) else ("numpy",)
        raise _missing("numpy", failure, (*more, *packages))
    if failures := _loaded(need.modules):
        names = " or ".join(module.split(".")[0] for module in need.modules)
        raise _missing(names, failures, _pip(need))


def _loaded(modules: Iterable[str]) -> str:
    """Import the first module that is there, and return an empty text, or why none of them loads."""
    from hwnas.io.quiet import suppress_stdio

    failures = []
    for module in modules:
        try:
            with suppress_stdio():  # native libraries announce themselves
                importlib.import_module(module)
        except Exception as error:  # built for another numpy or another processor, it may raise anything
            failures.append(raised(error))
        else:
            return ""
    return "; ".join(failures)


def _pip(need: Requirement) -> tuple[str, ...]:
    old = sys.version_info < LITERT_FROM or platform.machine().startswith(("armv6", "armv7"))
    return need.old if old and need.old else need.pip


def _missing(names: str, why: str, packages: Iterable[str]) -> MissingExtra:
    return MissingExtra(
        f"{names} cannot be imported ({why})",
        where=f"Python {platform.python_version()}, {sys.executable}",
        allowed="A kit needs Python 3.9 or newer, numpy and its runtime's package, in this Python",
        do=_how_to_install(packages),
    )


def _how_to_install(packages: Iterable[str]) -> str:
    """Return the command; a system that owns its Python, such as Raspberry Pi OS, has pip install into environments."""
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    if sys.prefix != sys.base_prefix or not os.path.exists(marker):
        return f"Run: {shlex.join([sys.executable, '-m', 'pip', 'install', *packages])}"
    environment = f"{shlex.join([sys.executable, '-m', 'venv'])} ~/hwnas && ~/hwnas/bin/pip install"
    return (
        f"Run: {environment} {shlex.join(packages)}; then take ~/hwnas/bin/python for this Python, "
        "from the desk with --python '~/hwnas/bin/python'"
    )
