"""Every error says four things."""

from __future__ import annotations

import ast
import copy
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from hwnas import errors
from hwnas import registry as lookup
from hwnas.errors import ConfigError, HwnasError, MissingExtra, did_you_mean, raised, reason

CHILDREN = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HwnasError)]


@pytest.mark.parametrize("kind", CHILDREN)
def test_the_text_holds_all_four_parts_in_order(kind: type[HwnasError]) -> None:
    error = kind("stride 2 at resolution 7", where="s3", allowed="An even input is needed", do="Use stride 1")
    assert str(error) == "s3: stride 2 at resolution 7. An even input is needed. Use stride 1."
    assert (error.met, error.where, error.allowed, error.do) == (
        "stride 2 at resolution 7",
        "s3",
        "An even input is needed",
        "Use stride 1",
    )


@pytest.mark.parametrize("kind", [kind for kind in CHILDREN if kind is not HwnasError])
def test_each_child_is_also_an_ordinary_error(kind: type[HwnasError]) -> None:
    assert issubclass(kind, ValueError | RuntimeError | ImportError)


@pytest.mark.parametrize("kind", CHILDREN)
@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_errors_travel_between_processes(kind: type[HwnasError], travel: object) -> None:
    error = kind("met", where="where", allowed="allowed", do="do")
    arrived = travel(error)  # type: ignore[operator]
    assert type(arrived) is kind
    assert str(arrived) == str(error)


def test_the_nearest_word_leads() -> None:
    assert did_you_mean("kernal", ["kernel", "expand"]) == "Did you mean `kernel`? Known: expand, kernel"
    assert did_you_mean("zzz", ["kernel"]) == "Known: kernel"
    assert did_you_mean("zzz", []) == "Known: none"


def test_a_member_is_looked_up_in_its_table() -> None:
    table = {"ordered": "collections:OrderedDict"}
    assert lookup.member(table, "ordered", what="mapping", where="here").__name__ == "OrderedDict"
    with pytest.raises(ConfigError, match=r"here: unknown mapping `orderd`\. Did you mean `ordered`\?"):
        lookup.member(table, "orderd", what="mapping", where="here")


def test_a_missing_extra_names_the_pip_command() -> None:
    assert lookup.optional("json", extra="x", why="reading") is not None
    with pytest.raises(
        MissingExtra, match=r'TFLite files: the package `no_such_package`.*pip install "hwnas\[convert\]"'
    ):
        lookup.optional("no_such_package", extra="convert", why="TFLite files")


def _caught(run: object) -> BaseException:
    with pytest.raises(Exception) as caught:
        run()  # type: ignore[operator]
    return caught.value


PACKAGE = Path(errors.__file__).parent
FAILURES = {
    "no file": (lambda: Path("/no/such/file").read_text(), "No such file or directory"),
    "a folder in its place": (lambda: Path("/").read_text(), "Is a directory"),
    "no JSON": (
        lambda: json.loads("{"),
        "it is no JSON: expecting property name enclosed in double quotes at character 2",
    ),
    "no JSON further down": (lambda: json.loads('{\n"a": }'), "it is no JSON: expecting value at line 2, character 6"),
    "no UTF-8": (lambda: b"\xff".decode(), "it is no UTF-8 text"),
    "a field that is missing": (lambda: {}["architecture"], "`architecture` is missing"),
    "another kind of value": (lambda: float([]), "a value is of another kind than is needed"),
    "another kind of object": (lambda: [].items(), "a value is of another kind than is needed"),
    "too short a list": (lambda: [][0], "a list is too short"),
    "no words": (lambda: (_ for _ in ()).throw(EOFError()), "it ends too early"),
    "no words and no kind": (lambda: (_ for _ in ()).throw(RuntimeError()), "no reason is given"),
    "an archive": (lambda: zipfile.ZipFile(io.BytesIO(b"PK")), "File is not a zip file"),
    "a pickle": (lambda: pickle.loads(b"x"), "it is damaged, or holds more than tensors, numbers and texts"),  # noqa: S301
    "PyTorch's advice": (
        lambda: (_ for _ in ()).throw(RuntimeError("PytorchStreamReader failed reading zip archive\nPlease report")),
        "failed reading zip archive",
    ),
    "a heading": (
        lambda: (_ for _ in ()).throw(ValueError("Errors in loading:\n\tMissing key a")),
        "Errors in loading: Missing key a",
    ),
    "four parts": (
        lambda: (_ for _ in ()).throw(ConfigError("no such set-up", where="setups", allowed="a", do="b")),
        "setups: no such set-up",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_why_something_failed_is_told_without_pythons_names(case: str) -> None:
    run, words = FAILURES[case]
    assert reason(_caught(run)) == words


def test_what_a_users_code_raised_is_told_with_its_class() -> None:
    assert raised(KeyError("wide")) == "KeyError: 'wide'"
    assert raised(FileNotFoundError(2, "No such file or directory", "a.npy")) == (
        "FileNotFoundError: No such file or directory: a.npy"
    )
    assert raised(SyntaxError("invalid syntax", ("a.py", 3, 1, "x"))) == "SyntaxError: invalid syntax"
    assert raised(ValueError("too\nfew\n\nframe #0: ...")) == "ValueError: too few"
    assert raised(ValueError()) == "ValueError: no reason is given"


def test_no_other_place_puts_an_exception_into_words() -> None:
    """An f-string with the class of an exception, or the whole of one that is no HwnasError, shows Python's words."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if path.name != "errors.py" and isinstance(node, ast.FormattedValue):
                text = ast.unparse(node.value)
                assert text not in ("type(error).__name__", "error.__class__.__name__"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_place_without_a_letter_is_quoted(blank: str) -> None:
    assert ConfigError("met", where=blank, allowed="allowed", do="do").where == repr(blank)
