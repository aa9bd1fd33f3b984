"""The command line: reads arguments, calls one function of the pipeline, prints what it returns."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from hwnas import __version__
from hwnas.cli import bench, check, doctor, experiments, operators, plan, spaces, storages, tools
from hwnas.cli.options import CommandGroup
from hwnas.cli.streams import write_always
from hwnas.cli.verbosity import with_verbosity
from hwnas.console import show_error
from hwnas.errors import ConfigError, DataError, EmptyFront, HwnasError, RunError, SpaceError, nameless, raised, reason

COMMANDS: Mapping[str, Callable[..., None]] = {  # in the order in which help lists them
    "demo": experiments.demo,
    "init": experiments.init,
    "list": spaces.shipped,
    "run": experiments.run,
    "feasible": experiments.feasible,
    "train": experiments.train,
    "check": check.check,
    "compare": check.compare,
    "verify": check.verify,
    "sign": check.sign,
    "search": experiments.search,
    "solve": experiments.solve,
    "halving": experiments.halving,
    "fidelity": experiments.fidelity,
    "export": experiments.export,
    "report": experiments.report,
    "plan": plan.plan,
    "serve": plan.serve,
    "dashboard": storages.dashboard,
    "doctor": doctor.doctor,
    "serve-storage": storages.serve_storage,
    "cost": spaces.cost,
    "show": spaces.show,
    "open": spaces.open_network,
    "adapt": tools.adapt,
    "quantize": tools.quantize,
    "score": tools.score,
    "schema": tools.schema,
    "test-operator": operators.certify,
}
INTERRUPTED = 130
EMPTY = 3

COLUMNS = shutil.get_terminal_size().columns
WIDEST = 100


app = typer.Typer(
    name="hwnas",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": min(COLUMNS, WIDEST)},
    help="Finds neural networks that are Pareto-best on the hardware they will run on.",
    epilog="Start with: hwnas demo; then hwnas init my_project && cd my_project && hwnas run quickstart.yaml",
)
for _name, _command in COMMANDS.items():
    app.command(_name)(with_verbosity(_command))
app.add_typer(
    bench.bench_app,
    name="bench",
    short_help="Time every operator that can occur, here or on boards; lint, merge and import tables.",
)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@cache
def command_line() -> Callable[..., object]:
    """Return all commands with their options, which takes 12 ms: where one process calls several, it is done once."""
    return typer.main.get_command(app)


def blamed(error: BaseException) -> HwnasError | None:
    """Return the error to report where code of a distribution that adds members raised one; None if it was not."""
    from hwnas.registry import distribution_of, installed_members

    files = {Path(frame.filename): frame.lineno for frame in traceback.extract_tb(error.__traceback__)}
    for point in installed_members():
        module = sys.modules.get(point.module.partition(".")[0])
        folders = [*getattr(module, "__path__", ()), *filter(None, [getattr(module, "__file__", None)])]
        for file, line in files.items():
            if any(file == Path(folder) or Path(folder) in file.parents for folder in folders):
                return RunError(
                    f"{distribution_of(point)} raised {raised(error)}",
                    where=f"{file}:{line}",
                    allowed="Code of a distribution that adds members raises errors of hwnas alone",
                    do="Tell its authors, or leave its members out",
                )
    return None


def main() -> None:
    """The entry point: exit code 0 for done, 1 for a failure, 2 for input that cannot be used, 3 for a front without a
    network, 130 for Ctrl-C."""
    write_always()
    try:
        command_line()(prog_name="hwnas")
    except (ConfigError, SpaceError, DataError) as error:
        show_error(error)
        sys.exit(2)
    except HwnasError as error:
        show_error(error)
        sys.exit(EMPTY if isinstance(error, EmptyFront) else 1)
    except OSError as error:  # what no room expected: a folder where a file should be, a device that is gone
        show_error(
            RunError(
                f"the system refused ({reason(error)})",
                where=str(error.filename or nameless()),
                allowed="Files and folders of a run can be read and written, and temporary files too",
                do="Correct that and run the same command again",
            )
        )
        sys.exit(1)
    except Exception as error:
        known = blamed(error)
        if known is None:
            raise
        show_error(known)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("stopped; the same command continues", file=sys.stderr)
        raise
