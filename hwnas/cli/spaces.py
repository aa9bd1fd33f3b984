"""Commands on spaces: those that are shipped, what one holds, and what one of its architectures costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from hwnas.cli.options import RUNS, Front, Json, SpaceReference
from hwnas.cli.printing import print_fronts, print_result
from hwnas.console import Terminal
from hwnas.errors import ConfigError, did_you_mean


def cost(
    space: SpaceReference,
    architecture: Annotated[
        str,
        typer.Option(
            help="largest, smallest, random:SEED, a JSON file, or |a string| of the project the space is from; of a "
            "run's folder TIER:PICK, such as edge:knee."
        ),
    ] = "largest",
    beside: Annotated[str | None, typer.Option(help="Of -o: another architecture, drawn beside the first.")] = None,
    table: Annotated[Path | None, typer.Option(help="A latency table: adds the predicted latency.")] = None,
    missing: Annotated[
        Literal["error", "estimate"], typer.Option(help="What becomes of an operator that the table has no row for.")
    ] = "error",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Draw the network into this file: a page (.html) or its picture (.svg)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Parameters, MACs, activation bytes and operators of one architecture."""
    from hwnas import pipeline

    if out is None:
        _refuse_beside(beside)
        costs = pipeline.cost(space, architecture, table=table, missing=missing, reporter=Terminal())
    else:
        drawn = pipeline.draw_network(
            space, architecture, beside=beside, table=table, missing=missing, out=out, reporter=Terminal()
        )
        costs = drawn[architecture]
    if as_json:
        print_result(costs, True, [])
        return
    from hwnas.console.results import show_costs

    show_costs(costs)
    if out is not None:
        print_result(None, False, [f"wrote {out}"])


def _refuse_beside(beside: str | None) -> None:
    if beside is not None:
        raise ConfigError(
            "--beside draws nothing without -o",
            where="hwnas cost",
            allowed="A second architecture is drawn beside the first, on a page or in a picture",
            do="Add -o network.html, or leave --beside out",
        )


def open_network(
    network: Annotated[
        str, typer.Argument(metavar="FILE.py:FUNCTION", help="A function of yours that returns a torch.nn.Module.")
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Its state dictionary, a file of PyTorch or safetensors.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input", help="Shape of one input, such as 3,32,32, if the function states none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The space's file, FUNCTION.yaml if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Open a trained network of yours as a space: narrower and shallower versions of it, with its weights."""
    from hwnas import pipeline

    opened = pipeline.open_network(network, weights=weights, input_shape=input_shape, out=out, reporter=Terminal())
    print_result(opened.as_dict(), as_json, opened.lines())


def shipped(as_json: Json = False) -> None:
    """List the spaces, latency tables and experiments that come with hwnas; commands take them by their names."""
    from hwnas import pipeline

    kinds = pipeline.shipped()
    if as_json:
        print_result({kind: [vars(one) for one in files] for kind, files in kinds.items()}, True, [])
    else:
        from hwnas.console.results import show_shipped

        show_shipped(kinds)


def show(
    target: Annotated[str, typer.Argument(metavar="SPACE|RUN", help="A space, or the folder of a searched run.")],
    picture: Annotated[
        Path | None, typer.Option(help="Draw the space into this file, such as space.svg or space.html.")
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(
            help="Of a run's fronts only: best, knee, weights:top1=2,latency_ms=1, lexicographic:..., cluster:5"
        ),
    ] = None,
    front: Front = None,
    as_json: Json = False,
) -> None:
    """Show what a space holds, or the fronts of a run."""
    from hwnas import pipeline

    is_run = (Path(target) / "experiment.yaml").is_file()
    _refuse_missing_run(Path(target))
    idle = {"--picture": picture} if is_run else {"--pick": pick, "--front": front}
    if (option := next((name for name, value in idle.items() if value), None)) is not None:
        raise ConfigError(
            f"{option} says nothing of `{target}`",
            where="hwnas show",
            allowed="--picture draws a space; --front and --pick choose among the fronts of a run's folder",
            do=f"Leave {option} out, or name a {'space' if is_run else 'run'}",
        )
    if is_run:
        if as_json:
            tiers = pipeline.fronts(target, pick=pick, front=front)
            for note in (f"{tier.title}: {note}" for tier in tiers for note in tier.notes):
                Terminal().info(note)
            print_result({tier.name: [dataclasses.asdict(p) for p in tier.front] for tier in tiers}, True, [])
        else:
            print_fronts(target, RUNS, pick, front)
        return
    if picture is not None:
        from hwnas.report.spaces.picture import check_picture, write_picture

        check_picture(picture)
    opened, _ = pipeline.open_space(target, reporter=Terminal())
    written = None if picture is None else write_picture(pipeline.view(opened), picture)
    if as_json:
        print_result(pipeline.space_facts(opened), True, [])
    else:
        from hwnas.console.results import show_space

        show_space(pipeline.view(opened))
    if written is not None and not as_json:
        print_result(None, False, [f"wrote {written}"])


def _refuse_missing_run(target: Path) -> None:
    """Refuse a path beside the folders of runs at which there is nothing, which would be looked for among spaces."""
    runs = sorted(folder.parent.name for folder in target.parent.glob("*/experiment.yaml"))
    if runs and target.parent != Path() and not any(target.parent.glob(f"{target.name}*")):
        raise ConfigError(
            f"there is no run `{target}`",
            where="hwnas show",
            allowed=did_you_mean(target.name, runs),
            do="Name a run, or a space",
        )
