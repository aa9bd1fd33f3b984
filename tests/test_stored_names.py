"""Names that are stored stay as they were: in identities, metrics, conditions and in a run's copy of its experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas.accuracy import PROXIES, accuracy_metric
from hwnas.config import read_experiment
from hwnas.errors import ConfigError
from hwnas.io.fields import Fields
from hwnas.io.yaml import dump_yaml, parse_yaml
from hwnas.problem.fronts.conditions import Conditions, conditions_in
from hwnas.stored_names import KEYS, VALUES, current, stored
from hwnas.supernet import Recipe
from hwnas.supernet.training.resume import NEUTRAL_FIELDS, identity_dict

KEPT = Path(__file__).parent / "golden" / "run_before" / "kept" / "experiment.yaml"
BEFORE: dict[str, Any] = parse_yaml(KEPT.read_text().replace("@HERE@", "/here"), where=str(KEPT))


def sections(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "train": raw["train"],
        "accuracy": raw["accuracy"],
        "setups.*": raw["setups"]["board"],
        "tiers.*.limits": raw["tiers"]["edge"]["limits"],
        "timing": raw["timing"],
    }


@pytest.mark.parametrize("path", sections(BEFORE))
def test_a_section_is_stored_in_the_names_that_it_was_read_in(path: str) -> None:
    section = sections(BEFORE)[path]
    assert stored(current(section, path), path) == section


def test_every_renamed_key_was_one_and_is_another_now() -> None:
    for path, names in KEYS.items():
        section = sections(BEFORE).get(path) or BEFORE.get(path)
        assert section is None or names.keys() <= section.keys()
        assert not names.keys() & set(names.values())


def test_a_runs_own_copy_is_read_and_a_users_file_with_old_keys_is_refused(tmp_path: Path) -> None:
    raw = {**BEFORE, "train": {**BEFORE["train"], "on_divergence": "halve", "middles": 5}}
    raw["search"] = {**BEFORE["search"], "plateau": {"trials": 7, "gain": 0.5}, "hours": 2}
    for name in ("experiment", "mine"):
        (tmp_path / f"{name}.yaml").write_text(dump_yaml(raw))
    read = read_experiment(tmp_path / "experiment.yaml")
    assert (read.train.num_random_subnets, read.train.on_divergence) == (5, "halve_lr")
    assert read.search.early_stopping is not None
    assert (read.search.early_stopping.patience, read.search.early_stopping.min_delta) == (7, 0.5)
    assert (read.search.max_hours, read.setups["board"].missing) == (2, "error")
    assert [rung.score for rung in read.search.successive_halving] == ["inherited", "finetuned"]
    with pytest.raises(ConfigError, match="unknown key") as caught:
        read_experiment(tmp_path / "mine.yaml")
    assert caught.value.allowed


def test_the_identity_of_a_training_has_the_stored_names() -> None:
    assert identity_dict(Recipe()).keys() == BEFORE["train"].keys() - set(NEUTRAL_FIELDS)


def test_metrics_have_the_stored_names_and_functions_their_own() -> None:
    assert {accuracy_metric(name, "top1") for name in PROXIES} == {
        f"top1@{name}" for name in ("inherited", "short", "alone", "predicted", "table", "blockwise")
    }
    assert accuracy_metric("mine.py:standalone", "score") == "score@standalone"
    assert set(VALUES["accuracy.source"].values()) <= PROXIES.keys()


def test_conditions_are_stored_in_the_names_that_they_were() -> None:
    parts = {
        "objectives": ["max top1@short", "min latency_ms@board"], "limits": [], "setup": BEFORE["setups"]["board"],
        "latency": {"source": "table"}, "space": "digits 0", "seed": 0, "data": {"name": "digits"},
        "train": BEFORE["train"], "accuracy": {**BEFORE["accuracy"], "source": "short"},
    }  # fmt: skip
    raw = {"producer": "p", "study": "s", **parts}
    conditions = conditions_in(Fields(raw))
    assert isinstance(conditions, Conditions)
    assert conditions.parts["accuracy"]["source"] == "finetuned"
    assert conditions.as_dict() == raw
