"""Scoring a population: kept as it goes, in several processes, failures told, the rest scored."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwnas.accuracy.zero_cost_proxies.definition import ProxyInput
from hwnas.accuracy.zero_cost_proxies.population import score_population
from hwnas.accuracy.zero_cost_proxies.scorer import TrainingFree, training_free_scorer
from hwnas.errors import ConfigError
from hwnas.search.score_store import Score, ScoreStore
from hwnas.space import Architecture
from tests.helpers.proxies import LOWER, SPACE, of, slow
from tests.helpers.spaces import enumerate_architectures


def odd(subject: ProxyInput) -> float:
    """The number of operators, and no score where it is even."""
    count = len(subject.network.operators)
    if count % 2 == 0:
        raise ArithmeticError(f"{count} operators")
    return float(count)


def killed(subject: ProxyInput) -> float:
    """As when memory is short, over one network."""
    if subject.network == LOWER(SPACE.smallest()):
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def mistaken(subject: ProxyInput) -> float:
    raise ConfigError("no such set-up", where="here", allowed="others", do="Correct it")


def named(name: str, seed: int = 0) -> TrainingFree:
    return training_free_scorer(name, LOWER, None, seed=seed, batch=2)


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    return ScoreStore.open(tmp_path / "scores.jsonl")


@pytest.fixture(scope="module")
def population() -> list[Architecture]:
    rng = random.Random(0)
    return list(dict.fromkeys(SPACE.random(rng) for _ in range(12)))


def values(columns: list[list[Score]]) -> list[list[float | None]]:
    return [[score.value for score in column] for column in columns]


def test_a_column_for_each_proxy_in_the_order_of_the_architectures(
    store: ScoreStore, population: list[Architecture]
) -> None:
    scorers = [named("synflow"), named("params")]
    columns = score_population(population, scorers, store)
    assert values(columns) == [[scorer(a) for a in population] for scorer in scorers]
    assert [score.architecture for score in columns[0]] == population
    assert {score.metric for score in columns[1]} == {"score@params"}


def test_several_processes_give_what_one_gives(tmp_path: Path, population: list[Architecture]) -> None:
    scorers = [named("grad_norm"), named("synflow"), of(odd)]
    one, two = (
        values(score_population(population, scorers, ScoreStore.open(tmp_path / f"{n}.jsonl"), processes=n))
        for n in (1, 2)
    )
    assert one == two


def test_what_is_stored_is_not_computed_again(store: ScoreStore, population: list[Architecture]) -> None:
    first = score_population(population, [named("synflow"), of(odd)], store)
    size = store.path.stat().st_size
    again = score_population([*population, *population], [named("synflow"), of(odd)], ScoreStore.open(store.path))
    assert values(again) == [column * 2 for column in values(first)]
    assert store.path.stat().st_size == size


def test_another_seed_is_another_score(store: ScoreStore, population: list[Architecture]) -> None:
    one, other = score_population(population, [named("synflow"), named("synflow", seed=1)], store)
    assert all(a.value != b.value for a, b in zip(one, other, strict=True))


def test_a_failure_is_kept_with_its_reason_and_the_rest_goes_on(
    store: ScoreStore, population: list[Architecture]
) -> None:
    (column,) = score_population(population, [of(odd)], store)
    counts = [len(LOWER(architecture).operators) for architecture in population]
    assert [score.value for score in column] == [count if count % 2 else None for count in counts]
    assert {score.failed for score in column if score.failed} == {
        f"proxy `tried`: ArithmeticError: {count} operators. A score is a finite number. Leave the "
        "network out, or use another proxy, batch or resolution."
        for count in counts
        if count % 2 == 0
    }
    assert 0 < sum(score.failed is None for score in column) < len(column)


@pytest.mark.slow
def test_a_killed_process_costs_its_network_alone_and_is_tried_again(
    store: ScoreStore, population: list[Architecture]
) -> None:
    asked = [population[1], SPACE.smallest(), population[2]]
    (column,) = score_population(asked, [of(killed)], store, processes=2)
    assert [score.value for score in column] == [1.0, None, 1.0]
    assert column[1].failed == "the process that scored it was ended by signal 9, as when memory is short"
    assert SPACE.smallest() not in store.architectures


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_that_all_would_meet_ends_it(
    store: ScoreStore, population: list[Architecture], processes: int
) -> None:
    with pytest.raises(ConfigError, match="no such set-up"):
        score_population(population, [of(mistaken)], store, processes=processes)


def test_what_other_processes_cannot_import_is_scored_here(store: ScoreStore, population: list[Architecture]) -> None:
    local = of(lambda subject: float(len(subject.network.operators)))
    (column,) = score_population(population, [local], store, processes=2)
    assert [score.value for score in column] == [len(LOWER(a).operators) for a in population]


def test_progress_counts_what_was_there_and_ends_with_all(store: ScoreStore, population: list[Architecture]) -> None:
    score_population(population[:3], [named("params")], store)
    told: list[tuple[int, int, str]] = []
    score_population(population, [named("params")], store, progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == list(range(3, len(population) + 1))
    assert told[0] == (3, len(population), "params")
    assert told[-1] == (len(population), len(population), "")


SCRIPT = """
import sys
from pathlib import Path
from hwnas.accuracy.zero_cost_proxies.population import score_population
from hwnas.search.score_store import ScoreStore
from tests.helpers.proxies import SPACE
from tests.helpers.proxies import of
from tests.helpers.proxies import slow
from tests.helpers.spaces import enumerate_architectures
architectures = list(enumerate_architectures(SPACE))[:12]
score_population(architectures, [of(slow)], ScoreStore.open(Path(sys.argv[1])), processes=2)
"""


@pytest.mark.slow
def test_a_population_goes_on_after_its_process_was_killed(tmp_path: Path, repository: Path) -> None:
    path, script = tmp_path / "scores.jsonl", tmp_path / "script.py"
    script.write_text(SCRIPT)
    command, environment = [sys.executable, str(script), str(path)], {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(command, env=environment) as run:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (path.exists() and path.read_bytes().count(b"\n") >= 2):
            time.sleep(0.02)
        run.kill()
    kept = len(ScoreStore.open(path))
    assert 2 <= kept < 12
    architectures = list(enumerate_architectures(SPACE))[:12]
    store = ScoreStore.open(path)
    (column,) = score_population(architectures, [of(slow)], store)
    assert [score.value for score in column] == [len(LOWER(a).operators) for a in architectures]
    assert len(ScoreStore.open(path)) == 12
