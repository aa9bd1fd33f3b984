"""`--set`, `-q`, `-v`, `list`, and `--pick` of export: what stands on the command line and not in a file."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from hwnas.config import parse_experiment, read_experiment
from hwnas.config.settings import with_settings
from hwnas.errors import ConfigError
from hwnas.io.resources import shipped_names
from hwnas.workspace.references import Edited, on_command_line
from hwnas.workspace.workspace import open_run
from tests.helpers.command_line import Call, written
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.experiments import published
from tests.helpers.experiments import written as trained

REFUSED = {
    "search.trails=5": ("unknown key `trails`", "trials"),
    "serch.trials=5": ("unknown key `serch`", "search"),
    "search.trials=many": ("`trials` is 'many'", "number"),
    "search.trials=": ("`trials` is empty", ""),
    "search.sampler=tpe2": ("`sampler` is 'tpe2'", "tpe"),
    "search.trials=5_0": ("`5_0` has `_` among its digits", ""),
    "search.trials=[": ("this is not valid YAML", ""),
    "search.trials": ("`search.trials` is set to nothing", "search.trials=50"),
    "=5": ("`` names no key", "search.trials=50"),
    "search..trials=5": ("`search..trials` names no key", ""),
    "data.validation=0.3": ("`data` is a value of its own", ""),
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_setting_is_refused_as_the_key_in_the_file_is(setting: str, hwnas: Call, tmp_path: Path) -> None:
    met, near = REFUSED[setting]
    done = hwnas("run", written(tmp_path), "--set", setting)
    assert (done.code, done.parts) == (2, ["error", "where", "allowed", "next"])
    assert met in done.err
    assert near in done.err
    assert "--set" in done.err.splitlines()[1]
    assert not (tmp_path / "runs").exists()


def test_settings_mean_what_the_file_would(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nspace: digits\nsetups: {cpu: {runtime: onnxruntime}}\n")
    settings = ["search.trials=7", "tiers.edge={setup: cpu, limits: {params: 9000}}", "timing.rounds=5", "threads=null"]
    experiment = read_experiment(tmp_path / "a.yaml", settings)
    whole = with_settings({"name": "a", "space": "digits", "setups": {"cpu": {"runtime": "onnxruntime"}}}, settings)
    (tmp_path / "b.yaml").write_text(json.dumps(whole))
    assert experiment == read_experiment(tmp_path / "b.yaml")
    assert (experiment.search.trials, experiment.tiers["edge"].limits.params) == (7, 9000)


def test_each_key_is_set_once() -> None:
    with pytest.raises(ConfigError, match="is set twice"):
        with_settings({}, ["a.b=1", "a.c=2", "a.b=1"])


def test_a_run_keeps_the_experiment_with_its_settings(hwnas: Call, tmp_path: Path) -> None:
    published(tmp_path)
    done = hwnas("search", "published.yaml", "--set", "search.trials=5", "--set", "name=short", "--json", "-q")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["edge"]["trials"] == 5
    assert read_experiment(tmp_path / "runs/short/experiment.yaml").search.trials == 5
    assert json.loads(hwnas("search", "runs/short", "--json").out)["edge"]["trials"] == 5


def test_a_command_that_is_named_next_has_the_settings_and_no_password(tmp_path: Path) -> None:
    path = published(tmp_path)
    run = open_run(Edited(path, ["name=a b", "search.trials=3"][1:]))
    assert run.command("train") == f"hwnas train {path} --set search.trials=3"
    secret = "search.storage=postgresql+psycopg://me:secret@host/name"
    assert "secret" not in on_command_line(Edited("x.yaml", [secret]))


def test_quiet_leaves_out_notes_and_bars(hwnas: Call, tmp_path: Path) -> None:
    published(tmp_path)
    assert hwnas("search", "published.yaml").err
    quiet = hwnas("search", "published.yaml", "--quiet", "--set", "name=again")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out


def test_verbose_shows_the_log_and_leaves_no_handler(hwnas: Call) -> None:
    before = logging.getLogger("hwnas").handlers[:]
    done = hwnas("dashboard", "nosuch", "-v")
    assert done.parts[-4:] == ["error", "where", "allowed", "next"]
    assert logging.getLogger("hwnas").handlers == before


@pytest.mark.parametrize("option", ["-v", "-vv"])
def test_the_log_of_a_service_is_shown_where_it_is_asked_for(
    option: str, hwnas: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import optuna

    monkeypatch.setattr(optuna.storages, "run_grpc_proxy_server", lambda *storage, **address: None)
    done = hwnas("serve-storage", f"sqlite:///{tmp_path}/studies.db", option)
    assert done.code == 0, done.err
    assert "INFO hwnas.commands.serve_storage: serving" in done.err
    assert "INFO" not in hwnas("serve-storage", f"sqlite:///{tmp_path}/studies.db").err


def test_list_names_all_that_is_shipped_with_a_line_on_each(hwnas: Call) -> None:
    kinds = json.loads(hwnas("list", "--json").out)
    folders = {"spaces": "search_spaces", "tables": "latency_tables", "experiments": "experiments"}
    assert {kind: [one["name"] for one in files] for kind, files in kinds.items()} == {
        kind: shipped_names(folder)  # type: ignore[arg-type]
        for kind, folder in folders.items()
    }
    for one in (one for files in kinds.values() for one in files):
        assert Path(one["file"]).is_file()
        assert 20 < len(one["about"]) < 160, one
    shown = hwnas("list").out
    assert all(one["name"] in shown for files in kinds.values() for one in files)


def test_export_takes_the_rules_that_show_takes(hwnas: Call, tmp_path: Path) -> None:
    trained(tmp_path, export={"picks": ["best"], "formats": ["onnx"]}, search={"trials": 4, "sampler": "random"})
    assert hwnas("run", "mini.yaml", "-q").code == 0
    rule = "weights:top1=2,latency_ms=1"
    shown = json.loads(hwnas("show", "runs/mini", "--pick", rule, "--json").out)["cloud"]
    written = json.loads(hwnas("export", "runs/mini", "--pick", rule, "--pick", "fastest", "--json").out)["cloud"]
    assert [one["key"] for one in shown] == [one["key"] for one in written["models"] if rule in one["picks"]]
    assert {pick for one in written["models"] for pick in one["picks"]} == {rule, "fastest"}
    for command in ("show", "export"):
        refused = hwnas(command, "runs/mini", "--pick", "weights:watts=1")
        assert (refused.code, refused.parts) == (2, ["error", "where", "allowed", "next"])
        assert "--pick" in refused.err


# --- the default sampler ---


@pytest.mark.parametrize(
    ("search", "tier", "sampler"),
    [
        ({}, {}, "guided"),
        ({}, {"measure": "live"}, "tpe"),
        ({"sampler": "nsga2"}, {}, "nsga2"),
        ({"sampler": "auto"}, {"measure": "live"}, "tpe"),
        ({}, {"limits": {"top1": 0.5, "quality_confidence": 0.8}}, "guided"),
    ],
)
def test_the_sampler_is_guided_where_costs_are_known(
    search: dict[str, object], tier: dict[str, object], sampler: str
) -> None:
    raw = {
        "name": "a", "space": "digits", "setups": {"cpu": {"runtime": "onnxruntime"}},
        "tiers": {"edge": {"setup": "cpu", **tier}}, "search": search,
    }  # fmt: skip
    assert parse_experiment(raw, where="x").sampler_of("edge") == sampler


def test_confidence_is_refused_where_the_default_learns_nothing() -> None:
    tier = {"setup": "cpu", "measure": "live", "limits": {"top1": 0.5, "quality_confidence": 0.8}}
    raw = {
        "name": "a", "space": "digits", "setups": {"cpu": {"runtime": "onnxruntime"}}, "tiers": {"edge": tier},
    }  # fmt: skip
    with pytest.raises(ConfigError, match="asked of `tpe`"):
        parse_experiment(raw, where="x")


def test_the_plan_of_a_study_holds_the_name_of_the_sampler(hwnas: Call, tmp_path: Path) -> None:
    """So that naming the default begins no other study."""
    published(tmp_path, search={"trials": 12})
    assert hwnas("search", "published.yaml", "-q").code == 0
    assert hwnas("search", "published.yaml", "-q", "--set", "search.sampler=guided").code == 0
    log = (tmp_path / "runs/published/study-edge.log").read_text()
    assert "auto" not in log
    assert set(re.findall(r'"sampler":"(\w+)', log)) == {"guided"}
    assert log.count('"sampler":') == 1
