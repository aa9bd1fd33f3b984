"""The pages in docs/ are true: their examples run, their tables hold what the code holds, their links lead somewhere.

A block that begins with `# file: NAME` is a file of that name; the other blocks find it there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shlex
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hwnas.accuracy import PROXIES
from hwnas.config import Experiment, parse_experiment
from hwnas.data import DATA_SETS
from hwnas.errors import SpaceError
from hwnas.export import FORMATS
from hwnas.measure.table import read_table
from hwnas.ops import OPERATORS
from hwnas.ops.layers import ACTIVATIONS
from hwnas.registry import member
from hwnas.runtimes import RUNTIMES
from hwnas.search.samplers import SAMPLERS
from hwnas.space import parse_space
from hwnas.space_checks import check_space
from hwnas.supernet.distributed import LAUNCHERS
from hwnas.supernet.strategies import STRATEGIES
from hwnas.supernet.training.schedules import SCHEDULES
from hwnas.tasks import TASKS, open_task
from hwnas.tasks.augmentation.images import AUGMENTATIONS
from hwnas.tasks.augmentation.signals import SIGNAL_AUGMENTATIONS
from hwnas.tasks.options import options_of
from tests.helpers.pages import fences, file_name
from tests.helpers.repository import REPOSITORY

DOCS = REPOSITORY / "docs"
ROOMS = ("tutorials", "how-to", "explanation", "reference")
PAGES = sorted(page for room in ROOMS for page in (DOCS / room).glob("*.md"))
PAGES += [REPOSITORY / "CHANGELOG.md", REPOSITORY / "CONTRIBUTING.md"]
LINKING = sorted({*PAGES, *DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")})
LANGUAGES = ("bash", "json", "jsonl", "python", "text", "toml", "yaml")
MINIMAL = {
    "name": "x",
    "space": "digits",
    "data": "digits",
    "setups": {"a": {"runtime": "tflite"}},
    "tiers": {"t": {"setup": "a"}},
}


def page_name(page: Path) -> str:
    return page.relative_to(DOCS if DOCS in page.parents else REPOSITORY).with_suffix("").as_posix()


each_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


def blocks(page: Path, language: str) -> list[str]:
    return [body for tag, body in fences(page) if tag == language]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path) -> list[list[str]]:
    """The cells of all table rows, heads and rules left out."""
    lines = [line for line in prose(page).splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {index for index, cells in enumerate(found) if set("".join(cells)) <= set("-:")}
    return [cells for index, cells in enumerate(found) if index not in rules and index + 1 not in rules]


def first_words(page: Path) -> list[str]:
    """What stands in backticks in the first cells of a page's tables."""
    return [word for cells in rows(page) for word in re.findall(r"`([^`]+)`", cells[0])]


# --- examples ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all pages, and what the run of docs/reference/python.md leaves beside them."""
    place = tmp_path_factory.mktemp("docs")
    for page in PAGES:
        for _, block in fences(page):
            if name := file_name(block):
                assert not (place / name).exists(), f"two blocks are the file {name}"
                (place / name).write_text(block, encoding="utf-8")
    execute(DOCS / "reference/python.md", place)
    return place


def execute(page: Path, place: Path) -> dict[str, Any]:
    """Run a page's Python blocks one after the other, as one program; what they define."""
    names: dict[str, Any] = {}
    with contextlib.chdir(place), contextlib.redirect_stdout(io.StringIO()):
        for number, block in enumerate(blocks(page, "python"), 1):
            if file_name(block) is None:
                exec(compile(block, f"{page.name}, block {number}", "exec"), names)  # noqa: S102 - our own pages
    return names


# by tests of their own
RUN_ELSEWHERE = {"how-to/export", "how-to/operators", "how-to/plugins", "reference/python"}
PROGRAMS = [page for page in PAGES if blocks(page, "python") and page_name(page) not in RUN_ELSEWHERE]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PROGRAMS if page.parent.name != "tutorials"], ids=page_name)
def test_python_examples_run(page: Path, folder: Path) -> None:
    execute(page, folder)


def test_the_exported_files_are_used_as_the_page_says(folder: Path) -> None:
    found = execute(DOCS / "how-to/export.md", folder)
    np.testing.assert_allclose(found["logits"], found["tflite_logits"], atol=1e-4)


@each_page
def test_every_block_names_its_language(page: Path) -> None:
    assert all(tag in LANGUAGES for tag, _ in fences(page))
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(fences(page))


@each_page
def test_yaml_is_understood(page: Path, folder: Path) -> None:
    for block in blocks(page, "yaml"):
        found = yaml.safe_load(block)
        if "stages" in found:
            check_space(parse_space(found, where=page.name, base=folder))
        else:
            setups = {"tiers": {"t": {"setup": next(iter(found["setups"]))}}} if "setups" in found else {}
            parse_experiment({**MINIMAL, **setups, **found}, where=page.name)


