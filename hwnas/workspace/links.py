"""Links that a user names: those of the experiment, files, and presets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.collaborate.links.distribution import Quantiles
from hwnas.collaborate.links.formats import read_trace
from hwnas.collaborate.links.model import LinkModel, Tariff
from hwnas.collaborate.links.presets import PRESETS, Radio
from hwnas.collaborate.links.series import LinkSeries
from hwnas.config import Experiment
from hwnas.config.links import LinkConfig, QuantilesConfig
from hwnas.errors import ConfigError, did_you_mean
from hwnas.io.regular import resolve_path
from hwnas.io.strict_model import parsed
from hwnas.io.yaml import read_yaml

YAML = (".yaml", ".yml")
UP_SHARE = 0.39
"""Median rate up relative to the median rate down of the 909 4G speed tests of ERRANT's sample."""
OF_RATES, OF_ROUND_TRIPS = "lte", "5g"
"""Presets that complete a trace of rates and one of round trips."""


def link_of(name: str, experiment: Experiment, base: Path, *, where: str = "--link") -> LinkModel:
    """Return the link of a name: a link of the experiment, a YAML file, a trace, or a preset.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    if name in experiment.links:
        return _configured(name, experiment.links[name], base)
    path = resolve_path(name, base)
    if path.is_file():
        if path.suffix.lower() in YAML:
            return _configured(path.stem, parsed(LinkConfig, read_yaml(path), str(path)), path.parent)
        return _configured(path.stem, LinkConfig(trace=str(path)), base)
    if name in PRESETS:
        return LinkModel.of_preset(name, PRESETS[name])
    raise ConfigError(
        f"there is no link `{name}`",
        where=where,
        allowed=f"{did_you_mean(name, {*experiment.links, *PRESETS})}; or a YAML file, or a trace",
        do="Name one of them, or add it to `links` of the experiment",
    )


def _configured(name: str, config: LinkConfig, base: Path) -> LinkModel:
    series = LinkSeries() if config.trace is None else read_trace(resolve_path(config.trace, base), config.direction)
    usual = OF_ROUND_TRIPS if set(series.records) == {"rtt"} else OF_RATES
    preset = config.preset or usual
    if preset not in PRESETS:
        raise ConfigError(
            f"there is no preset `{preset}`",
            where=f"link `{name}`: preset",
            allowed=did_you_mean(preset, PRESETS),
            do="Name one of them",
        )
    series, origins = _completed(config, series, preset)
    known = {key: value for key in ("up_mbps", "down_mbps", "rtt_ms") if (value := getattr(config, key)) is not None}
    changes: dict[str, Any] = {key: _quantiles(value) for key, value in known.items()}
    if config.promotion_ms is not None:
        changes["promotion_ms"] = config.promotion_ms
    if config.radio is not None:
        changes["radio"] = Radio(**config.radio.model_dump())
    return LinkModel.of_preset(
        name,
        PRESETS[preset],
        **changes,
        series=series,
        connection=config.connection,
        loss=config.loss,
        outage_share=config.outage_share,
        outage_ms=config.outage_ms,
        tariff=Tariff(**config.tariff.model_dump()),
        origins=origins,
    )


def _completed(config: LinkConfig, series: LinkSeries, preset: str) -> tuple[LinkSeries, dict[str, str]]:
    """Return the records with the other direction scaled from the one that there is, and the origin of each number."""
    origins = {f"{key}_mbps" if key != "rtt" else "rtt_ms": f"measured, {config.trace}" for key in series.records}
    lone = series.down is not None and series.up is None and config.up_mbps is None
    if lone and series.down is not None:
        share = UP_SHARE if config.up_share is None else config.up_share
        scaled = replace(series.down, values=series.down.values * share)
        series = replace(series, up=scaled)
        source = "the ratio of 4G speed tests in ERRANT's sample" if config.up_share is None else "as given"
        origins["up_mbps"] = f"estimated, {share:g} of the recorded rate down, {source}"
    for key in ("up_mbps", "down_mbps", "rtt_ms"):
        if key in origins:
            continue
        if getattr(config, key) is not None:
            origins[key] = "given"
        else:
            origins[key] = f"{PRESETS[preset].origins[key]}; of the preset `{preset}`"
    return series, origins


def _quantiles(config: QuantilesConfig) -> Quantiles:
    return Quantiles(config.p5, config.p50, config.p95)
