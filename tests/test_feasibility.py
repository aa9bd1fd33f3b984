"""What limits leave of a space, told before anything is trained: ranges and shares are those of all networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwnas import cli, pipeline
from hwnas.errors import ConfigError
from hwnas.network import costs, lower
from hwnas.problem.feasibility import raise_if_infeasible
from hwnas.space import read_space
from tests.helpers.experiments import MANY, every, published, written
from tests.helpers.narration import Telling, printed


def test_ranges_and_shares_are_those_of_the_whole_space(tmp_path: Path) -> None:
    path = written(tmp_path, tiers={"cloud": {"setup": "cpu", "limits": {"params": 2000, "activation_kib": 2}}})
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=50_000)
    space = read_space(tmp_path / "space.yaml")
    known = [costs(lower(space, architecture)) for architecture in every(space)]
    params, activations = tier.reaches
    assert (params.least, params.most, params.exact) == (
        min(c.params for c in known),
        max(c.params for c in known),
        True,
    )
    kib = [c.activation_bytes / 1024 for c in known]
    assert (activations.least, activations.most, activations.exact) == (min(kib), max(kib), True)
    inside = [c.params <= 2000 for c in known]
    assert (params.share, params.error) == (sum(inside) / len(inside), 0.0)
    both = [small and k <= 2 for small, k in zip(inside, kib, strict=True)]
    assert 0 < sum(both) < len(both)
    assert (tier.share, tier.error) == (sum(both) / len(both), 0.0)
    assert (tier.networks, tier.inside, tier.whole) == (len(known), sum(both), True)


def test_a_share_of_a_sample_has_an_error_and_that_covers_the_truth(tmp_path: Path) -> None:
    path = written(tmp_path, MANY, tiers={"cloud": {"setup": "cpu", "limits": {"params": 900}}})
    (whole,) = pipeline.feasible(path, runs=tmp_path / "runs")
    count = read_space(tmp_path / "space.yaml").count
    assert (whole.networks, whole.error) == (count, 0.0)
    assert whole.share is not None
    for seed in range(5):
        (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=count - 1, seed=seed)
        assert tier.share is not None
        assert tier.error
        assert tier.share == pytest.approx(whole.share, abs=4 * tier.error)
        assert not tier.whole


def test_a_sample_without_a_network_inside_does_not_claim_that_there_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, MANY, tiers={"cloud": {"setup": "cpu", "limits": {"activation_kib": 0.001}}})
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=50)
    assert tier.share == 0
    assert tier.error
    with pytest.raises(ConfigError, match=r"none of the \d+ networks looked at meets the limits activation_kib"):
        raise_if_infeasible(tier)


def test_a_network_that_a_file_lacks_is_outside(tmp_path: Path) -> None:
    path = published(tmp_path, tiers={"edge": {"setup": "board", "limits": {"latency_ms": 1e6}}})
    table = tmp_path / "table.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[:30]]) + "\n")
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs")
    assert (tier.share, tier.error, tier.reaches[0].missing) == (30 / len(rows), 0.0, len(rows) - 30)


def test_what_has_no_table_is_said_and_the_rest_is_judged(tmp_path: Path) -> None:
    path = written(
        tmp_path, tiers={"cloud": {"setup": "cpu", "limits": {"params": 2000, "latency_ms": 1, "top1": 0.9}}}
    )
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=1000)
    reasons = {reach.limit.metric: reach.unjudged for reach in tier.reaches}
    assert reasons["params"] == ""
    assert "no table yet: run `hwnas bench" in reasons["latency_ms@cpu"]
    assert reasons["top1@inherited"] == "it is known once the search has scored them"
    assert tier.share == next(reach.share for reach in tier.reaches if not reach.unjudged)
    assert not (tmp_path / "runs").exists()


def test_published_numbers_are_judged_too(tmp_path: Path) -> None:
    path = published(tmp_path, tiers={"edge": {"setup": "board", "limits": {"latency_ms": 0.9, "top1": 0.6}}})
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=5000)
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()[1:]]
    values = [(float(top1) / 100, float(us) / 1000) for _, top1, us in rows]
    latency, top1 = tier.reaches
    assert (latency.least, latency.most) == pytest.approx((min(ms for _, ms in values), max(ms for _, ms in values)))
    assert (top1.least, top1.most) == pytest.approx((min(a for a, _ in values), max(a for a, _ in values)))
    assert tier.inside == sum(a >= 0.6 and ms <= 0.9 for a, ms in values)


@pytest.mark.parametrize("verb", [pipeline.run, pipeline.plan], ids=["run", "dry run"])
def test_a_counted_limit_that_no_network_meets_is_refused_before_anything_is_timed(
    tmp_path: Path, verb: Callable[..., object]
) -> None:
    path = written(tmp_path, tiers={"cloud": {"setup": "cpu", "limits": {"params": 3}}})
    with pytest.raises(ConfigError, match="meets the limits params <= 3") as refused:
        verb(path, runs=tmp_path / "runs")
    assert "e+" not in refused.value.allowed
    assert not list((tmp_path / "runs").rglob("*.jsonl"))


def test_limits_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    path = published(tmp_path, tiers={"edge": {"setup": "board", "limits": {"latency_ms": 0.4, "top1": 0.8}}})
    (tier,) = pipeline.feasible(path, runs=tmp_path / "runs", networks=5000)
    assert [reach.empty for reach in tier.reaches] == [False, False]
    with pytest.raises(ConfigError, match=r"meets the limits latency_ms@board <= 0\.4, top1@table >= 0\.8"):
        raise_if_infeasible(tier)
    with pytest.raises(ConfigError, match="networks of the space meets the limits"):
        pipeline.search(path, runs=tmp_path / "runs")


def test_an_empty_tier_ends_the_command_with_two_and_json_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, tiers={"cloud": {"setup": "cpu", "limits": {"params": 3}}})
    monkeypatch.setattr(
        "sys.argv", ["hwnas", "feasible", str(path), "--runs", str(tmp_path), "--json", "--networks", "100"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capfd.readouterr()
    assert end.value.code == 2
    assert json.loads(out)["cloud"]["empty"] is True
    assert "next:" in err


def test_the_command_tells_ranges_and_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, tiers={"cloud": {"setup": "cpu", "limits": {"params": 2000}}})
    out = printed(
        "feasible", str(path), "--runs", str(tmp_path), "--networks", "2000", monkeypatch=monkeypatch, capfd=capfd
    )
    assert "Parameters ≤ 2 k: from" in out
    assert "networks of the space looked at" in out
    assert "±" not in out
    unlike = written(tmp_path / "unlike", tiers={"cloud": {"setup": "cpu", "limits": {"params": 2000, "top1": 0.9}}})
    out = printed(
        "feasible", str(unlike), "--runs", str(tmp_path), "--networks", "20", monkeypatch=monkeypatch, capfd=capfd
    )
    assert " % ± " in out
    assert "it is known once the search has scored them" in out
    assert "all that can be judged: " in out


def test_a_hard_limit_of_known_cost_is_never_passed_by_what_is_scored(tmp_path: Path) -> None:
    """Whatever the sampler proposes, a network over a limit gets no accuracy."""
    for sampler in ("random", "nsga2", "tpe"):
        path = published(
            tmp_path / sampler, MANY, tiers={"edge": {"setup": "board", "limits": {"latency_ms": 0.7, "params": 900}}},
            search={"trials": 40, "sampler": sampler, "population": 4},
        )  # fmt: skip
        (searched,) = pipeline.search(path, runs=tmp_path / sampler / "runs", reporter=Telling())
        over = [e for e in searched.evaluations if e.broken]
        assert over
        assert all("top1@table" not in evaluation.scores for evaluation in over)
        stored = (tmp_path / sampler / "runs/published/scores.jsonl").read_text()
        assert not any(evaluation.architecture.key in stored for evaluation in over)
