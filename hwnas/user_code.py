"""Code of users: functions that they name, files that they write, and errors that these raise."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hwnas.errors import ConfigError, HwnasError, did_you_mean, raised, reason
from hwnas.io.regular import read_regular, resolve_path

_LONGEST = 300
"""Letters of a function's options that an error shows."""
_SOURCE = "__hwnas_source__"
"""The name in a module's namespace that holds the file which it was made of."""


def check_reference(reference: str, *, base: Path, where: str) -> tuple[str, str, Path | None]:
    """Return module and name of `module:name`, or path, name and file of `path.py:name`; nothing is imported.

    Raises:
        ConfigError: it has another form, or there is no such file.
    """
    source, _, name = reference.rpartition(":")
    if not source or not name:
        raise ConfigError(
            f"`{reference}` names no function",
            where=where,
            allowed="The form is `module:function` or `path.py:function`",
            do="Correct it",
        )
    file = resolve_path(source, base) if source.endswith(".py") else None
    if file is not None and not file.is_file():
        looked = dict.fromkeys(str(candidate.absolute()) for candidate in (Path(source).expanduser(), file))
        raise ConfigError(
            f"there is no file `{source}`",
            where=where,
            allowed=f"Looked for {' and '.join(looked)}",
            do="Correct the path",
        )
    return source, name, file


def named(reference: str, *, base: Path, where: str) -> Any:
    """The function that a user names as `module:name` or `path.py:name`; a path is taken from here, then from `base`.

    Raises:
        ConfigError: the reference has another form, or leads to no function.
    """
    source, name, file = check_reference(reference, base=base, where=where)
    try:
        module = importlib.import_module(source) if file is None else load_source(read_source(file))
    except HwnasError:
        raise
    except (Exception, SystemExit) as error:  # a user's module is run, and may raise anything
        problem = raised(error)
        raise ConfigError(
            f"`{source}` cannot be imported ({problem})" if file is None else f"the file raised {problem}",
            where=where if file is None else f"{where}: {place_of(error, file)}",
            allowed="A module must be found from here, and run to its end",
            do="Correct the name or the module",
        ) from error
    if not hasattr(module, name):
        public = [known for known, what in vars(module).items() if not known.startswith("_") and callable(what)]
        raise ConfigError(
            f"`{source}` defines no `{name}`", where=where, allowed=did_you_mean(name, public), do="Correct the name"
        )
    function = getattr(module, name)
    if not callable(function):
        raise ConfigError(
            f"`{name}` is {type(function).__name__}, which cannot be called",
            where=f"{where}: {source}",
            allowed="A function stands after the colon",
            do="Name a function",
        )
    return function


@contextmanager
def calling(
    function: Any,
    kind: type[HwnasError],
    *,
    allowed: str,
    where: str = "",
    name: str = "",
    options: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Turn whatever a function that others wrote raises into an error with its name, its line and its options.

    Args:
        function: that the block calls.
        kind: of the error.
        allowed: the form of such a function.
        where: the key that names it.
        name: of the function as the user writes it; if left out its own.
        options: that it is called with.
    """
    try:
        yield
    except HwnasError:
        raise
    except (Exception, SystemExit) as error:
        name = name or getattr(function, "__name__", type(function).__name__)
        values = ", ".join(f"{key}={value!r}" for key, value in (options or {}).items())
        call = f"{name}({values[:_LONGEST]}{'...' if len(values) > _LONGEST else ''})" if values else name
        file = _file_of(function)
        places = where, "" if file is None else place_of(error, file)
        raise kind(
            f"`{call}` raised {raised(error)}",
            where=": ".join(filter(None, places)) or name,
            allowed=allowed,
            do="Correct the function",
        ) from error


def _file_of(function: Any) -> Path | None:
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return None if code is None else Path(code.co_filename)


@dataclass(frozen=True)
class SourceFile:
    """A Python file of a user's, as it was when it was read. One file of one content is one module in a process."""

    path: Path
    digest: str

    @property
    def module_name(self) -> str:
        """Key in `sys.modules`: another file, or the same one after a change, has another name."""
        digest = hashlib.sha256(f"{self.path} {self.digest}".encode()).hexdigest()
        return re.sub(r"\W", "_", self.path.stem) + "_" + digest[:8]


def read_source(path: Path) -> SourceFile:
    """The file as it is now; OSError if it cannot be read."""
    path = path.resolve()
    return SourceFile(path, _digest(read_regular(path)))


def plugin_files(names: object, *, base: Path, where: str) -> tuple[SourceFile, ...]:
    """The files that `plugins: [my_ops.py]` names, as they are now; paths begin at `base`. None of them is run.

    Raises:
        ConfigError: it is not a list of Python files, or one of them cannot be read.
    """
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) and n.endswith(".py") for n in names):
        raise ConfigError(
            f"`plugins` is {names!r}",
            where=where,
            allowed="It lists Python files, by paths from the file that names them: `plugins: [my_ops.py]`",
            do="Correct it",
        )
    files: dict[SourceFile, None] = {}
    for name in names:
        try:
            files[read_source(base / Path(name).expanduser())] = None
        except OSError as error:
            raise ConfigError(
                f"the plugin `{name}` cannot be read ({reason(error)})",
                where=where,
                allowed=f"Paths begin at {base.resolve()}",
                do="Correct the path",
            ) from error
    return tuple(files)


def load_source(source: SourceFile) -> ModuleType:
    """Return the module of a user's file. The file is run at the first call, and may raise anything.

    It is run as it was read: no bytecode is kept beside it, which could be of older content.

    Raises:
        ConfigError: the file is no longer what it was.
    """
    name = source.module_name
    if name in sys.modules:
        return sys.modules[name]
    content = read_regular(source.path)
    if _digest(content) != source.digest:
        raise ConfigError(
            "the file has changed since it was read",
            where=str(source.path),
            allowed="All processes of a run use the same code",
            do="Run the command again",
        )
    module = ModuleType(name)
    module.__file__ = str(source.path)
    vars(module)[_SOURCE] = source
    sys.modules[name] = module  # dataclasses look their module up while it is being run
    try:
        exec(compile(content, str(source.path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - a user's own
    except BaseException:
        del sys.modules[name]
        raise
    return module


def source_of(kind: type) -> SourceFile | None:
    """The user's file that defines a class; None for a class of an importable module."""
    source: SourceFile | None = getattr(sys.modules.get(kind.__module__), _SOURCE, None)
    return source


def place_of(error: BaseException, path: Path) -> str:
    """Return the place of an error in a user's file: `FILE:LINE`, or the file alone if it was not running."""
    path = path.resolve()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f"{path}:{lines[-1]}" if lines else str(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
