"""`README.md` of a bundle: a model card with the front matter of Hugging Face. Each figure is told with its origin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwnas.report.units import GAP, Units
from hwnas.words import counted

Entry = Mapping[str, Any]

PIPELINES = {
    ("classification", 3): "image-classification",
    ("segmentation", 3): "image-segmentation",
    ("classification", 1): "tabular-classification",
    ("regression", 1): "tabular-regression",
}
"""Tasks of Hugging Face by task and axes of an input; others have none that fits."""
HUB_METRICS = {
    "top1": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "auroc": "roc_auc",
    "mae": "mae",
    "miou": "mean_iou",
}
"""Metrics of Hugging Face by ours."""
ABOUT = """Quality is that of the files and networks on {samples} test {words} that neither training nor the search saw
(*test, measured*), unless a column says *validation*: by those the search chose, so they are a little too good.
Latency is *predicted* from a table of operators, or *measured* on whole networks, as each column says.
"""
ROUNDED = """

Integers are rounded as the runtime in a file's row rounds them. Another runtime, or another version, may round
otherwise and name a few samples differently; `predict.py --selftest` says how far its outputs are apart, and whether
that is within what int8 allows.
"""


def model_card(manifest: Entry, units: Units, plots: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """Return the text of a card.

    Args:
        manifest: of the bundle, without its sums.
        units: texts of values.
        plots: captions by the name of a file beside the card.
        settings: `licence`, `data_licence`, `intended_use`, `limitations`; empty where nothing was given.
    """
    parts = [
        _front_matter(manifest, settings),
        f"# {_title(manifest)}",
        _summary(manifest),
        "## Use",
        _use(manifest),
        "## Networks",
        _networks(manifest, units),
        *(f"![{caption}]({name})" for name, caption in plots.items()),
        "## Files",
        _files(manifest, units),
        "## Where the figures come from",
        _about(manifest),
        "## Intended use and limits",
        _limits(manifest, settings),
        "## Data",
        _data(manifest, settings),
        "## How it was made",
        _made(manifest),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _title(manifest: Entry) -> str:
    experiment = manifest.get("experiment", {})
    return f"{experiment.get('title') or experiment.get('name') or 'Networks'}: {manifest['tier']}"


def _samples(manifest: Entry) -> tuple[int, str]:
    words = next(key for key in manifest if key.startswith("test_")).removeprefix("test_")
    return manifest[f"test_{words}"][words], words


def _front_matter(manifest: Entry, settings: Mapping[str, str]) -> str:
    quality, task = manifest["task"]["quality"], manifest["task"]["name"]
    first = manifest["models"][0] if manifest["models"] else {}
    rank = len(first.get("input_shape", ()))
    formats = dict.fromkeys(file["format"] for model in manifest["models"] for file in model["files"])
    lines = ["---", f"license: {_scalar(settings['licence'].lower() or 'unknown')}", "library_name: hwnas"]
    if (pipeline := PIPELINES.get((task, rank))) is not None:
        lines.append(f"pipeline_tag: {pipeline}")
    lines += ["tags:", *(f"- {tag}" for tag in (*formats, "edge", "neural-architecture-search"))]
    if quality in HUB_METRICS:
        lines += ["metrics:", f"- {HUB_METRICS[quality]}", *_results(manifest, pipeline)]
    return "\n".join([*lines, "---"])


def _scalar(text: str) -> str:
    """Return a text as a scalar of YAML."""
    return text if re.fullmatch(r"[a-z][a-z0-9.+-]*", text) else json.dumps(text)


def _results(manifest: Entry, pipeline: str | None) -> Iterator[str]:
    """Yield the results of each network, in the form of the hub."""
    quality, data = manifest["task"]["quality"], manifest["data"]["name"]
    if pipeline is None or not manifest["models"]:
        return
    yield "model-index:"
    for model in manifest["models"]:
        named = f"{_title(manifest)}, {' and '.join(model['picks'])}"
        yield from (
            f"- name: {json.dumps(named)}",
            "  results:",
            f"  - task: {{type: {pipeline}}}",
            f"    dataset: {{name: {json.dumps(data)}, type: {json.dumps(data.split()[0])}, split: test}}",
            f"    metrics: [{{type: {HUB_METRICS[quality]}, value: {model[f'test_{quality}']['value']:.4f}}}]",
        )


def _summary(manifest: Entry) -> str:
    setup, models = manifest["setup"], manifest["models"]
    where = f"{setup.get('device') or 'a device'} with {setup.get('runtime', 'a runtime')}"
    limits = f" within {' and '.join(f'`{limit}`' for limit in manifest['limits'])}" if manifest["limits"] else ""
    return (
        f"{counted(len(models), 'network').capitalize()} from the Pareto front of a search by hwnas "
        f"{manifest['hwnas']} for {where}{limits}. `manifest.json` holds every figure of this page and more."
    )


def _use(manifest: Entry) -> str:
    formats = {file["format"] for model in manifest["models"] for file in model["files"]}
    lists = {"onnx": "requirements-onnxruntime.txt", "tflite": "requirements-litert.txt"}
    first = next((lists[one] for one in lists if one in formats), None)
    if first is None:
        return "The files are run by the runtimes that `manifest.json` names."
    kind = "image.png" if _is_image(manifest) else "input.npy"
    selftest = "python predict.py --selftest      # the files give what they gave when they were exported\n"
    tested = any("selftest" in model for model in manifest["models"])
    sources = [model["module"]["source"]["file"] for model in manifest["models"] if model["module"]["source"]]
    plain = f"\nIn PyTorch, without hwnas: `{sources[0]}` builds the network and loads its weights." if sources else ""
    return (
        f"```bash\npip install -r {first}\npython predict.py {kind}\n{selftest if tested else ''}```\n\n"
        f"`predict.py` needs numpy and one runtime, and Python 3.9 or later. It takes raw inputs: "
        f"{_preprocessing(manifest)}.{plain}"
    )


def _is_image(manifest: Entry) -> bool:
    """Return whether files of images can be handed over as they are."""
    parts = [model["preprocessing"].get("pixels", {}) for model in manifest["models"]]
    return all(part.get("range", [0, 0])[1] == 255 for part in parts)


def _preprocessing(manifest: Entry) -> str:
    preprocessing = manifest["models"][0]["preprocessing"]
    forms = preprocessing.get("inputs", {"": preprocessing})
    return "; ".join(f"{name + ': ' if name else ''}{one['form']}" for name, one in forms.items())


def _networks(manifest: Entry, units: Units) -> str:
    quality = manifest["task"]["quality"]
    scores = [name for model in manifest["models"][:1] for name in model["scores"]]
    validation = next((name for name in scores if name.split("@")[0] == quality), None)
    latency = next((name for name in scores if name.startswith("latency_ms")), None)
    heads = ["Pick", f"{units.label(quality)}, test, measured"]
    heads += [f"validation, {_origin(manifest, validation)}"] if validation else []
    origins = (_origin(manifest, latency), "measured")
    heads += [f"{units.label(latency)}, {origin}" for origin in origins] if latency else []
    rows = []
    for model in manifest["models"]:
        tested = model.get("test_metrics", {}).get(quality, {})
        error = f" ± {units.scored(quality, tested['error'])}" if tested.get("error") is not None else ""
        row = [", ".join(model["picks"]), f"{units.scored(quality, model[f'test_{quality}']['value'])}{error}"]
        row += [units.scored(validation, model["scores"].get(validation, {}).get("value"))] if validation else []
        if latency:
            timed = model["measured"].get(latency, {}).get("value")
            row += [units.scored(latency, model["scores"].get(latency, {}).get("value"))]
            row += [GAP if timed is None else units.scored(latency, timed)]
        rows.append([*row, f"{model['params']:,}", f"{model['macs']:,}"])
    return _table([*heads, "Parameters, counted", "MACs, counted"], rows)


def _origin(manifest: Entry, metric: str | None) -> str:
    origins = dict.fromkeys(
        str(model["scores"][metric]["origin"]) for model in manifest["models"] if metric in model["scores"]
    )
    return " or ".join(origin for origin in origins if origin) or "as given"


def _files(manifest: Entry, units: Units) -> str:
    quality = manifest["task"]["quality"]
    rows = [
        [
            f"`{file['name']}`",
            file["precision"],
            f"{file['bytes'] / 1024:,.0f} KiB",
            file["runtime"] or "not run here",
            GAP if file["latency_ms"] is None else units.scored("latency_ms", file["latency_ms"]),
            GAP if file[f"test_{quality}"] is None else units.scored(quality, file[f"test_{quality}"]),
            GAP if file[f"{quality}_agreement"] is None else f"{100 * file[f'{quality}_agreement']:.1f} %",
        ]
        for model in manifest["models"]
        for file in model["files"]
    ]
    heads = ["File", "Precision", "Size", "Runtime", "Latency, measured", f"{units.label(quality)}, test, measured"]
    return _table([*heads, "Answers as PyTorch, test"], rows)


def _about(manifest: Entry) -> str:
    samples, words = _samples(manifest)
    text = ABOUT.format(samples=f"{samples:,}", words=words)
    batch = manifest["setup"].get("batch", 1)
    integers = any(file["precision"] in ("int8", "mixed") for model in manifest["models"] for file in model["files"])
    return (
        f"{text}A file's latency is the 10 % quantile of its calls of {counted(batch, 'sample')} on the machine below."
        f"{ROUNDED if integers else ''}"
    )


def _limits(manifest: Entry, settings: Mapping[str, str]) -> str:
    own = [settings["intended_use"], settings["limitations"]]
    random = [model["key"] for model in manifest["models"] if model["weights"].startswith("random")]
    known = [
        f"- The networks answer only what they were trained for: data like `{manifest['data']['name']}`.",
        "- Nothing here was tested for fairness, safety or inputs of another kind.",
        *([f"- **{', '.join(random)} have random weights**: nothing was trained."] if random else []),
        *(["- The test samples were split off from the training pool by the seed."] if _is_split(manifest) else []),
    ]
    return "\n\n".join([*(text for text in own if text), "\n".join(known)])


def _is_split(manifest: Entry) -> bool:
    _, words = _samples(manifest)
    return bool(manifest[f"test_{words}"]["pool"] == "train")


def _data(manifest: Entry, settings: Mapping[str, str]) -> str:
    samples, words = _samples(manifest)
    licence = settings["data_licence"] or "not stated by whoever made this bundle: ask before you pass it on"
    tested = next((model["selftest"] for model in manifest["models"] if "selftest" in model), None)
    carried = f" `{tested['file']}` holds {tested['samples']} of the test {words}, raw." if tested else ""
    classes: list[str] = next((model["classes"] for model in manifest["models"] if "classes" in model), [])
    listed = f" Classes: {', '.join(classes[:20])}{', …' if len(classes) > 20 else ''}." if classes else ""
    return f"`{manifest['data']['name']}`, {samples:,} test {words}. Licence: {licence}.{carried}{listed}"


def _made(manifest: Entry) -> str:
    experiment, machine = manifest.get("experiment", {}), manifest["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    weights = "; ".join(dict.fromkeys(model["weights"] for model in manifest["models"]))
    lines = [
        f"- Front `{manifest['front']}` of experiment `{experiment.get('name')}`, seed {experiment.get('seed', 0)}",
        f"- Weights: {weights}",
        f"- Written {manifest['created_at']} on {machine.get('processor')}, {machine.get('system')}",
        f"- Versions: {versions}",
        f"- Networks: {', '.join(model['key'] for model in manifest['models'])}; choices in `*.architecture.json`",
    ]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = [i == 0 or any(row[i][:1].isalpha() for row in rows) for i in range(len(heads))]
    aligned = ["---" if left else "---:" for left in words]
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in (heads, aligned, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