@each_page
def test_json_is_understood(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in blocks(page, "jsonl"):
        (tmp_path / "table.jsonl").write_text(block)
        table = read_table(tmp_path / "table.jsonl")
        assert (len(table.rows), len(table.checks), table.notices) == (1, 1, ())
        assert table.overhead


def test_the_architecture_on_the_page_is_one_of_the_space(folder: Path) -> None:
    from hwnas.pipeline import cost

    [block] = blocks(DOCS / "reference/spaces.md", "json")
    (folder / "architecture.json").write_text(block)
    assert cost(folder / "small.yaml", str(folder / "architecture.json"))["architecture"] == json.loads(block)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "tutorials"], ids=page_name)
def test_commands_exist_with_their_options(page: Path) -> None:
    from typer.main import get_command

    from hwnas.cli import app
    from hwnas.cli.bench import TIMING

    known: Mapping[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for line in "\n".join(blocks(page, "bash")).splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
            continue
        assert words[0] == "hwnas", f"`{line}`: teach this test how to check it"
        command = known[words[1]]
        if commands := getattr(command, "commands", None):
            command = commands.get(words[2], commands[TIMING])
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        assert all((REPOSITORY / word).is_file() for word in words if word.startswith("experiments/")), line


# --- tables ---


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the experiment as it is written, dotted, with its default."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        dotted = f"{prefix}{name}"
        if typing.get_origin(inner) is dict and isinstance(typing.get_args(inner)[1], type):
            inner, dotted = typing.get_args(inner)[1], f"{dotted}.NAME"
        section = next((arm for arm in typing.get_args(inner) if is_section(arm)), inner)
        if section is not inner:  # a section that may be left out
            yield dotted, field.default
        if is_section(section):
            yield from keys_of(section, f"{dotted}.")
        else:
            yield dotted, field.default


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_every_key_of_an_experiment_stands_on_the_page_with_its_default() -> None:
    keys = dict(keys_of(Experiment))
    told = {cells[0].strip("`"): cells for cells in rows(DOCS / "reference/experiments.md") if len(cells) == 4}
    assert told.keys() == keys.keys()
    for key, default in keys.items():
        _, kind, shown, meaning = told[key]
        assert shown == ("required" if default is PydanticUndefined else f"`{json.dumps(default)}`"), key
        assert kind
        assert meaning, key


def test_words_that_a_key_allows_are_the_families_members() -> None:
    page = DOCS / "reference/experiments.md"
    told = {cells[0].strip("`"): set(re.findall(r"`(\w+)`", cells[1])) for cells in rows(page) if len(cells) == 4}
    assert told["train.augment"] == AUGMENTATIONS.keys() | SIGNAL_AUGMENTATIONS.keys()
    assert told["search.sampler"] == {*SAMPLERS, "auto"}
    assert told["setups.NAME.runtime"] == {*RUNTIMES, "published"}
    assert told["export.formats"] == FORMATS.keys()
    assert told["train.strategy"] == STRATEGIES.keys()
    assert told["train.schedule"] == SCHEDULES.keys()
    assert told["train.launcher"] == LAUNCHERS.keys()
    page = DOCS / "how-to/search.md"
    assert SAMPLERS.keys() | PROXIES.keys() <= set(first_words(page))
    [default] = [cells[0].strip("`") for cells in rows(page) if "The default" in cells[-1]]
    assert default == Experiment.model_fields["search"].default.sampler


def test_everything_in_a_run_folder_stands_on_the_page(folder: Path) -> None:
    [layout] = [block for block in blocks(DOCS / "reference/experiments.md", "text") if "report.html" in block]
    left = [path.relative_to(folder / "runs" / "tiny") for path in (folder / "runs" / "tiny").rglob("*")]
    for path in left:
        if (folder / "runs" / "tiny" / path).is_file() and path.parts[0] not in ("artifacts", "bundle", "statistics"):
            told = str(path).replace("edge", "<tier>").replace("laptop", "<setup>").replace("0001", "NNNN")
            assert re.search(rf"(?m)^  {re.escape(told)}\b|\b{re.escape(told)}\b", layout) or path.suffix == ".csv", (
                told
            )


def test_a_front_is_what_the_page_says(folder: Path) -> None:
    points = json.loads((folder / "runs/tiny/fronts/edge.json").read_text())
    assert {key for point in points for key in point} <= set(first_words(DOCS / "reference/fronts.md"))


def fields_of(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of a manifest, down to what is keyed by names of the user's."""
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            yield from fields_of(inner[0], f"{name}[].")
        elif key == "preprocessing":  # its steps stand in a table of their own
            yield from (f"{name}.{one}" for one in inner)
        elif key in ("bundle", "supernet", "test_images"):
            yield from fields_of(inner, f"{name}.")
        else:
            yield name


def test_a_manifest_is_what_the_page_says(folder: Path) -> None:
    manifest = json.loads((folder / "runs/tiny/bundle/edge/manifest.json").read_text())
    assert sorted(fields_of(manifest)) == sorted(first_words(DOCS / "reference/manifest.md"))


@pytest.mark.parametrize("place", ["space", "input", "stage"])
def test_every_key_of_a_space_stands_on_the_page(place: str) -> None:
    whole: dict[str, Any] = {"name": "x", "input": {"channels": 1, "resolution": 8}, "classes": 2}
    whole["stages"] = [
        {"name": "stem", "op": "mbconv", "width": 8, "kernel": 3, "expand": 2},
        {"name": "head", "op": "classifier"},
    ]
    {"space": whole, "input": whole["input"], "stage": whole["stages"][0]}[place]["zz"] = 1
    with pytest.raises(SpaceError) as met:
        check_space(parse_space(whole, where="x"))
    known = met.value.allowed.partition("Known: ")[2].split(", ")
    assert len(known) >= 2
    assert not [key for key in known if f"`{key}`" not in prose(DOCS / "reference/spaces.md")]


def test_every_operator_stands_on_the_page_with_its_knobs() -> None:
    found: dict[str, dict[str, str]] = {}
    for cells in rows(DOCS / "reference/spaces.md"):
        if len(cells) == 4:
            operator, knob, default = (cell.strip("`") for cell in cells[:3])
            knobs = found.setdefault(operator or list(found)[-1], {})
            knobs |= {knob: default} if knob else {}
    for kind in OPERATORS:
        fields = dataclasses.fields(member(OPERATORS, kind, what="operator", where="docs"))[2:]  # after the channels
        defaults = {f.name: "required" if f.default is dataclasses.MISSING else str(f.default).lower() for f in fields}
        assert found[kind] == defaults
    assert found.keys() == OPERATORS.keys()
    assert all(f"`{name}`" in prose(DOCS / "reference/spaces.md") for name in ACTIVATIONS)


def test_every_kind_of_data_stands_on_the_page() -> None:
    known = DATA_SETS.keys() | AUGMENTATIONS.keys() | SIGNAL_AUGMENTATIONS.keys()
    assert known <= set(first_words(DOCS / "how-to/data.md"))


def test_every_task_stands_on_the_page_with_its_options_and_metrics() -> None:
    page = prose(DOCS / "reference/tasks.md")
    options, metrics = (page.partition(f"## {name}")[2].partition("\n## ")[0] for name in ("Options", "Metrics"))
    table = metrics.partition("The tests")[0]
    found: dict[str, list[tuple[str, str]]] = {}
    for task, metric, goal in re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \| (more|less) \|", table, re.MULTILINE):
        found.setdefault(task or list(found)[-1], []).append((metric, goal))
    for name in TASKS.own:
        task = open_task(name, where="docs")
        goals = {"max": "more", "min": "less"}
        assert found[name] == [(metric.name, goals[metric.goal]) for metric in task.metrics]
        for key in options_of(type(task)):
            assert f"| `{key}` |" in options
    assert found.keys() == TASKS.own.keys()


def test_every_room_and_every_verb_stands_on_a_page() -> None:
    package = REPOSITORY / "hwnas"
    rooms = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    layout = (DOCS / "explanation/layout.md").read_text(encoding="utf-8")
    assert not [room for room in rooms - {"__init__.py"} if f"  {room} " not in layout and f"  {room}/ " not in layout]
    verbs = set(re.findall(r"import (\w+) as \1$", (package / "pipeline.py").read_text(), re.MULTILINE))
    told = {word.partition("(")[0] for word in first_words(DOCS / "reference/python.md")}
    assert verbs
    assert verbs <= told


def test_the_files_on_the_walks_are_there() -> None:
    walks = [block for block in blocks(DOCS / "explanation/layout.md", "text") if block.startswith("hwnas/cli/")]
    files = [line.split()[0] for block in walks for line in block.splitlines()]
    assert len(walks) == 2
    assert not [file for file in files if not (REPOSITORY / file).is_file()]


# --- links ---


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(page)):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(path), f"{link} has no such heading"


def test_pages_that_code_and_errors_name_exist() -> None:
    folders = ("hwnas", "tests", "benchmarks", "experiments", "search_spaces", "schemas")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".yaml")]
    named = {(path, page) for path in files for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert named
    assert not [(path, page) for path, page in named if not (REPOSITORY / page).is_file()]


# --- what was measured ---


def test_every_result_stands_on_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in (DOCS / "results").glob("*.md"))
    assert not [path.name for path in (DOCS / "results").glob("*.json") if f"({path.name})" not in text]


def test_every_page_of_results_stands_in_the_summary() -> None:
    summary = (DOCS / "results/README.md").read_text("utf-8")
    pages = {page.name for page in (DOCS / "results").glob("*.md")} - {"README.md"}
    assert not [page for page in pages if f"({page}" not in summary]
