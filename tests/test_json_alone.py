"""With `--json`, standard output holds one document or nothing, whatever functions of the user's print."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.cli.bench import bench_app
from hwnas.cli.entry import COMMANDS, app
from hwnas.cli.options import Json

NOISY = """print("imported")
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv

def net(choose):
    print("built")
    width = choose("width", [8, 16])
    return (1, 8, 8), {"a": Conv(1, width, 3), "head": Classifier(width, 2)}
"""


@pytest.fixture
def noisy(tmp_path: Path) -> str:
    (tmp_path / "noisy.py").write_text(NOISY)
    return f"{tmp_path / 'noisy.py'}:net"


@pytest.mark.parametrize("command", [["cost"], ["show"]])
def test_words_of_the_users_functions_are_no_part_of_the_document(command: list[str], noisy: str) -> None:
    done = CliRunner().invoke(app, [*command, noisy, "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["space" if command == ["cost"] else "name"] == "net"
    assert "built" in done.stderr


def test_without_json_they_stand_with_the_result(noisy: str) -> None:
    done = CliRunner().invoke(app, ["cost", noisy], catch_exceptions=False)
    assert "built" in done.stdout


@pytest.mark.parametrize("command", [["cost", "nosuch"], ["show", "nosuch"], ["doctor", "nosuch"], ["cost"]])
def test_a_command_that_is_refused_prints_no_document(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--json"])
    assert (done.exit_code != 0, done.stdout) == (True, "")


def test_a_schema_is_one_document_with_and_without_the_option() -> None:
    plain, asked = (CliRunner().invoke(app, ["schema", "space", *more]).stdout for more in ([], ["--json"]))
    assert plain == asked
    assert json.loads(plain)


def test_every_command_takes_the_same_option() -> None:
    functions = [*COMMANDS.values(), *(command.callback for command in bench_app.registered_commands)]
    annotated = [inspect.signature(one, eval_str=True).parameters.get("as_json") for one in functions if one]
    assert {one.annotation for one in annotated if one is not None} == {Json}
    assert sum(one is not None for one in annotated) > 15
