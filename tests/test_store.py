"""Laws of the store: what was recorded is there afterwards, whatever happened to the process."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hwnas.errors import RunError
from hwnas.search.score_store import ScoreStore
from hwnas.space import Architecture

A, B = Architecture("s", (("depth", 2), ("op", "conv"))), Architecture("s", (("depth", 3), ("op", "conv")))
TOP1 = "top1@inherited"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.jsonl"


def test_what_was_recorded_is_read_back(path: Path) -> None:
    store = ScoreStore.open(path)
    store.record(A, TOP1, 0.1 + 0.2, producer="p1", elapsed_s=1.5)
    store.record_failure(B, TOP1, "diverged", producer="p1", elapsed_s=0.5)
    again = ScoreStore.open(path)
    assert again.scores == store.scores
    score, failure = again.get(A, TOP1, "p1"), again.get(B, TOP1, "p1")
    assert score is not None
    assert (score.value, score.failed, score.architecture) == (0.1 + 0.2, None, A)
    assert failure is not None
    assert (failure.value, failure.failed) == (None, "diverged")
    assert again.architectures == (A, B)
    assert again.notices == ()


def test_a_standard_error_stands_beside_its_score(path: Path) -> None:
    store = ScoreStore.open(path)
    store.record(A, TOP1, 0.8, producer="p1", elapsed_s=1, error=0.0057)
    store.record(B, TOP1, 0.8, producer="p1", elapsed_s=1)
    again = ScoreStore.open(path)
    assert [score.error for score in again.scores] == [0.0057, None]
    assert '"error": 0.0057' in path.read_text().splitlines()[0]
    assert "error" not in path.read_text().splitlines()[1]


def test_scores_of_unlike_origin_do_not_mix(path: Path) -> None:
    store = ScoreStore.open(path)
    store.record(A, TOP1, 0.5, producer="checkpoint 1", elapsed_s=0)
    assert store.get(A, TOP1, "checkpoint 2") is None
    assert store.get(A, "top1@short", "checkpoint 1") is None
    assert store.get(B, TOP1, "checkpoint 1") is None


def test_the_later_of_two_scores_counts(path: Path) -> None:
    store = ScoreStore.open(path)
    store.record_failure(A, TOP1, "out of memory", producer="p", elapsed_s=0)
    store.record(A, TOP1, 0.5, producer="p", elapsed_s=0)
    again = ScoreStore.open(path).get(A, TOP1, "p")
    assert again is not None
    assert again.value == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_leaves_no_trace(path: Path, value: float) -> None:
    store = ScoreStore.open(path)
    with pytest.raises(RunError, match="no number"):
        store.record(A, TOP1, value, producer="p", elapsed_s=0)
    assert store.get(A, TOP1, "p") is None
    assert not path.exists()


def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(path: Path) -> None:
    store = ScoreStore.open(path)
    store.record(A, TOP1, 0.5, producer="p", elapsed_s=0)
    first = path.stat().st_size
    store.record(B, TOP1, 0.6, producer="p", elapsed_s=0)
    content = path.read_bytes()
    for size in range(first + 1, len(content), 17):
        path.write_bytes(content[:size])
        cut = ScoreStore.open(path)
        assert cut.architectures == (A,)
        assert "cut off" in cut.notices[0]
        assert path.read_bytes() == content[:size], "reading alone changes nothing"
        cut.record(B, TOP1, 0.7, producer="p", elapsed_s=0)
        again = ScoreStore.open(path)
        assert again.notices == ()
        assert [score.value for score in again.scores] == [0.5, 0.7]


@pytest.mark.parametrize(
    "line",
    ['{"key": ', "[1, 2]", '{"key": "x"}', "{}", '{"value": NaN}'],
    ids=["no JSON", "no object", "keys missing", "empty", "NaN"],
)
def test_a_damaged_line_is_named(path: Path, line: str) -> None:
    ScoreStore.open(path).record(A, TOP1, 0.5, producer="p", elapsed_s=0)
    whole = path.read_text()
    path.write_text(whole + line + "\n" + whole)
    with pytest.raises(RunError, match=r"scores\.jsonl:2:"):
        ScoreStore.open(path)


@pytest.mark.parametrize(
    "change", [{"value": True}, {"value": "0.5"}, {"failed": "why"}, {"key": "0" * 12}, {"value": None}]
)
def test_a_line_that_contradicts_itself_is_damaged(path: Path, change: dict[str, object]) -> None:
    ScoreStore.open(path).record(A, TOP1, 0.5, producer="p", elapsed_s=0)
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(RunError, match=r"scores\.jsonl:1:"):
        ScoreStore.open(path)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be appended"):
        ScoreStore.open(tmp_path / "missing" / "scores.jsonl").record(A, TOP1, 0.5, producer="p", elapsed_s=0)
