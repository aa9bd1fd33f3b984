"""Laws of handing out batches of a study: told once, in order, and what is lost with a worker is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwnas.errors import HostAway, RunError
from hwnas.search.consistency import check_study, stored_studies
from hwnas.search.evaluate import Evaluation
from hwnas.search.score_store import ScoreStore
from hwnas.search.study import Study, open_study
from hwnas.search.workers.coordinator import desk_class
from hwnas.search.workers.dispatcher import MAX_WORKER_DEATHS, Dispatcher, Done, ScoringTask, score_all
from hwnas.search.workers.pool import WorkerPool
from hwnas.search.workers.score_cache import ScoreBuffer
from hwnas.space import Architecture
from tests.helpers.ray_workers import scored
from tests.helpers.studies import PLAN, TOP1, keys


def test_tells_come_with_the_batch_and_no_more_are_asked_than_are_wanted() -> None:
    study = open_study(PLAN)
    source = Dispatcher(study, 7, 3)
    first, second = source.dispatch("a"), source.dispatch("b")
    assert first is not None
    assert second is not None
    source.complete("b", score_all(scored, second))
    assert study.n_trials == 3
    last = source.dispatch("b")
    assert last is not None
    assert len(last) == 1, "seven are wanted"
    assert source.dispatch("c") is None, "what others have in hand may come back"
    source.complete("a", score_all(scored, first))
    source.complete("b", score_all(scored, last))
    assert source.dispatch("a") == []
    assert study.n_trials == 7


def test_a_lost_batch_is_tried_one_by_one_and_comes_back() -> None:
    study = open_study(PLAN)
    source = Dispatcher(study, 3, 3)
    batch = source.dispatch("a")
    assert batch is not None
    source.requeue("a")
    for task in batch:
        alone = source.dispatch("b")
        assert alone == [task]
        source.complete("b", score_all(scored, alone))
    assert [evaluation.failed for evaluation in study.evaluations] == [None] * 3
    assert source.dispatch("b") == []


def test_what_killed_its_workers_alone_fails_and_the_search_goes_on() -> None:
    study = open_study(PLAN)
    source = Dispatcher(study, 2, 2)
    batch = source.dispatch("a") or []
    source.requeue("a")
    for _ in range(MAX_WORKER_DEATHS):
        assert source.dispatch("a") == batch[:1]
        assert study.n_trials == 0
        source.requeue("a")
    other = source.dispatch("a") or []
    assert other == batch[1:]
    source.complete("a", score_all(scored, other))
    assert [evaluation.failed for evaluation in study.evaluations] == ["3 workers died while they scored it", None]


def test_an_error_about_the_set_up_stops_the_search_and_keeps_what_was_scored() -> None:
    def away(architecture: Architecture, ledger: ScoreBuffer) -> Evaluation:
        if architecture == batch[1].architecture:
            raise HostAway("it does not answer", where="board", allowed="a", do="b")
        return scored(architecture, ledger)

    study = open_study(PLAN)
    source = Dispatcher(study, 9, 3)
    batch = source.dispatch("a") or []
    source.complete("a", score_all(away, batch))
    assert study.n_trials == 1
    assert isinstance(source.raised, HostAway)
    assert source.dispatch("b") == []


def test_a_score_that_the_store_has_is_not_computed_again(tmp_path: Path) -> None:
    store = ScoreStore.open(tmp_path / "scores.jsonl")
    study = open_study(PLAN)
    first = study.ask()
    assert first is not None
    store.record(first.architecture, TOP1, 99.0, producer="toy", elapsed_s=1.0)
    again = open_study(PLAN)
    source = Dispatcher(again, 1, 1, store=store, producers={TOP1: "toy"})
    (task,) = source.dispatch("a") or []
    source.complete("a", score_all(scored, [task]))
    assert again.evaluations[0].scores[TOP1] == 99.0
    assert len(store) == 1


def test_a_batch_that_is_told_together_is_what_is_told_one_by_one(tmp_path: Path) -> None:
    logs = []
    for batch in (1, 4):
        study = open_study(PLAN, tmp_path / f"{batch}.log")
        source = Dispatcher(study, 4, batch)
        while tasks := source.dispatch("a"):
            source.complete("a", score_all(scored, tasks))
        assert open_study(PLAN, tmp_path / f"{batch}.log").evaluations == study.evaluations
        logs.append((tmp_path / f"{batch}.log").read_bytes().count(b"\n"))
    assert logs[0] == logs[1]


class Desk:
    """What was put on it, by actor."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Sequence[ScoringTask]]] = []
        self.renewed = 0

        self.numbers = set[int]()

    def put(self, actor: str, number: int, tasks: Sequence[ScoringTask]) -> None:
        self.found.append((actor, tasks))
        self.numbers.add(number)

    def renew(self, lost: str | None) -> bool:
        is_this = lost == str(self.renewed)
        self.renewed += is_this
        return is_this


