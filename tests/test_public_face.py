"""Every public name and verb says what it takes, returns and raises, with an example; the examples run."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import hwnas
from hwnas import pipeline
from hwnas.commands import validate_table
from hwnas.config import TimingConfig
from tests.helpers import opened_nets
from tests.helpers.deployments import write_deployment
from tests.helpers.experiments import FEW, written
from tests.helpers.hand_made_bundles import write_key_pair

VERBS = sorted(pipeline._VERBS)
NAMES: dict[str, Any] = {**dict.fromkeys(hwnas.__all__, hwnas), **dict.fromkeys(VERBS, pipeline)}
RUNGS = [{"score": "synflow", "networks": 4}, {"score": "inherited", "networks": 2}]


def documented(name: str) -> Any:
    """The object whose docstring speaks for a name: a constant's is that of its class."""
    value = getattr(NAMES[name], name)
    return value if callable(value) else type(value)


def section(text: str, title: str) -> str:
    """The indented lines below a title."""
    below = text.partition(f"\n{title}:\n")[2]
    return "\n".join(iter_indented(below.splitlines()))


def iter_indented(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line and not line.startswith(" "):
            return
        yield line


def field_strings(kind: type) -> set[str]:
    """Fields of a dataclass that have a string below them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def undocumented(value: Any, text: str) -> list[str]:
    """Parameters that no line of `Args` begins with; `setup` stands for `**setup`."""
    names = [name for name in inspect.signature(value).parameters if name not in ("self", "args")]
    told = {line.strip().partition(":")[0] for line in section(text, "Args").splitlines()}
    if dataclasses.is_dataclass(value):
        told |= field_strings(value)  # type: ignore[arg-type]
    return [name for name in names if name not in told]


def can_raise(function: Callable[..., Any]) -> bool:
    """True if a function raises, or calls one that says that it does."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    known = (getattr(sys.modules[function.__module__], name, None) for name in called)
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree)) or any(
        "Raises:" in (inspect.getdoc(one) or "") for one in known if inspect.isfunction(one)
    )


def lacking(value: Any) -> list[str]:
    """Sections that a docstring should have and does not, and parameters that it leaves out."""
    text = inspect.getdoc(value) or ""
    needed = ["Example"]
    if inspect.isfunction(value):
        needed += ["Returns"] * (inspect.signature(value).return_annotation not in (None, "None"))
        needed += ["Raises"] * can_raise(value)
    return [title for title in needed if not section(text, title)] + undocumented(value, text)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_have_all_sections(name: str) -> None:
    assert lacking(documented(name)) == []
    assert ">>> " in section(inspect.getdoc(documented(name)) or "", "Example")


def test_a_docstring_without_sections_is_seen() -> None:
    def bare(width: int) -> int:
        """Return it."""
        if width < 0:
            raise ValueError
        return width

    def silent(width: int) -> None:
        """Do nothing.

        Args:
            width: in channels.

        Example:
            >>> silent(1)
        """

    assert lacking(bare) == ["Example", "Returns", "Raises", "width"]
    assert lacking(silent) == []


def run_example(name: str) -> None:
    value = documented(name)
    names = dict(vars(sys.modules[value.__module__]))
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(value) or "", names, name, None, None)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=report.append)
    assert result.attempted
    assert not result.failed, "".join(report)


@pytest.mark.parametrize("name", hwnas.__all__)
def test_examples_of_names_run(name: str) -> None:
    run_example(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, its space and its finished run, which all examples of verbs share."""
    top = tmp_path_factory.mktemp("face")
    written(
        top,
        FEW,
        search={"trials": 4, "successive_halving": RUNGS},
        export={"formats": ["onnx"], "picks": ["best"]},
        timing={"rounds": 3, "warm_up_ms": 0, "min_sample_ms": 0.1, "validation_networks": 2},
    )
    pipeline.run(top / "mini.yaml", runs=top / "runs")
    opened_nets.written(top)
    return top


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_examples_of_verbs_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are interrupted at once, and `check` times few rounds."""
    monkeypatch.chdir(folder)
    quick = TimingConfig(rounds=3, warm_up_ms=0, min_sample_ms=0.1)
    monkeypatch.setattr(validate_table, "TimingConfig", lambda: quick)
    if name == "dashboard":
        server = pytest.importorskip("optuna_dashboard")
        monkeypatch.setattr(server, "run_server", interrupted)
    if name == "serve_storage":
        pytest.importorskip("grpc")
        monkeypatch.setattr("optuna.storages.run_grpc_proxy_server", interrupted)
    if name in ("plan_edge_cloud", "export_plan"):
        pair(folder)
    if name == "export_plan":
        pipeline.plan_edge_cloud("pair.yaml", "wifi")
    if name == "sign":
        pytest.importorskip("model_signing", reason="model-signing is not installed")
        write_key_pair(folder, "key")
    if name == "serve":
        monkeypatch.setattr("hwnas.serve.server.run_loop", lambda server, address: address.listener.close())
        write_deployment(folder / "runs" / "demo" / "plans" / "best")
    run_example(name)


def pair(folder: Path) -> None:
    """Search the experiment for two tiers."""
    tiers = {"edge": {"setup": "cpu", "limits": {"params": 400}}, "cloud": {"setup": "cpu"}}
    path = folder / "pair.yaml"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load((folder / "mini.yaml").read_text()), "name": "pair", "tiers": tiers})
    )
    for verb in (pipeline.bench, pipeline.train, pipeline.search):
        verb(path)


def interrupted(*given: Any, **options: Any) -> None:
    raise KeyboardInterrupt
