"""The experiment is read strictly: misspelt keys are named, values are in range, a dump reads back equal."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from hwnas.accuracy import Settings
from hwnas.config import (
    AccuracyConfig,
    EnergyConfig,
    Experiment,
    ExportConfig,
    SearchConfig,
    SetupConfig,
    TimingConfig,
    TrainConfig,
    dump_experiment,
    parse_experiment,
    parse_setup,
    published,
    read_experiment,
)
from hwnas.errors import ConfigError
from hwnas.export import FORMATS
from hwnas.measure.device_lock import WAIT_S
from hwnas.measure.energy import SENSORS
from hwnas.measure.timing import Timing
from hwnas.runtimes import RUNTIMES
from hwnas.search.samplers import SAMPLERS
from hwnas.supernet import Recipe
from hwnas.supernet.distributed import LAUNCHERS
from hwnas.supernet.training.schedules import SCHEDULES

RAW: dict[str, Any] = {
    "name": "first",
    "space": "digits",
    "data": "digits",
    "setups": {"laptop": {"runtime": "onnxruntime"}},
    "tiers": {"edge": {"setup": "laptop"}, "cloud": {"setup": "laptop"}},
    "links": {"site": {"preset": "lte"}},
    "pairs": {"both": {"edge": "edge", "cloud": "cloud", "link": "site"}},
}


def experiment_with(path: str, value: Any) -> dict[str, Any]:
    """The experiment with one value set, at dotted keys."""
    raw = inner = copy.deepcopy(RAW)
    *sections, key = path.split(".")
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    return raw


def refused(raw: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_experiment(raw, where="first.yaml")
    error = caught.value
    assert all((error.met, error.where, error.allowed, error.do))
    assert error.where.startswith("first.yaml")
    assert not any(part.endswith(".") for part in (error.met, error.where, error.allowed, error.do))
    return error


def sections(model: type[BaseModel] = Experiment, path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section by its path, found in the models themselves; a NAME is one of `RAW`."""
    yield path, model
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        inner = f"{path}.{name}".strip(".")
        if get_origin(kind) is dict and isinstance(get_args(kind)[1], type):
            kind, inner = get_args(kind)[1], f"{inner}.{next(iter(RAW[name]))}"
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from sections(kind, inner)


@pytest.mark.parametrize("written", ["08", "1_000", "010", "-01", " 007"])
@pytest.mark.parametrize("key", ["seed", "threads", "setups.laptop.threads", "train.learning_rate", "search.max_hours"])
def test_a_text_that_is_no_clear_number_is_no_number(key: str, written: str) -> None:
    """What YAML hands on as a text, such as 08, would otherwise be taken for 8 beside 010, which is 8 as well."""
    assert "decimal digits alone" in refused(experiment_with(key, written)).allowed


KEYS = [f"{path}.{name}".strip(".") for path, model in sections() for name in model.model_fields]


def test_the_sections_are_those_of_the_models() -> None:
    assert {path for path, _ in sections()} == {
        "", "train", "accuracy", "setups.laptop", "tiers.edge", "tiers.edge.limits", "tiers.edge.live", "search",
        "search.ray", "timing", "export", "export.card", "links.site", "links.site.tariff",
        "pairs.both",
    }  # fmt: skip


@pytest.mark.parametrize("key", [key for key in KEYS if len(key.split(".")[-1]) > 2])
def test_a_misspelt_key_is_named_with_the_near_one(key: str) -> None:
    *at, name = key.split(".")
    misspelt = f"{name[:2]}{name[3:]}" if len(name) > 4 else f"{name}s"
    raw = experiment_with(".".join([*at, misspelt]), {})
    inner = raw
    for section in at:
        inner = inner[section]
    inner.pop(name, None)  # a required key is then missing as well
    error = refused(raw)
    assert error.met.startswith(f"unknown key `{misspelt}`")
    assert error.allowed.startswith(f"Did you mean `{name}`?")
    assert error.where == ": ".join(["first.yaml", *([".".join(at)] if at else [])])


@pytest.mark.parametrize("key", ["name", "space", "setups", "tiers"])
def test_a_missing_key_is_named(key: str) -> None:
    raw = {name: value for name, value in RAW.items() if name != key}
    assert refused(raw).met.startswith(f"the key `{key}` is missing")


def test_missing_keys_of_inner_sections_are_named() -> None:
    error = refused(experiment_with("setups.laptop", {"threads": 2}))
    assert (error.met, error.where) == ("the key `runtime` is missing", "first.yaml: setups.laptop")
    assert refused(experiment_with("tiers.edge", {})).met == "the key `setup` is missing"