def test_an_actor_that_is_up_in_place_of_another_gets_what_that_one_lost() -> None:
    study, desk = open_study(PLAN), Desk()
    crew = WorkerPool(Dispatcher(study, 1, 1), 2, desk)
    assert crew.wants_worker("w")
    crew.on_result("w", "first", None)
    crew.on_worker_died("w")
    crew.on_result("w", "second", None)
    (_, lost), (actor, again) = desk.found
    assert (actor, again) == ("second", lost)
    assert crew.wants_worker("x")
    assert not crew.wants_worker("y"), "two are wanted"
    crew.on_result("x", "third", None)
    assert len(desk.found) == 2, "one architecture is wanted, and it is in hand"
    crew.on_result("w", "second", score_all(scored, list(lost)))
    assert {(actor, tasks) for actor, tasks in desk.found[2:]} == {("second", ()), ("third", ())}
    assert crew.ended
    assert keys(study) == [lost[0].architecture.key]


def test_a_worker_that_is_given_up_is_replaced_and_its_batch_goes_to_another() -> None:
    study, desk = open_study(PLAN), Desk()
    crew = WorkerPool(Dispatcher(study, 2, 1), 1, desk)
    crew.wants_worker("w")
    crew.on_result("w", "first", None)
    crew.on_worker_exit("w", died=True)
    assert crew.wants_worker("x")
    crew.on_result("x", "second", None)
    assert desk.found[0][1] == desk.found[1][1]
    assert crew.source.raised is None


def test_what_cannot_be_kept_ends_the_search_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RunError("no space is left", where="study", allowed="a", do="b")

    study, desk = open_study(PLAN), Desk()
    crew = WorkerPool(Dispatcher(study, 2, 1), 1, desk)
    crew.on_result("w", "first", None)
    monkeypatch.setattr(study, "tell", full)
    crew.on_result("w", "first", score_all(scored, list(desk.found[0][1])))
    assert isinstance(crew.source.raised, RunError)
    assert desk.found[1:] == [("first", ())], "the worker goes home"
    assert not crew.wants_worker("x")


def test_an_empty_batch_is_no_news() -> None:
    crew = WorkerPool(Dispatcher(open_study(PLAN), 2, 1), 1, Desk())
    crew.on_result("w", "first", Done(()))
    assert crew.source.raised is None


def test_a_desk_that_dies_is_no_network_s_fault() -> None:
    study, desk = open_study(PLAN), Desk()
    crew = WorkerPool(Dispatcher(study, 3, 1), 2, desk)
    for worker in ("w", "x"):
        crew.wants_worker(worker)
        crew.on_result(worker, worker, None)
    batches = dict(desk.found)
    desk.found.clear()
    crew.stranded("w", "w", "0")
    assert len(desk.found) == 2, "the other one may never know that there was another desk"
    crew.stranded("x", "x", "0")
    assert desk.renewed == 1, "one desk for both"
    assert desk.numbers == {1, 2}, "who has had one passes it over"
    assert dict(desk.found) == batches, "what lay on the lost desk lies on the new one, for whoever asks there"
    for worker in ("w", "x"):
        crew.on_result(worker, worker, score_all(scored, batches[worker]))
    (_, last) = desk.found[2]
    crew.on_result("w", "w", score_all(scored, last))
    assert study.n_trials == 3
    assert all(evaluation.failed is None for evaluation in study.evaluations)


