"""What the README tells people to type does what it says, or at least exists."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.helpers.pages import run_in_shell
from tests.helpers.repository import REPOSITORY

README = REPOSITORY / "README.md"
CHEAP = ("--help", "-h", "--version", "cost", "init", "show")  # run for real, where they need no finished run
EXTERNAL = ("apt-get", "cat", "cd", "cp", "git", "ls", "mkdir", "open", "python3", "scp", "source", "ssh", "xdg-open")


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8") if README.is_file() else ""
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines of all bash blocks: comments and prompts off, continued lines joined, `&&` apart."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    bare = (re.sub(r"\s#\s.*$", "", line.strip().removeprefix("$ ")).strip() for line in lines)
    return [part.strip() for line in bare if line and not line.startswith("#") for part in line.split("&&")]


def words_of(command: str) -> list[str]:
    """The words up to a pipe or a redirection."""
    words = shlex.split(command)
    stop = next((i for i, word in enumerate(words) if word in ("|", ">", ">>", "<", "2>")), len(words))
    return words[:stop]


def is_cheap(words: list[str]) -> bool:
    return len(words) > 1 and words[1] in CHEAP and not any("runs/" in word for word in words)


HWNAS = [command for command in commands() if words_of(command)[:1] == ["hwnas"]]
RUN = list(dict.fromkeys(command for command in HWNAS if is_cheap(words_of(command))))
LOOKED_UP = list(dict.fromkeys(command for command in HWNAS if not is_cheap(words_of(command))))


def test_the_readme_shows_at_least_five_commands() -> None:
    assert len(set(commands())) >= 5
    assert RUN, "at least one of them is quick enough to be run here"


def test_every_command_is_of_a_known_kind() -> None:
    for command in commands():
        first = next(word for word in words_of(command) if "=" not in word)
        assert first in ("hwnas", "make", "pip", *EXTERNAL), f"`{command}`: teach this test how to check it"


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_a_quick_command_runs(command: str, tmp_path: Path) -> None:
    done = run_in_shell(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout or ">" in command


@pytest.mark.slow
@pytest.mark.parametrize("command", LOOKED_UP)
def test_a_long_command_exists_with_its_options(command: str, tmp_path: Path) -> None:
    words = words_of(command)
    done = run_in_shell(f"hwnas {words[1]} --help", tmp_path)
    assert done.returncode == 0, done.stderr
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    for option in (word.split("=")[0] for word in words[2:] if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", plain), f"`{command}`: no option {option}"
    for word in words[2:]:
        if word.startswith(("experiments/", "search_spaces/", "latency_tables/")):
            assert (REPOSITORY / word).exists(), f"`{command}`: there is no {word}"


def test_make_targets_exist() -> None:
    for command in commands():
        words = words_of(command)
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            shown = ["make", "--dry-run", "--always-make", *targets]
            done = subprocess.run(shown, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"`{command}`: {done.stderr}"


def test_extras_that_are_to_be_installed_exist() -> None:
    known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for command in commands():
        for extras in re.findall(r"(?:hwnas|\.)\[([\w,-]+)\]", command):
            assert set(extras.split(",")) <= known.keys(), command


def test_python_blocks_import_what_is_there() -> None:
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hwnas":
                module = importlib.import_module(node.module)
                rooms = {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))}
                assert all(hasattr(module, a.name) or a.name in rooms for a in node.names), ast.unparse(node)


def test_links_to_files_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    missing = [link for link in links if not (REPOSITORY / link).exists()]
    assert not missing
