"""`hwnas plan` and `hwnas serve`: an edge, a cloud and a link between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hwnas.cli.options import RUNS, Front, Json, Reference, Runs, Settings, edited
from hwnas.cli.printing import print_document, print_result
from hwnas.console import Terminal

if TYPE_CHECKING:
    from hwnas.commands.edge_cloud_plans import EdgeCloudPlans


def plan(
    experiment: Reference,
    link: Annotated[
        str,
        typer.Option(
            "--link",
            metavar="NAME|FILE",
            help="A link of the experiment; a preset: wired, wifi, lte, 5g, 3g; a YAML file; or a trace.",
        ),
    ],
    edge: Annotated[str | None, typer.Option(help="The tier on the edge; `edge`, or the first of two.")] = None,
    cloud: Annotated[str | None, typer.Option(help="The tier in the cloud; `cloud`, or the other one.")] = None,
    epsilon: Annotated[float, typer.Option(help="Accuracy that a cascade may lose against its cloud network.")] = 0.01,
    delta: Annotated[float, typer.Option(help="Probability with which it may lose more.")] = 0.05,
    clients: Annotated[int, typer.Option(help="Number of edges that share the cloud.")] = 1,
    rate: Annotated[float, typer.Option(help="Requests a second of each of them.")] = 0.0,
    workers: Annotated[int, typer.Option(help="Requests that the cloud serves at the same time.")] = 1,
    p99_ms: Annotated[
        float | None, typer.Option("--p99-ms", help="Tell how many clients are served within this, 99 of 100 times.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Most validation and test samples that networks answer.")] = 4000,
    exits: Annotated[bool, typer.Option("--exits", help="Train exits at cuts, and plan with them too.")] = False,
    front: Front = None,
    measure: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Measure the best plans by N requests each, over the link imposed here; as root."
        ),
    ] = None,
    edge_slowdown: Annotated[
        float, typer.Option(help="Of --measure: how many times slower the edge computes than this machine.")
    ] = 1.0,
    runs: Runs = RUNS,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Tell where to cut a network between edge and cloud, when to ask the cloud, and what a request takes over a link.

    Compares all plans of a searched run: the edge alone, the cloud alone with inputs raw and compressed, every cut, and
    cascades with a guarantee. Writes them to plans/ in the run's folder, with a page.
    """
    from hwnas import pipeline
    from hwnas.collaborate.predict import Load
    from hwnas.commands.measure_plans import PlanMeasurement

    planned = pipeline.plan_edge_cloud(
        edited(experiment, settings),
        link,
        edge=edge,
        cloud=cloud,
        epsilon=epsilon,
        delta=delta,
        load=Load(clients, rate, workers, p99_ms),
        samples=samples,
        exits=exits,
        front=front,
        measure=None if measure is None else PlanMeasurement(measure, edge_slowdown),
        runs=runs,
        reporter=Terminal(),
    )
    if as_json:
        print_document(planned.path.read_text(encoding="utf-8").rstrip())
        return
    _show(planned)
    print_result(None, False, [f"wrote {planned.path}", f"wrote {planned.page}"])


def _show(planned: EdgeCloudPlans) -> None:
    from hwnas.console.results import show_edge_cloud_plans

    show_edge_cloud_plans(planned.document)


def serve(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A deployment, its cloud/, or the folder of one exported network.")
    ],
    port: Annotated[int, typer.Option(help="The port to listen at; 0 for a free one.")],
    host: Annotated[
        str, typer.Option(help="The address to listen at; one that others reach needs certificates and a token.")
    ] = "127.0.0.1",
    engine: Annotated[
        Literal["uvicorn", "ray"], typer.Option(help="ray: the network runs in replicas, on the machines of a cluster.")
    ] = "uvicorn",
    workers: Annotated[int, typer.Option(help="Calls of the network at the same time.")] = 1,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hashes of tokens; a request must bear one of them.")
    ] = None,
    make_token: Annotated[
        bool, typer.Option("--make-token", help="Make a token and print it once; its hash goes to --token-file.")
    ] = False,
    certificates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of server.pem and server.key, for TLS 1.3.")
    ] = None,
    make_certificates: Annotated[
        bool, typer.Option("--make-certificates", help="Make them where they are missing, with an own authority.")
    ] = False,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Authority whose certificates clients must show.")
    ] = None,
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more are refused with 503.")] = 64,
    batch_ms: Annotated[float, typer.Option(help="Longest wait of a request for others to fill a batch.")] = 2.0,
    read_s: Annotated[float, typer.Option(help="Seconds in which a whole request must come, else 408.")] = 5.0,
) -> None:
    """Serve the cloud's side of a deployment by the Open Inference Protocol, until SIGTERM or Ctrl-C."""
    from hwnas import pipeline
    from hwnas.commands.serve import Access, ServiceLimits

    pipeline.serve(
        bundle,
        port=port,
        host=host,
        engine=engine,
        access=Access(token_file, make_token, certificates, make_certificates, client_ca),
        limits=ServiceLimits(workers, max_queue, batch_ms, read_s),
        reporter=Terminal(),
    )