def test_a_batch_that_arrives_after_a_later_one_replaces_nothing() -> None:
    async def lay_out_of_order() -> list[int]:
        desk = desk_class()()
        for number in (2, 1):  # Ray keeps no order
            await desk.put("w", number, ())
        taken = [await asyncio.wait_for(desk.take("w", 1), 5)]
        for number in (1, 4):
            await desk.put("w", number, ())
        taken.append(await asyncio.wait_for(desk.take("w", 2), 5))
        await desk.put("w", 3, ())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(desk.take("w", 4), 0.05)
        return [number for number, _ in taken]

    assert asyncio.run(lay_out_of_order()) == [2, 4]


def test_desks_that_die_one_after_the_other_end_the_search_and_nothing_fails() -> None:
    study, desk = open_study(PLAN), Desk()
    crew = WorkerPool(Dispatcher(study, 3, 1), 1, desk)
    crew.wants_worker("w")
    crew.on_result("w", "w", None)
    for number in range(9):
        crew.stranded("w", "w", str(number))
    assert crew.hopeless
    assert "died 4 times in a row" in str(crew.source.raised)
    assert study.n_trials == 0


def dies(study: Study, key: str, trials: int) -> list[str]:
    """Score by one worker that dies of one architecture; what was handed out, in order."""
    study.retry()
    source, handed = Dispatcher(study, trials, 1), list[str]()
    while tasks := source.dispatch("w"):
        handed.append(tasks[0].architecture.key)
        if handed[-1] == key:
            source.requeue("w")
        else:
            source.complete("w", score_all(scored, tasks))
    return handed


@pytest.mark.parametrize("shared", [False, True])
def test_what_killed_its_workers_is_tried_once_more_by_each_command(shared: bool, tmp_path: Path) -> None:
    log, whole = tmp_path / "study.log", open_study(PLAN)
    whole.run(lambda a: scored(a, ScoreBuffer(())), 5)
    deadly = keys(whole)[1]
    for command, tried in enumerate((MAX_WORKER_DEATHS, 1, 1)):
        study = open_study(PLAN, log, shared=shared)
        assert study.n_trials == (5 if command else 0), "who only reads sees all that was tried"
        assert dies(study, deadly, 5).count(deadly) == tried
        assert study.n_trials == 5
        study.close()
        (failed,) = [e for e in open_study(PLAN, log, shared=shared).evaluations if e.failed]
        assert (failed.architecture.key, failed.deaths) == (deadly, MAX_WORKER_DEATHS + command)
    study = open_study(PLAN, log, shared=shared)
    dies(study, "", 5)
    assert open_study(PLAN, log, shared=shared).evaluations == study.evaluations
    assert study.n_trials == len({e.architecture for e in study.evaluations if e.failed is None}) == 5
    (kept,) = stored_studies(log, PLAN.tier.name)
    assert list(check_study(kept, PLAN.tier)) == []


def test_failures_of_an_earlier_version_are_known_by_their_words(tmp_path: Path) -> None:
    log = tmp_path / "study.log"
    study = open_study(PLAN, log)
    assert dies(study, _first(), 2).count(_first()) == MAX_WORKER_DEATHS
    log.write_text(log.read_text().replace(',"deaths":3', ""))
    again = open_study(PLAN, log)
    assert dies(again, "", 2) == [_first()]
    assert all(evaluation.failed is None for evaluation in again.evaluations)


def _first() -> str:
    trial = open_study(PLAN).ask()
    assert trial is not None
    return trial.architecture.key
