"""The edge's client and the notes of both sides, as they are written into a deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.collaborate import preprocess, wire
from hwnas.data.facts import described
from hwnas.deploy import client
from hwnas.export.standalone import resampling
from hwnas.io.atomic import write_file

MODEL_FILE = re.compile(r"(edge|exit|cloud|fallback)\.\w+")
SHIPPED_IMPORT = re.compile(
    r"^from hwnas\.(?:deploy\.client|collaborate|export\.standalone)\.(\w+) import ", re.MULTILINE
)
RUNTIME_PACKAGES = {"onnxruntime": "onnxruntime", "tflite": "ai-edge-litert"}


def client_files() -> dict[str, str]:
    """Return the files of the client by name; they import one another from their own folder."""
    paths = [path for path in Path(client.__file__).parent.glob("*.py") if path.name != "__init__.py"]
    paths += [Path(str(module.__file__)) for module in (wire, preprocess, resampling)]
    files = {path.name: path.read_text(encoding="utf-8") for path in paths}
    return {name: SHIPPED_IMPORT.sub(r"from \1 import ", text) for name, text in sorted(files.items())}


def write_client(folder: Path) -> None:
    """Write the client's files to the folder of the edge."""
    for name, text in client_files().items():
        write_file(folder / name, text)


def write_readme(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the notes of one side, named by its folder."""
    text = _edge_readme(document) if folder.name.endswith(("edge", "edge.fresh")) else _cloud_readme(document)
    write_file(folder / "README.md", text)


def remove_unlisted(folder: Path, document: Mapping[str, Any]) -> None:
    """Remove model files of an earlier deployment that the plan does not name."""
    entries = (document.get(name) for name in ("edge", "exit", "cloud", "fallback"))
    listed = {entry["file"] for entry in entries if entry is not None}
    for path in folder.iterdir():
        if MODEL_FILE.fullmatch(path.name) and path.name not in listed:
            path.unlink()


def _title(document: Mapping[str, Any]) -> str:
    predicted = document["predicted"]
    p50, p99 = (predicted["latency_ms"][name] for name in ("p50", "p99"))
    return (
        f"`{document['name']}`, planned for the link `{document['link']}`: half of the requests within {p50:.3g} ms, "
        f"99 of 100 within {p99:.3g} ms (predicted). The plan's digest is `{document['plan'][:16]}`."
    )


def _edge_readme(document: Mapping[str, Any]) -> str:
    runtime = next(document[name]["runtime"] for name in ("edge", "fallback") if document[name] is not None)
    raw = document["raw"]
    cloud = "" if document["cloud"] is None else " --url https://SERVER:PORT --token-file token --ca ca.pem"
    return f"""# Edge

{_title(document)}

```bash
pip install numpy {RUNTIME_PACKAGES[runtime]}{_extra_packages(document)}
python client.py input.npy{cloud}
```

`input.npy` is one sample of shape {tuple(raw["shape"])} in {raw["dtype"]}; images may be PNG or JPEG files, for
which Pillow is needed. In Python: `from client import Client, Cloud`, then
`Client(Cloud(URL, token, ca)).infer(sample)`.{_prepared(raw)}
hwnas is not needed. Python 3.9 or later is.
"""


def _prepared(raw: Mapping[str, Any]) -> str:
    """Return how a sample is made of the data as published; empty where that holds samples."""
    if not raw.get("steps"):
        return ""
    form = described(raw["steps"], "pixel" if len(raw["shape"]) == 3 else "value")
    return f"\nA sample is made of the data as published: {form}. Without that, answers are wrong and no error is seen."


def _extra_packages(document: Mapping[str, Any]) -> str:
    compression = "" if document["request"] is None else document["request"]["compression"]
    return {"png": " pillow", "jpeg": " pillow", "zstd": " zstandard"}.get(compression, "")


def _cloud_readme(document: Mapping[str, Any]) -> str:
    cloud, request = document["cloud"], document["request"]
    return f"""# Cloud

{_title(document)}

```bash
hwnas serve . --port 8443 --make-certificates --make-token
```

Serves `{cloud["file"]}` ({cloud["runtime"]}, {cloud["precision"]}) by the Open Inference Protocol, version 2. The
tensor of a request, `{request["name"]}`, has shape {tuple(request["shape"])} in
{request["dtype"]}{_compressed(request)}. Requests of another plan are refused.
"""


def _compressed(request: Mapping[str, Any]) -> str:
    return f", compressed by {request['compression']}" if request["compression"] else ""
