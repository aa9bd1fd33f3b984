"""Model to serve: the cloud's side of a deployment, or an exported network; read strictly, its files compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.collaborate.wire import PLAN_DIGITS, PLAN_FILE, Shape, TensorFormat, plan_digest
from hwnas.errors import ConfigError, RunError, reason
from hwnas.io.checksum import sha256_of
from hwnas.io.fields import FieldError, Fields, loads
from hwnas.io.regular import read_regular
from hwnas.runtimes import RUNTIMES

EXPORT_MANIFEST = "manifest.json"
MOST_PLAN_BYTES = 4 << 20
FILE_DTYPE = "float32"
"""Numbers that a runtime takes and gives, whatever the file's own are."""


@dataclass(frozen=True)
class ServedModel:
    """A model file with all that a server must know of it.

    Args:
        path: of the file.
        runtime: that runs it.
        precision: of the file.
        threads: of one call.
        batch: samples of one call.
        plan: SHA-256 of the plan; empty of an exported network.
        request: how a request's tensor travels.
        input_shape: of one sample, as the file takes it, channels first.
        answer_shape: of one sample's answer.
        scale: of a quantized boundary; 0 if its numbers are what they stand for.
        zero_point: of a quantized boundary.
        preprocessing: steps between a raw input and the file; empty where a request carries what the file takes.
        most_content_bytes: of a compressed tensor.
    """

    path: Path
    runtime: str
    precision: str
    threads: int
    batch: int
    plan: str
    request: TensorFormat
    input_shape: Shape
    answer_shape: Shape
    scale: float = 0.0
    zero_point: int = 0
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    most_content_bytes: int = 0

    @property
    def plan_digits(self) -> str:
        """The digits of the plan that requests name; empty of an exported network."""
        return self.plan[:PLAN_DIGITS]


def read_bundle(path: Path) -> ServedModel:
    """Read a deployment, its `cloud/` folder or the folder of an exported network, and check its files.

    Args:
        path: of the folder.

    Returns:
        The model, whose file is the one that was exported.

    Raises:
        ConfigError: there is no such folder, or it holds nothing to serve.
        RunError: a file in it is damaged, or another than its plan says.
    """
    for folder in (path / "cloud", path):
        if (folder / PLAN_FILE).exists():
            return _deployed(folder)
    if (path / EXPORT_MANIFEST).exists():
        return _exported(path)
    missing = "there is no such folder" if not path.exists() else f"it holds neither {PLAN_FILE} nor {EXPORT_MANIFEST}"
    raise ConfigError(
        missing,
        where=str(path),
        allowed="A deployment, its folder cloud/ or the folder of an exported network is served",
        do="Write one: hwnas export RUN --plan NAME",
    )


def _document(path: Path) -> Fields:
    try:
        return Fields(loads(read_regular(path, MOST_PLAN_BYTES)))
    except FieldError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({reason(error)})") from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        why,
        where=str(path),
        allowed="A file is served as it was exported",
        do="Copy the folder again from where it was written, or export it again",
    )


def _deployed(folder: Path) -> ServedModel:
    path = folder / PLAN_FILE
    document = _document(path)
    try:
        digest = document.text("plan")
        if plan_digest(document.raw) != digest:
            raise FieldError("its digest `plan` does not fit: it was changed after it was written")
        if not (document.optional("cloud") and document.optional("request")):
            raise ConfigError(
                f"the plan `{document.text('name')}` asks no cloud",
                where=str(path),
                allowed="Plans of the kinds cloud_only, split and cascade have a side to serve",
                do="Run client.py in edge/, which needs no server",
            )
        if (folder / "client.py").exists():
            raise ConfigError(
                "the folder is the edge's side of its plan",
                where=str(folder),
                allowed="The other side is served: the folder cloud/, or the one that holds both",
                do=f"Serve {folder.parent / 'cloud'}",
            )
        cloud, request = document.object("cloud"), document.object("request")
        file = _checked_file(folder, cloud)
        compressed = request.text("compression") if request.optional("compression") else ""
        form = TensorFormat(request.text("name"), _shape(request, "shape"), request.text("dtype"), compressed)
        return ServedModel(
            file,
            cloud.text("runtime"),
            cloud.text("precision"),
            cloud.integer("threads"),
            cloud.integer("batch"),
            digest,
            form,
            _shape(cloud.object("input"), "shape"),
            _shape(document.object("answer"), "shape"),
            request.number("scale") if request.optional("scale") else 0.0,
            request.integer("zero_point") if request.optional("zero_point") else 0,
            dict(document.object("preprocessing").raw) if document.optional("preprocessing") else {},
            request.integer("max_body_bytes"),
        )
    except FieldError as error:
        raise _damaged(path, str(error)) from error


def _exported(folder: Path) -> ServedModel:
    path = folder / EXPORT_MANIFEST
    document = _document(path)
    try:
        models = list(document.objects("models"))
        if len(models) != 1:
            raise ConfigError(
                f"the bundle holds {len(models)} networks",
                where=str(path),
                allowed="A bundle of one network is served, as `hwnas export RUN --pick knee` writes it",
                do="Export the network that you want to serve",
            )
        runtimes = {spec.formats[0]: name for name, spec in RUNTIMES.own.items() if name != "pytorch"}
        entries = [entry for entry in models[0].objects("files") if entry.text("format") in runtimes]
        if not entries:
            raise ConfigError(
                "none of its files can be served",
                where=str(path),
                allowed=f"Files of the formats {', '.join(runtimes)} are",
                do="Export the network in one of them: `export.formats`",
            )
        entry = entries[0]
        ends = [_end(next(entry.objects(side)), entry.text("format")) for side in ("inputs", "outputs")]
        return ServedModel(
            _checked_file(folder, entry, "name"),
            runtimes[entry.text("format")],
            entry.text("precision"),
            document.object("setup").integer("threads") if "threads" in document.object("setup").raw else 1,
            entry.integer("batch"),
            "",
            TensorFormat("input", ends[0], FILE_DTYPE),
            ends[0],
            ends[1],
        )
    except StopIteration:
        raise _damaged(path, "it tells no inputs of its files") from None
    except FieldError as error:
        raise _damaged(path, str(error)) from error


def _end(tensor: Fields, format: str) -> Shape:
    """Return the shape of one sample, channels first."""
    shape = _shape(tensor, "shape")[1:]
    return (shape[-1], *shape[:-1]) if format == "tflite" and len(shape) > 1 else shape


def _shape(fields: Fields, name: str) -> Shape:
    sizes = fields.array(name)
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise FieldError(f"`{fields.at(name)}` holds another thing than sizes")
    return tuple(sizes)


def _checked_file(folder: Path, entry: Fields, key: str = "file") -> Path:
    name = entry.text(key)
    if name in ("", ".", "..") or set(name) & set("/\\") or not name.isprintable():
        raise FieldError(f"`{entry.at(key)}` is no name of a file beside it")
    path = folder / name
    try:
        if sha256_of(path) != entry.text("sha256"):
            raise _damaged(path, f"its SHA-256 is another than the {PLAN_FILE if key == 'file' else 'manifest'} lists")
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({reason(error)})") from error
    return path
