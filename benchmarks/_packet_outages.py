"""Outages of packets: a served deployment and its client on both ends of an imposed link that drops everything."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.collaborate.imposed.calibration import calibrate
from hwnas.collaborate.imposed.link import ImposedLink, LinkState
from hwnas.collaborate.imposed.namespaces import CLOUD_ADDRESS
from hwnas.collaborate.imposed.states import settled_state
from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.model import LinkModel
from hwnas.deploy.document import DeployedFile
from hwnas.deploy.imposed_sides import Credentials, start_server
from hwnas.export.onnx import export_onnx
from hwnas.serve.certificates import make_certificates
from hwnas.serve.tokens import add_token
from tests.helpers.edges import CLASSES, RAW, STEPS, linear, write_edge

UP_MBPS, DOWN_MBPS, RTT_MS = 10.0, 20.0, 4.0


def through_packet_outages(
    kind: str, requests: int, spans: Sequence[tuple[float, float]], deadline_ms: float
) -> dict[str, Any]:
    """Return what a client does while all packets are dropped at times, both ways; TCP, TLS and the server are real.

    Args:
        kind: of the client.
        requests: spread evenly over the time.
        spans: seconds of calm and of the outage after it, in turn.
        deadline_ms: of each request.
    """
    link = LinkModel("imposed", *map(Quantiles.constant, (UP_MBPS, DOWN_MBPS, RTT_MS)))
    link = replace(link, connection="warm")
    with tempfile.TemporaryDirectory() as name, ImposedLink(link) as imposed:
        folder, on = Path(name), settled_state(link)
        calibration = calibrate(imposed, on)
        imposed.set_state(on)
        _write_deployment(folder)
        make_certificates(folder / "certificates", [CLOUD_ADDRESS])
        token = add_token(folder / "tokens")
        credentials = Credentials(folder / "certificates", folder / "tokens", token)
        url = start_server(imposed, folder / "cloud", 0, credentials, folder / "server.log")
        told = {
            "kind": kind,
            "folder": str(folder / "edge"),
            "url": url,
            "token": token,
            "ca": str(folder / "certificates" / "ca.pem"),
            "requests": requests,
            "seconds": sum(map(sum, spans)) + 1.0,
            "deadline_ms": deadline_ms,
        }
        command = [sys.executable, str(Path(__file__).parent / "outages.py"), "--client", json.dumps(told)]
        client = imposed.popen("edge", command, stdout=-1, text=True)
        assert client.stdout is not None
        client.stdout.readline()  # it is ready
        stop = threading.Event()
        breaker = threading.Thread(target=_break_often, args=(imposed, on, spans, stop))
        breaker.start()
        seen: dict[str, Any] = json.loads(client.stdout.read())
        stop.set()
        breaker.join()
        facts = imposed.facts()
    return {**seen, "calibration": calibration.as_dict(), "emulator": facts}


def _write_deployment(folder: Path) -> None:
    (folder / "cloud").mkdir()
    path = export_onnx(linear(1), RAW, folder / "cloud" / "cloud.onnx")
    cloud = DeployedFile(path, "onnxruntime", "fp32", 1, 1, RAW, (CLASSES,), STEPS).entry()
    write_edge(folder / "edge", cloud=cloud, preprocessing=STEPS)
    shutil.copyfile(folder / "edge" / "plan.json", folder / "cloud" / "plan.json")


def _break_often(
    imposed: ImposedLink, on: LinkState, spans: Sequence[tuple[float, float]], stop: threading.Event
) -> None:
    for calm, out in spans:
        stop.wait(calm)
        imposed.set_state(replace(on, loss=1.0))
        stop.wait(out)
        imposed.set_state(on)
