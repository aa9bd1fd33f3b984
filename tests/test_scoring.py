"""`hwnas score`: a space or an experiment, ranked without training."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hwnas.accuracy.zero_cost_proxies.ensembles import ENSEMBLES
from hwnas.accuracy.zero_cost_proxies.rank_sums import rank_sums
from hwnas.accuracy.zero_cost_proxies.scorer import check_holds, training_free_scorer
from hwnas.errors import ConfigError, RunError, SpaceError
from hwnas.io.locks import RunLock
from hwnas.network import lower
from hwnas.notation import write_architecture
from hwnas.pipeline import open_space, score
from hwnas.report.scores import Scored, ranked, score_lines, score_table
from hwnas.space import Architecture
from tests.helpers.command_line import Call, written
from tests.helpers.command_line import hwnas as hwnas

PROXIES = ("params", "l2_norm")


def scored(tmp_path: Path, target: str = "digits", proxies: tuple[str, ...] = PROXIES, **more: object) -> Scored:
    return score(target, proxies, runs=tmp_path / "runs", **{"sample": 6, **more})  # type: ignore[arg-type]


def keys(found: Scored) -> list[str]:
    return [network.key for network in found.networks]


def test_networks_stand_by_falling_score_of_the_first_proxy(tmp_path: Path) -> None:
    found = scored(tmp_path)
    sizes = [network.scores["params"].value for network in found.networks]
    assert sizes == sorted(sizes, reverse=True)
    assert [network.rank for network in found.networks] == ranked(sizes)
    space, _ = open_space("digits")
    by_norm = training_free_scorer("l2_norm", partial(lower, space), None, seed=0)
    by_key = {network.key: network.scores["l2_norm"].value for network in found.networks}
    assert all(
        by_key[a.key] == by_norm(a)
        for a in (Architecture.from_dict(n.architecture, where="here") for n in found.networks)
    )


def test_the_same_call_computes_nothing_again_and_gives_the_same(tmp_path: Path) -> None:
    first = scored(tmp_path)
    store = tmp_path / "runs" / "digits-scores" / "scores.jsonl"
    assert store.read_text().count("\n") == 12
    assert scored(tmp_path).as_dict() == first.as_dict()
    assert store.read_text().count("\n") == 12


def test_an_edited_space_of_the_same_name_is_scored_anew(tmp_path: Path) -> None:
    text = "name: own\ninput: {channels: 1, resolution: 8}\nclasses: 10\nstages:\n"
    text += "  - {name: stem, op: conv, width: [4, 8], kernel: 3}\n  - {name: head, op: classifier}\n"
    (tmp_path / "own.yaml").write_text(text)
    before = scored(tmp_path, str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text(text.replace("kernel: 3", "kernel: 5"))
    after = scored(tmp_path, str(tmp_path / "own.yaml"))
    assert keys(before) == keys(after)
    assert all(
        a.scores["params"].value != b.scores["params"].value
        for a, b in zip(before.networks, after.networks, strict=True)
    )


def test_seed_and_sample_decide_which_networks(tmp_path: Path) -> None:
    usual = keys(scored(tmp_path))
    assert set(usual) < set(keys(scored(tmp_path, sample=9)))
    assert set(usual) != set(keys(scored(tmp_path, seed=1)))


def test_an_experiment_is_scored_on_its_data_with_its_seed_into_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = written(tmp_path, **{"data: digits": "data: digits\nseed: 5"})
    found = scored(tmp_path, experiment, ("snip",), batch=4)
    assert "seed=5" in found.proxies["snip"]
    assert "noise" not in found.proxies["snip"]
    assert (tmp_path / "runs" / "tiny" / "scores.jsonl").is_file()
    again = scored(tmp_path, "runs/tiny", ("snip",), batch=4)
    assert again == found
    assert "images=noise" in scored(tmp_path, experiment, ("snip",), batch=4, data="noise").proxies["snip"]


def test_a_space_is_scored_on_noise_or_on_the_data_that_are_named(tmp_path: Path) -> None:
    without = scored(tmp_path, proxies=("snip",), sample=1, batch=4)
    given = scored(tmp_path, proxies=("snip",), sample=1, batch=4, data="{name: digits, limit: 100}")
    assert "images=noise labels=random" in without.proxies["snip"]
    assert "noise" not in given.proxies["snip"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with RunLock(tmp_path / "runs" / "digits-scores"), pytest.raises(RunError, match="another process"):
        scored(tmp_path)


@pytest.mark.parametrize("form", ["list", "front", "lines", "notation"])
def test_architectures_are_read_as_a_list_as_a_front_and_line_by_line(tmp_path: Path, form: str) -> None:
    space, _ = open_space("nas_bench_201")
    some = [space.smallest(), space.largest()]
    text = {
        "list": json.dumps([a.as_dict() for a in some]),
        "front": json.dumps([{"key": a.key, "architecture": a.as_dict(), "scores": {}} for a in some]),
        "lines": "\n".join(json.dumps(a.as_dict()) for a in some) + "\n\n",
        "notation": "\n".join(str(write_architecture(space, a)) for a in [*some, *some]),
    }[form]
    (tmp_path / "some.txt").write_text(text)
    found = scored(tmp_path, "nas_bench_201", ("params",), architectures=tmp_path / "some.txt")
    assert keys(found) == [some[1].key, some[0].key]


@pytest.mark.parametrize(("text", "where"), [("", "some.txt"), ("{}\n", "some.txt:1"), ("[1, 2]", "some.txt: entry 1")])
def test_a_bad_file_of_architectures_is_refused_by_its_line(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "some.txt").write_text(text)
    with pytest.raises(SpaceError) as caught:
        scored(tmp_path, architectures=tmp_path / "some.txt")
    assert caught.value.where.endswith(where)


def test_equal_scores_share_a_rank_and_none_has_none() -> None:
    assert ranked([2.0, 5.0, None, 5.0, 1.0]) == [3, 1, None, 1, 4]


def test_a_proxy_that_holds_for_neither_end_of_a_space_is_refused_before_any_work() -> None:
    space, _ = open_space("digits")
    ends = (space.smallest(), space.largest())
    tried = training_free_scorer("l2_norm", partial(lower, space), None, seed=0)
    for refused, reasons in ((False, [None, "it is wide"]), (True, ["it is deep", "it is wide"])):
        told = iter(reasons)
        definition = replace(tried.definition, refuses=lambda module, told=told: next(told))
        scorer = replace(tried, definition=definition)
        if refused:
            with pytest.raises(ConfigError, match="does not hold for the networks of this space: it is deep"):
                check_holds(scorer, ends)
        else:
            check_holds(scorer, ends)


def test_an_ensemble_ranks_what_is_scored_together_and_fails_where_a_member_does(tmp_path: Path) -> None:
    names = ("az_nas", "expressivity", "progressivity", "trainability", "macs")
    found = scored(tmp_path, proxies=names)
    members = [[network.scores[name].value for network in found.networks] for name in names[1:]]
    assert [network.scores["az_nas"].value for network in found.networks] == rank_sums(ENSEMBLES["az_nas"], members)
    times = [network.scores["az_nas"].ms for network in found.networks]
    assert times == pytest.approx([sum(network.scores[name].ms for name in names[1:]) for network in found.networks])
    assert "log ranks among these networks" in found.proxies["az_nas"]


def test_the_command_prints_a_table_costs_and_origins_and_writes_a_csv(hwnas: Call) -> None:
    done = hwnas("score", "digits", "--proxies", "params,l2_norm", "--sample", "3", "--csv", "some.csv")
    assert done.code == 0, done.err
    assert "digits: 3 networks by params" in done.out
    assert "ms a network; l2_norm version=1 seed=0 init=pytorch" in done.out
    found = json.loads(
        hwnas("score", "digits", "--proxies", "params", "--proxies", "l2_norm", "--sample", "3", "--json").out
    )
    with Path("some.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [network["key"] for network in found["networks"]]
    assert [float(row["l2_norm"]) for row in rows] == [network["scores"]["l2_norm"] for network in found["networks"]]
    assert all(row["key"] in done.out for row in rows)


@pytest.mark.parametrize(
    "arguments", [["digitz"], ["digits", "--proxies", "synflo"], ["digits", "--data", "{"], ["digits", "--data", "no"]]
)
def test_bad_input_is_an_error_in_four_parts(hwnas: Call, arguments: list[str]) -> None:
    done = hwnas("score", *arguments)
    assert (done.code, done.parts) == (2, ["error", "where", "allowed", "next"])


def test_a_missing_score_is_a_gap_with_its_reason(tmp_path: Path) -> None:
    found = scored(tmp_path, sample=3)
    last = found.networks[-1]
    gone = replace(
        last, rank=None, scores={**last.scores, "params": replace(last.scores["params"], value=None, failed="lost")}
    )
    told = replace(found, networks=(*found.networks[:-1], gone))
    assert "  no score for 1: lost" in list(score_lines(told))
    assert told.as_dict()["networks"][-1]["failed"] == {"params": "lost"}
    assert told.as_csv().splitlines()[-1].startswith(f",{gone.key},,")
    assert score_table(told, most=2).caption is not None
