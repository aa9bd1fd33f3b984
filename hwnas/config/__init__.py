"""The experiment: every key, its type and its default. `workspace`, `problem`, `commands` and `cli` alone import it."""

from hwnas.config.experiment import (
    Experiment,
    dump_experiment,
    parse_experiment,
    parse_setup,
    parse_tier,
    published,
    read_experiment,
)
from hwnas.config.export import ExportConfig
from hwnas.config.limits import LimitsConfig
from hwnas.config.measuring import EnergyConfig, TimingConfig
from hwnas.config.search import RungConfig, SearchConfig, ZeroCostInitConfig
from hwnas.config.setups import LiveConfig, SetupConfig, TierConfig
from hwnas.config.training import AccuracyConfig, TrainConfig

__all__ = [
    "AccuracyConfig",
    "EnergyConfig",
    "Experiment",
    "ExportConfig",
    "LimitsConfig",
    "LiveConfig",
    "RungConfig",
    "SearchConfig",
    "SetupConfig",
    "TierConfig",
    "TimingConfig",
    "TrainConfig",
    "ZeroCostInitConfig",
    "dump_experiment",
    "parse_experiment",
    "parse_setup",
    "parse_tier",
    "published",
    "read_experiment",
]
