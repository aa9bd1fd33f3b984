"""The experiment: every key, its type and its default. It is imported by `pipeline/` and `cli/` alone."""

from hwnas.config.experiment import (
    AccuracyConfig,
    Experiment,
    ExportConfig,
    Pick,
    PlateauConfig,
    RungConfig,
    SearchConfig,
    TimingConfig,
    TrainConfig,
    dump_experiment,
    parse_experiment,
    parse_setup,
    parse_tier,
    published,
    read_experiment,
)
from hwnas.config.setups import EnergyConfig, LatenciesConfig, LimitsConfig, LiveConfig, SetupConfig, TierConfig

__all__ = [
    "AccuracyConfig",
    "EnergyConfig",
    "Experiment",
    "ExportConfig",
    "LatenciesConfig",
    "LimitsConfig",
    "LiveConfig",
    "Pick",
    "PlateauConfig",
    "RungConfig",
    "SearchConfig",
    "SetupConfig",
    "TierConfig",
    "TimingConfig",
    "TrainConfig",
    "dump_experiment",
    "parse_experiment",
    "parse_setup",
    "parse_tier",
    "published",
    "read_experiment",
]
