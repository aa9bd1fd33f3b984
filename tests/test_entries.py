"""Laws of a study's journal: whatever is changed in it is either read or named by its line, and never a traceback."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError, RunError
from hwnas.search.consistency import check_study, stored_studies
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture
from tests.helpers.studies import LIMITED, SPACE, score

PLAN = StudySpec(SPACE, LIMITED, "nsga2", population=2, seed=3)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 5, 99, 1e308, 10**400, "", "x", "2026-99-99", [], [[]], {}, {"a": {}}, [None], {"key": 1}, "{}",
)  # fmt: skip


def scored(architecture: Architecture) -> Any:
    return score(architecture, LIMITED)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A journal of both kinds: trials that were written whole, and some that were claimed first."""
    log = tmp_path_factory.mktemp("journal") / "study.log"
    open_study(PLAN, log).run(scored, 3)
    shared = open_study(PLAN, log, shared=True)
    shared.run(scored, 5)
    shared.ask()
    shared.close()
    return log.read_text().splitlines()


def places(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [trail, *(place for key, one in inner for place in places(one, (*trail, key)))]


def changed(line: str, trail: tuple[Any, ...], value: Any, drop: bool) -> str:
    record = holder = json.loads(line)
    for step in trail[:-1]:
        holder = holder[step]
    if not trail:
        return json.dumps(value)
    if drop:
        del holder[trail[-1]]
    else:
        holder[trail[-1]] = value
    return json.dumps(record)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_one_value_changed_is_read_or_named_and_never_a_traceback(
    lines: list[str], tmp_path: Path, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(lines) - 1))
    trail = data.draw(st.sampled_from(places(json.loads(lines[number]))))
    line = changed(lines[number], trail, data.draw(st.sampled_from(ODD)), data.draw(st.booleans()))
    log = tmp_path / "study.log"
    content = "\n".join([*lines[:number], line, *lines[number + 1 :]]) + "\n"
    log.write_text(content)
    with suppress(HwnasError):
        for study in stored_studies(log, ""):
            for ailment in check_study(study, LIMITED):
                assert all((ailment.problem, ailment.where, ailment.allowed, ailment.do))
    assert log.read_text() == content, "to look changes nothing"
    for shared in (False, True):
        with suppress(HwnasError):
            again = open_study(PLAN, log, shared=shared)
            again.run(scored, 7)
            again.close()


@pytest.mark.parametrize(
    ("change", "met"),
    [
        (lambda entry: [entry], "it is a list"),
        (lambda entry: {**entry, "op_code": 77}, "`op_code` is 77"),
        (lambda entry: {**entry, "op_code": "4"}, "`op_code` is a text"),
        (lambda entry: {**entry, "state": 9}, "`state` is 9"),
        (lambda entry: {**entry, "values": ["a", 1]}, r"`values\[0\]` is a text"),
        (lambda entry: {**entry, "params": {**entry["params"], "k0": 99}}, "`params.k0` is 99"),
        (lambda entry: {**entry, "distributions": {}}, "has no distribution"),
        (lambda entry: {name: value for name, value in entry.items() if name != "study_id"}, "`study_id` is missing"),
    ],
)
def test_an_odd_entry_is_named_by_file_line_and_field(change: Any, met: str, lines: list[str], tmp_path: Path) -> None:
    number = next(n for n, line in enumerate(lines) if '"params"' in line)
    odd = [*lines[:number], json.dumps(change(json.loads(lines[number]))), *lines[number + 1 :]]
    (tmp_path / "study.log").write_text("\n".join(odd) + "\n")
    for read in (lambda log: open_study(PLAN, log), lambda log: stored_studies(log, "")):
        with pytest.raises(RunError, match=met) as caught:
            read(tmp_path / "study.log")
        assert caught.value.where == f"{tmp_path / 'study.log'}:{number + 1}"
