"""The experiment: every key, its type and its default. `workspace`, `problem`, `commands` and `cli` alone import it."""

from hwnas.config.experiment import (
    AccuracyConfig,
    EarlyStoppingConfig,
    Experiment,
    ExportConfig,
    Pick,
    RungConfig,
    SearchConfig,
    TimingConfig,
    TrainConfig,
    ZeroCostInitConfig,
    dump_experiment,
    parse_experiment,
    parse_setup,
    parse_tier,
    published,
    read_experiment,
)
from hwnas.config.limits import LimitsConfig
from hwnas.config.setups import EnergyConfig, LatenciesConfig, LiveConfig, SetupConfig, TierConfig

__all__ = [
    "AccuracyConfig",
    "EarlyStoppingConfig",
    "EnergyConfig",
    "Experiment",
    "ExportConfig",
    "LatenciesConfig",
    "LimitsConfig",
    "LiveConfig",
    "Pick",
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
