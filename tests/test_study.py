"""Laws of studies: continued equals never interrupted, nothing is tried twice, limits and failures are told as such."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hwnas.errors import ConfigError, HwnasError, RunError, SpaceError
from hwnas.pareto import Tier, front
from hwnas.search.evaluate import Evaluation
from hwnas.search.fronts import hypervolume_history
from hwnas.search.progress import Finished, Progress
from hwnas.search.samplers import SAMPLERS
from hwnas.search.score_store import ScoreStore
from hwnas.search.storage.in_memory import InMemoryStorage
from hwnas.search.study import open_study
from hwnas.search.study_spec import StudySpec
from hwnas.space import Architecture, FunctionSpace
from tests.helpers.studies import (
    LATENCY,
    LIMITED,
    SPACE,
    TIER,
    TOP1,
    keys,
    score,
    stored_plan,
    stored_score,
)

FAST = [name for name in SAMPLERS if name not in ("gp", "guided")]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "study-edge.log"


# --- continuing ---


@pytest.mark.parametrize("sampler", FAST)
@pytest.mark.parametrize("stop", [7, 18, 30])
def test_a_continued_study_is_the_one_never_interrupted(log: Path, sampler: str, stop: int) -> None:
    def limited(architecture: Architecture) -> Evaluation:
        if architecture.key[0] == "0":
            return Evaluation(architecture, {}, failed="boom")
        return score(architecture, LIMITED)

    plan = StudySpec(SPACE, LIMITED, sampler, population=6, seed=3)
    whole = open_study(plan)
    whole.run(limited, 42)
    open_study(plan, log).run(limited, stop)
    continued = open_study(plan, log)
    assert len(continued.evaluations) == stop
    continued.run(limited, 42)
    assert continued.evaluations == whole.evaluations
    assert open_study(plan, log).evaluations == whole.evaluations


@pytest.mark.slow
def test_gaussian_processes_continue_as_well(log: Path) -> None:
    small = FunctionSpace("small", lambda choose: [choose(f"k{i}", (3, 5, 7)) for i in range(3)])

    def scored(architecture: Architecture) -> Evaluation:
        values = [float(v) for _, v in architecture.picks]
        return Evaluation(architecture, {TOP1: sum(values), LATENCY: values[0] * values[1]})

    plan = StudySpec(small, TIER, "gp", seed=1)
    whole = open_study(plan)
    whole.run(scored, 12)
    open_study(plan, log).run(scored, 11)
    continued = open_study(plan, log)
    continued.run(scored, 12)
    assert continued.evaluations == whole.evaluations


def test_a_log_cut_anywhere_loses_at_most_one_trial(log: Path) -> None:
    plan = StudySpec(SPACE, TIER, population=4, seed=1)
    open_study(plan, log).run(score, 12)
    content, whole = log.read_bytes(), open_study(plan, log).evaluations
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for size in [*range(last + 1, len(content), 250), len(content) - 1]:
        log.write_bytes(content[:size])
        study = open_study(plan, log)
        assert study.evaluations == whole[:11]
        assert "cut off" in study.notices[0]
        study.run(score, 12)
        assert open_study(plan, log).evaluations == whole


RUN = """
import sys, time
from pathlib import Path
from hwnas.search.study import open_study
from tests.helpers.studies import stored_plan, stored_score
from hwnas.search.score_store import ScoreStore
folder = Path(sys.argv[1])
store = ScoreStore.open(folder / "scores.jsonl")
study = open_study(stored_plan(), folder / "study-edge.log")
study.run(lambda a: stored_score(a, store, 0.004), 60)
"""


@pytest.mark.slow
def test_kill_9_loses_at_most_the_trial_in_hand(tmp_path: Path, repository: Path) -> None:
    log, scores = tmp_path / "study-edge.log", tmp_path / "scores.jsonl"
    told = 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], cwd=repository)
        try:
            deadline = time.monotonic() + 60
            while lines(scores) < told + 12:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        stored, before = lines(scores), told
        study = open_study(stored_plan(), log)
        told = len(study.evaluations)
        assert before < told < 60
        assert stored - 1 <= told <= stored, "a score is stored first, then its trial is told"
    started = time.monotonic()
    store = ScoreStore.open(scores)
    study.run(lambda a: stored_score(a, store, 0), 60)
    assert time.monotonic() - started < 20, "nobody waits for a lock that a dead process held"
    whole = open_study(stored_plan())
    whole.run(score, 60)
    assert study.evaluations == whole.evaluations
    assert lines(scores) == len(store) == 60, "nothing was scored twice"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_trials_of_other_hands_are_left_alone(log: Path) -> None:
    plan = StudySpec(SPACE, TIER, population=6, seed=2)
    open_study(plan, log).run(score, 10)
    kept = reopened(log)
    kept.ask()  # is left running, as a killed worker would leave it
    kept.add_trial(optuna.trial.create_trial(values=[1.0, 1.0]))
    study = open_study(plan, log)
    study.run(score, 20)
    whole = open_study(plan)
    whole.run(score, 20)
    assert study.evaluations == whole.evaluations


def test_a_database_continues_as_well(tmp_path: Path) -> None:
    plan, url = StudySpec(SPACE, LIMITED, population=6), f"sqlite:///{tmp_path}/study.db"
    open_study(plan, url, name="run/edge").run(lambda a: score(a, LIMITED), 8)
    study = open_study(plan, url, name="run/edge")
    study.run(lambda a: score(a, LIMITED), 16)
    whole = open_study(plan)
    whole.run(lambda a: score(a, LIMITED), 16)
    assert study.evaluations == whole.evaluations


@pytest.mark.parametrize("change", ["{", "[]", '{"op_code": 99}', "{}"])
def test_a_damaged_log_is_an_error(log: Path, change: str) -> None:
    plan = StudySpec(SPACE, TIER, population=4)
    open_study(plan, log).run(score, 5)
    content = log.read_text().splitlines()
    content[3] = change
    log.write_text("\n".join(content) + "\n")
    with pytest.raises(RunError, match=r"study-edge\.log"):
        open_study(plan, log)


def test_a_url_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    for url in ("nosuchdb://x", "sqlite:////proc/nowhere/study.db"):
        with pytest.raises(HwnasError, match=url.split(":")[0]):
            open_study(StudySpec(SPACE, TIER), url)


def test_a_changed_plan_is_another_study_in_the_same_log(log: Path) -> None:
    open_study(StudySpec(SPACE, TIER, population=6), log).run(score, 10)
    changed = open_study(StudySpec(SPACE, LIMITED, population=6), log)
    assert changed.evaluations == ()
    assert "limits changed" in changed.notices[0]
    assert "10 trials" in changed.notices[0]
    changed.run(lambda a: score(a, LIMITED), 4)
    assert len(open_study(StudySpec(SPACE, TIER, population=6), log).evaluations) == 10
    again = open_study(StudySpec(SPACE, LIMITED, population=6), log)
    assert (len(again.evaluations), again.notices) == (4, ())


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_a_genetic_sampler_proposes_from_the_last_generations_what_it_would_from_all(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(architecture: Architecture) -> Evaluation:
        if architecture.key[0] == "0":
            return Evaluation(architecture, {}, failed="boom")
        return score(architecture, LIMITED)

    windowed = open_study(StudySpec(SPACE, LIMITED, sampler, population=4, seed=3))
    windowed.run(limited, 50)
    monkeypatch.setattr("hwnas.search.study.InMemoryStorage", lambda directions, genetic: InMemoryStorage(directions))
    whole = open_study(StudySpec(SPACE, LIMITED, sampler, population=4, seed=3))
    whole.run(limited, 50)
    assert keys(windowed) == keys(whole)


def test_the_hundredth_proposal_of_a_genetic_sampler_looks_at_no_more_trials_than_the_thirtieth() -> None:
    study = open_study(StudySpec(SPACE, TIER, "nsga2", population=4))
    for count in (30, 100):
        study.run(score, count)
        assert len(study._memory.get_all_trials(0, deepcopy=False)) <= 4 * 4


# --- what is tried ---


@pytest.mark.parametrize("sampler", FAST)
def test_every_architecture_is_tried_once_and_then_the_search_ends(sampler: str) -> None:
    tiny = FunctionSpace("tiny", lambda choose: [choose(f"k{i}", (3, 5)) for i in range(choose("depth", (1, 2, 3)))])
    study = open_study(StudySpec(tiny, TIER, sampler, population=4))
    finished = study.run(lambda a: Evaluation(a, {TOP1: float(len(a.picks)), LATENCY: float(dict(a.picks)["k0"])}), 100)
    assert finished == Finished(14, 0, "all 14 architectures of the space were tried")
    assert len(set(keys(study))) == 14


def test_a_space_that_cannot_be_counted_ends_when_nothing_is_new() -> None:
    class Uncounted:
        """A space that does not know its size."""

        name, choices = SPACE.name, FunctionSpace("t", lambda choose: choose("k", (3, 5, 7))).choices

        @property
        def count(self) -> int:
            raise SpaceError("too many", where="x", allowed="y", do="z")

        def sample(self, suggest):  # type: ignore[no-untyped-def]
            return FunctionSpace("t", lambda choose: choose("k", (3, 5, 7))).sample(suggest)

        def random(self, rng):  # type: ignore[no-untyped-def]
            return FunctionSpace("t", lambda choose: choose("k", (3, 5, 7))).random(rng)

    study = open_study(StudySpec(Uncounted(), TIER, population=2))  # type: ignore[arg-type]
    finished = study.run(lambda a: Evaluation(a, {TOP1: 1.0, LATENCY: 1.0}), 10)
    assert finished == Finished(3, 0, "500 proposals in a row were known")
    assert study.ask() is None


def test_a_space_of_one_architecture_is_tried_once() -> None:
    study = open_study(StudySpec(FunctionSpace("one", lambda choose: choose("k", (3,))), TIER))
    assert study.run(lambda a: Evaluation(a, {TOP1: 1.0, LATENCY: 1.0}), 5).trials == 1


@pytest.mark.parametrize("sampler", FAST)
def test_what_comes_first_is_tried_first(sampler: str) -> None:
    first = (SPACE.smallest(), SPACE.largest(), SPACE.smallest())
    study = open_study(StudySpec(SPACE, TIER, sampler, population=6, first=first))
    study.run(score, 20)
    assert [e.architecture for e in study.evaluations[:2]] == list(first[:2])
    assert len(set(keys(study))) == 20


def test_open_trials_are_not_asked_again() -> None:
    study = open_study(StudySpec(SPACE, TIER, "tpe"))
    trials = [study.ask() for _ in range(30)]
    assert len({trial.architecture.key for trial in trials if trial is not None}) == 30
    for trial in reversed(trials):
        assert trial is not None
        study.tell(trial, score(trial.architecture))
    assert len(study.evaluations) == 30


def test_seeds_lead_elsewhere() -> None:
    found = []
    for seed in range(3):
        study = open_study(StudySpec(SPACE, TIER, seed=seed))
        study.run(score, 10)
        found.append(tuple(keys(study)))
    assert len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
@pytest.mark.parametrize("tier", [TIER, LIMITED], ids=["free", "limited"])
def test_the_search_beats_random_search(sampler: str, tier: Tier) -> None:
    reference, ahead = {TOP1: 50.0, LATENCY: 60.0}, 0
    for seed in range(5):
        volume = {}
        for name in (sampler, "random"):
            ends = (SPACE.smallest(), SPACE.largest())
            study = open_study(StudySpec(SPACE, tier, name, population=12, seed=seed, first=ends))
            study.run(lambda a: score(a, tier), 120 if sampler == "tpe" else 200)
            volume[name] = hypervolume_history(study.evaluations, tier, reference)[-1]
        ahead += volume[sampler] > volume["random"]
    assert ahead >= 4


def test_the_search_beats_random_search_on_a_published_benchmark(shared_data: Path) -> None:
    from benchmarks.search_vs_random import benchmarks, race, wins

    result = race(next(benchmarks()), ["random", "nsga2"], [200], seeds=10, population=20)
    assert wins(result, "nsga2", 200) >= 8


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown sampler `nsga`\. Did you mean `nsga[23]`"):
        open_study(StudySpec(SPACE, TIER, "nsga")).ask()
    with pytest.raises(ConfigError, match="population of 1"):
        open_study(StudySpec(SPACE, TIER, population=1)).ask()


# --- what is told ---


def reopened(log: Path) -> optuna.Study:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(log)))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    finally:
        optuna.logging.set_verbosity(verbosity)


def test_optuna_reads_what_was_told(log: Path) -> None:
    study = open_study(StudySpec(SPACE, LIMITED, population=6), log)
    study.run(lambda a: score(a, LIMITED), 40)
    kept = reopened(log)
    assert [trial.user_attrs["key"] for trial in kept.trials] == keys(study)
    told = [kept.trials[index] for index in range(40)]
    for trial, evaluation in zip(told, study.evaluations, strict=True):
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["scores"] == evaluation.scores
        assert trial.user_attrs["architecture"] == evaluation.architecture.as_dict()
        assert (trial.constraints[str(LIMITED.limits[0])] > 0) == bool(evaluation.broken)
    fit = [e for e in study.evaluations if e.competes(LIMITED)]
    ours = {fit[i].architecture.key for i in front([e.scores for e in fit], LIMITED.objectives)}
    assert {trial.user_attrs["key"] for trial in kept.best_trials} == ours
    assert {e.architecture.key for e in study.front} == ours


def test_an_objective_that_a_limit_cut_short_stays_unscored(log: Path) -> None:
    study = open_study(StudySpec(SPACE, LIMITED, population=6), log)
    study.run(lambda a: score(a, LIMITED), 40)
    cut = [e for e in study.evaluations if e.broken]
    assert cut
    assert all(TOP1 not in e.scores for e in cut)
    told = [t for t in reopened(log).trials if t.user_attrs["broken"]]
    assert [t.user_attrs["unscored"] for t in told] == [[TOP1]] * len(cut)
    scored = [e.scores[TOP1] for e in study.evaluations if not e.broken]
    assert all(t.values[0] in (0.0, *scored) for t in told), "the worst that was told, or 0 before anything was"


def test_a_failed_evaluation_is_told_as_failed_with_its_reason(log: Path) -> None:
    def fragile(architecture: Architecture) -> Evaluation:
        if dict(architecture.picks)["k0"] == 3:
            return Evaluation(architecture, {LATENCY: 1.0}, failed="top1@toy: RuntimeError: boom")
        return score(architecture)

    study = open_study(StudySpec(SPACE, TIER, population=6), log)
    finished = study.run(fragile, 30)
    failed = [t for t in reopened(log).trials if t.state == TrialState.FAIL]
    assert 0 < len(failed) == finished.failed < 30
    assert {t.user_attrs["reason"] for t in failed} == {"top1@toy: RuntimeError: boom"}
    assert all(dict(e.architecture.picks)["k0"] != 3 for e in study.front)


def test_progress_counts_and_its_hypervolume_never_falls() -> None:
    seen: list[Progress] = []
    study = open_study(StudySpec(SPACE, LIMITED, population=6))
    study.run(lambda a: score(a, LIMITED), 50, seen.append)
    assert [p.trials for p in seen] == list(range(1, 51))
    assert all(a.hypervolume <= b.hypervolume + 1e-9 for a, b in itertools.pairwise(seen))
    assert seen[-1].front_size == len(study.front) > 1
    assert seen[-1].best == max(e.scores[TOP1] for e in study.front)


def test_what_was_not_asked_cannot_be_told() -> None:
    study = open_study(StudySpec(SPACE, TIER))
    trial = study.ask()
    assert trial is not None
    other = next(a for a in (SPACE.smallest(), SPACE.largest()) if a != trial.architecture)
    with pytest.raises(RunError, match="was asked"):
        study.tell(trial, score(other))
    with pytest.raises(RunError, match="no score for top1@toy"):
        study.tell(trial, Evaluation(trial.architecture, {LATENCY: 1.0}))
    study.tell(trial, score(trial.architecture))
    with pytest.raises(RunError, match="told before"):
        study.tell(trial, score(trial.architecture))
    assert len(study.evaluations) == 1


# --- manners ---


def test_searching_loads_neither_torch_nor_a_runtime() -> None:
    code = (
        "import sys, hwnas.search.study, hwnas.io.locks\n"
        "assert not {'torch', 'onnxruntime', 'ai_edge_litert', 'hwnas.network'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_optuna_is_as_loud_as_before(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    open_study(StudySpec(SPACE, TIER, "nsga3", population=4), log).run(score, 10)
    open_study(StudySpec(SPACE, TIER, "nsga3", population=4), log)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
