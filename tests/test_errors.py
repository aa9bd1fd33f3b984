"""Every error says four things."""

from __future__ import annotations

import copy
import pickle

import pytest

from hwnas import errors, lookup
from hwnas.errors import ConfigError, HwnasError, MissingExtra, did_you_mean

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
