"""`hwnas score`, `adapt`, `quantize` and `schema`: ranks without training, other data, int8, schemas for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwnas.cli.options import RUNS, Json, Runs, Settings, edited, refuse_options, refuse_settings
from hwnas.cli.printing import print_document, print_result
from hwnas.console import Terminal


def score(
    target: Annotated[
        str, typer.Argument(metavar="SPACE|EXPERIMENT", help="A space, an experiment, or a run's folder.")
    ],
    proxies: Annotated[
        list[str] | None,
        typer.Option("--proxies", help="Names with commas between them, ensemble if left out; ranks are by the first."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many random networks.")] = 20,
    architectures: Annotated[
        Path | None, typer.Option(help="Score those of this file: a JSON list, such as a front, or one a line.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set, as experiments name it, or noise: what a space takes if left out.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, noise and the sample; the experiment's, or 0, if left out.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images at once, instead of each proxy's own.")] = None,
    resolution: Annotated[int | None, typer.Option(min=1, help="Of the images, instead of the network's own.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many score at once.")] = 1,
    csv: Annotated[Path | None, typer.Option("--csv", "--out", help="Write all rows into this file.")] = None,
    runs: Runs = RUNS,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Rank networks of a space without training: a number for each, its cost and its origin."""
    from hwnas import pipeline
    from hwnas.workspace.spaces import is_space

    names = tuple(name.strip() for words in proxies or ["ensemble"] for name in words.split(","))
    if settings and is_space(target):
        refuse_settings(settings, f"`{target}`", where="hwnas score")
    scored = pipeline.score(
        edited(target, settings),
        names,
        sample=sample,
        architectures=architectures,
        data=data,
        seed=seed,
        batch=batch,
        resolution=resolution,
        processes=processes,
        csv=csv,
        runs=runs,
        reporter=Terminal(),
    )
    if as_json:
        print_result(scored.as_dict(), True, [])
    else:
        from hwnas.console.results import show_scores

        show_scores(scored)
    print_result(None, False, [f"wrote {csv}"] if csv is not None and not as_json else [])


def adapt(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN|BUNDLE|NETWORK", help="A trained run, a bundle, or FILE.py:FUNCTION of yours."),
    ],
    data: Annotated[
        str, typer.Option("--data", help="A YAML file that names a data set, the name of one, or raw samples in .npz.")
    ],
    how: Annotated[
        Literal["head", "norm", "full", "space"] | None,
        typer.Option(help="The last layer; normalisation statistics; all weights; or a new run with a new search."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Only say whether the data is unlike that of a bundle; then exit code 1.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="State dictionary of a network of yours.")] = None,
    tier: Annotated[str | None, typer.Option(help="Of a run; the first one if left out.")] = None,
    pick: Annotated[
        str | None, typer.Option(help="Rule for the network of the tier's front; knee if left out.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of full, 5 if left out; of space, a third of those before; of norm, to train scales and shifts.",
        ),
    ] = None,
    rehearse: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of full: train on N samples of the data before too; classes stay.")
    ] = 0,
    keep_classes: Annotated[
        bool, typer.Option("--keep-classes", help="Keep all classes of the network, and add those of the data.")
    ] = False,
    input_shape: Annotated[
        str | None, typer.Option("--input", help="Of space: the new input, such as 1,28,28; as before if left out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of space: the new run's name.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder, or file of a bundle's head.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Adapt a trained network to other data, or say whether data is unlike that before."""
    from hwnas import pipeline

    result = pipeline.adapt(
        target,
        data,
        how=how,
        watch=watch,
        weights=weights,
        tier=tier,
        pick=pick,
        epochs=epochs,
        rehearse=rehearse,
        keep_classes=keep_classes,
        input_shape=input_shape,
        name=name,
        out=out,
        runs=runs,
        reporter=Terminal(),
    )
    print_result(result.as_dict(), as_json, list(result.lines))
    if result.drifted:
        raise typer.Exit(1)


def quantize(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A float network, .onnx or .tflite, made anywhere.")],
    data: Annotated[
        Path | None,
        typer.Option(help="An .npz archive of raw inputs, as the file takes them, and targets; random if left out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the best int8 file here, whatever the verdict.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="Of the input, such as 1,3,640,640, where an ONNX file leaves axes open.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of the runtime.")] = 1,
    rounds: Annotated[int, typer.Option(min=18, help="Samples of each file, over six processes.")] = 60,
    host: Annotated[str | None, typer.Option(help="Time the files on a board, such as pi@board.")] = None,
    python: Annotated[str | None, typer.Option(help="Python on the board; python3 if left out.")] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="File that ssh reads instead of ~/.ssh/config.")] = None,
    as_json: Json = False,
) -> None:
    """Is int8 faster here, for a model file that was trained anywhere? Times, accuracy, costliest operators.

    Without -o, the int8 file is written beside FILE (NAME.int8.onnx), if it is faster, was calibrated on --data and
    loses no accuracy beyond chance, and if no such file exists.
    """
    from hwnas import pipeline
    from hwnas.measure.timing import Timing
    from hwnas.report.comparisons.quantized import quantization_lines
    from hwnas.space.values import parse_shape

    board = None
    if host is None:
        reached = {"--python": python, "--ssh-config": ssh_config}
        refuse_options(reached, "without --host", "They say how a board is reached")
    else:
        from hwnas.boards.host import open_host
        from hwnas.quantization.on_board import Board

        board = Board(open_host(host, ssh_config=ssh_config), python or "python3")
    result = pipeline.quantize(
        file,
        data=data,
        board=board,
        out=out,
        shape=None if shape is None else parse_shape(shape, "--shape", where="hwnas quantize", batch=True),
        threads=threads,
        timing=Timing(rounds=rounds, processes=6),
    )
    document = result.as_dict()
    print_result(document, as_json, list(quantization_lines(document)))


def schema(
    kind: Annotated[Literal["space", "experiment"], typer.Argument(help="space or experiment.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write it to a file, such as space.schema.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of space or experiment files, by which editors complete and check them."""
    from hwnas import pipeline
    from hwnas.io.atomic import write_file

    text = pipeline.schema_text(kind)
    if out is None:
        print_document(text.rstrip("\n"))
    else:
        write_file(out, text)
        print_result({"written": out}, as_json, [f"wrote {out}"])
