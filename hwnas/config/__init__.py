"""The experiment: every key, its type and its default. `workspace`, `problem`, `commands` and `cli` alone import it."""

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
    TrainingFreeConfig,
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
    "TrainingFreeConfig",
    "dump_experiment",
    "parse_experiment",
    "parse_setup",
    "parse_tier",
    "published",
    "read_experiment",
]