BAD: dict[str, list[Any]] = {
    "name": ["../up", "", "a b", ".hidden", "x" * 81, 5, None],
    "seed": [-1, 2**31, 1.5, "x", True],
    "device": ["gpu", "cuda:x", 0],
    "threads": [0, -1, 1.5],
    "data": [5, ["digits"]],
    "train": [5, None, []],
    "train.epochs": [0, -3, 1.5, "many", True, None],
    "train.batch_size": [0],
    "train.learning_rate": [0, -1, float("nan"), float("inf"), "fast"],
    "train.momentum": [-0.1, 1],
    "train.schedule": ["cosin"],
    "train.step_at": [[0], [1], 0.5],
    "train.step_factor": [0, 1.1],
    "train.phases": ["*.kernel", ["*.kernel"]],
    "train.phase_epochs": [[0], 3],
    "train.temperature": [0],
    "train.regularize": ["some"],
    "train.grad_accumulation_steps": [0],
    "train.ema_decay": [-0.1, 1],
    "train.on_divergence": ["ignore"],
    "train.distill_weight": [0, 1.1],
    "train.processes": [0],
    "train.launcher": ["slurm"],
    "train.label_smoothing": [-0.1, 1],
    "train.max_grad_norm": [0],
    "train.num_random_subnets": [-1],
    "train.optimizer": ["adam"],
    "train.precision": ["fp16"],
    "train.channels_last": ["perhaps", 3],
    "accuracy.samples": [0],
    "setups": [{}, [], {"a b": {"runtime": "tflite"}}, {1: {"runtime": "tflite"}}],
    "setups.laptop.runtime": ["onnx"],
    "setups.laptop.threads": [0],
    "tiers": [{}, {"edge": None}],
    "tiers.edge.limits.latency_ms": [0, -1],
    "tiers.edge.limits.params": [0],
    "tiers.edge.limits.top1": [96, -0.1],
    "search.trials": [0],
    "search.sampler": ["nsga"],
    "search.population": [1],
    "timing.rounds": [2],
    "timing.min_sample_ms": [0],
    "export.picks": ["best", ["fastst"], ["weights:top1=much"], ["cluster:0"]],
    "export.formats": [[], ["onyx"]],
    "export.tolerance": [0],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values], ids=repr)
def test_a_bad_value_is_named_with_its_place(key: str, value: Any) -> None:
    error = refused(experiment_with(key, value))
    last = key.split(".")[-1]
    inside = isinstance(value, dict | list) and bool(value)
    assert f"`{last}" in error.met or inside
    assert error.where.startswith("first.yaml: " + ".".join(key.split(".")[:-1]) if "." in key else "first.yaml")


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("setups.laptop.runtime", "onnxrntime", "onnxruntime"),
        ("search.sampler", "tpe2", "tpe"),
        ("export.picks", ["best", "fastst"], "fastest"),
        ("export.picks", ["weight:top1=1"], "weights"),
        ("train.optimizer", "adam", "adamw"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_near_one(key: str, value: Any, near: str) -> None:
    assert f"Did you mean `{near}`?" in refused(experiment_with(key, value)).allowed


def test_a_tier_needs_a_set_up_that_is_there() -> None:
    error = refused(experiment_with("tiers.edge.setup", "latop"))
    assert error.met == "tiers.edge.setup: `latop` is no set-up"
    assert error.allowed.startswith("Did you mean `laptop`?")


@pytest.mark.parametrize("name", ["_top1", "model_config", "names", "bounds", "copy", "__class__"])
def test_a_limit_on_what_no_metric_can_be_called_is_refused(name: str) -> None:
    assert refused(experiment_with("tiers.edge.limits", {name: 1})).met == f"unknown key `{name}`"


def test_the_number_of_further_errors_is_told() -> None:
    raw = experiment_with("train", {"epocs": 3, "batchsize": 4, "seed": 5})
    assert refused(raw).met == "unknown key `epocs` (and 2 more)"


def test_a_key_in_a_section_that_belongs_to_the_top_is_told_so() -> None:
    assert refused(experiment_with("search", {"seeds": [1, 2]})).do.endswith("`seed` stands at the top")
    assert refused(experiment_with("search", {"trails": 5})).do == "Correct or remove it"


def test_numbers_may_be_text_because_yaml_makes_them_so() -> None:
    raw = yaml.safe_load("train: {learning_rate: 1e-3}\nlimits: {macs: 30e6}")
    assert raw["train"]["learning_rate"] == "1e-3"
    read = parse_experiment({**experiment_with("tiers.edge.limits", raw["limits"]), "train": raw["train"]}, where="x")
    assert (read.train.learning_rate, read.tiers["edge"].limits.macs) == (1e-3, 30e6)


def test_what_is_listed_twice_counts_once() -> None:
    raw = experiment_with("export", {"picks": ["best", "knee", "best"], "formats": ["onnx", "onnx"]})
    read = parse_experiment(raw, where="x").export
    assert (read.picks, read.formats) == (("best", "knee"), ("onnx",))


def test_a_set_up_is_read_alone() -> None:
    assert parse_setup({"runtime": "tflite", "threads": 2}, where="set-up") == SetupConfig(runtime="tflite", threads=2)
    with pytest.raises(ConfigError, match=r"set-up: `runtime` is 'tflit'\. Did you mean `tflite`\?"):
        parse_setup({"runtime": "tflit"}, where="set-up")


# --- a dump reads back ---


@pytest.mark.parametrize(
    ("given", "read"),
    [("big", "big"), ([0, 1], "0,1"), (3, "3"), ("0-3", "0-3"), (None, None)],
)
def test_cores_are_a_cluster_or_numbers(given: Any, read: str | None) -> None:
    assert parse_setup({"runtime": "tflite", "cores": given}, where="set-up").cores == read


@pytest.mark.parametrize("given", ["Big Cores", "-1", [], [-1], {"big": 1}, "0,", "1;2"])
def test_cores_of_another_form_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="a cluster, such as `big`"):
        parse_setup({"runtime": "tflite", "cores": given}, where="set-up")


