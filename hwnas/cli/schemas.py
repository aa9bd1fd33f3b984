"""`hwnas schema`: what editors complete and check space and experiment files by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwnas.cli.options import Json
from hwnas.cli.printing import print_document, print_result


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