def test_a_resolved_experiment_reads_back_equal(tmp_path: Path, repository: Path) -> None:
    files = sorted((repository / "experiments").glob("*.yaml"))
    assert files
    for file in files:
        experiment = read_experiment(file)
        kept = tmp_path / file.name
        kept.write_text(dump_experiment(experiment), encoding="utf-8")
        assert read_experiment(kept) == experiment
        assert dump_experiment(read_experiment(kept)) == dump_experiment(experiment)


positive = st.floats(1e-300, 1e300)


@settings(deadline=None)  # a machine may be busy
@given(
    st.builds(TrainConfig, epochs=st.integers(1, 10**9), learning_rate=positive, max_grad_norm=positive),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20),
    st.integers(0, 2**31 - 1),
    st.dictionaries(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,20}\Z"), positive, min_size=1, max_size=3),
)
def test_any_experiment_reads_back_equal(train: TrainConfig, title: str, seed: int, tiers: dict[str, float]) -> None:
    limits = {name: {"setup": "laptop", "limits": {"latency_ms": bound}} for name, bound in tiers.items()}
    raw = {**RAW, "pairs": {}, "title": title, "seed": seed, "tiers": limits, "train": train.model_dump()}
    experiment = parse_experiment(raw, where="x")
    assert parse_experiment(yaml.safe_load(dump_experiment(experiment)), where="x") == experiment


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("mysql://me@host/db", "mysql://me@host/db"),
    ],
)
def test_what_is_published_holds_no_password_and_no_local_folder(url: str, told: str) -> None:
    experiment = parse_experiment({**experiment_with("search.storage", url), "base": "/home/me"}, where="x")
    shown = published(experiment)
    assert (shown.search.storage, shown.base) == (told, None)
    assert experiment.search.storage == url


# --- the models say what the rooms below say ---


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in model.model_fields.items()}


def test_training_is_the_recipe() -> None:
    own = {name: value for name, value in defaults(TrainConfig).items() if name not in ("weights", "format")}
    assert own == {field.name: field.default for field in dataclasses.fields(Recipe)}
    assert Recipe(**TrainConfig().model_dump(exclude={"weights", "format"})) == Recipe()


def test_accuracy_is_the_settings_of_its_sources() -> None:
    own = {name: value for name, value in defaults(AccuracyConfig).items() if name != "file_every"}
    assert own == {field.name: field.default for field in dataclasses.fields(Settings)}
    assert Settings(**AccuracyConfig().model_dump(exclude={"file_every"})) == Settings()


def test_timing_is_the_protocol_the_checks_and_the_wait() -> None:
    others = {"validation_networks", "device_lock_timeout_s"}
    own = {name: value for name, value in defaults(TimingConfig).items() if name not in others}
    assert own == {field.name: field.default for field in dataclasses.fields(Timing) if field.name != "seed"}
    assert Timing(**TimingConfig().model_dump(exclude=others)) == Timing()
    assert TimingConfig().device_lock_timeout_s == WAIT_S


def test_words_are_those_of_the_tables() -> None:
    for model, key, words in (
        (SetupConfig, "runtime", {*RUNTIMES.own, "published"}),
        (SearchConfig, "sampler", {*SAMPLERS.own, "auto"}),
        (EnergyConfig, "sensor", {*SENSORS.own, "auto"}),
    ):
        assert set(model.model_json_schema()["properties"][key]["enum"]) == words
    assert ExportConfig.model_json_schema()["properties"]["formats"]["items"]["enum"] == [*FORMATS.own]
    assert set(get_args(TrainConfig.model_fields["schedule"].annotation)) == set(SCHEDULES)
    assert set(get_args(TrainConfig.model_fields["launcher"].annotation)) == set(LAUNCHERS)


def test_the_rules_of_picks_stand_without_spaces_each_once() -> None:
    picks = ["weights: top1=2, latency_ms=1", "best", "weights:top1=2,latency_ms=1"]
    read = parse_experiment(experiment_with("export.picks", picks), where="x")
    assert read.export.picks == ("weights:top1=2,latency_ms=1", "best")
