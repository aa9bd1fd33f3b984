"""Costs of an architecture known before any training: parameters, MACs, predicted latency and file size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hwnas.errors import HwnasError, NoScore, TableError, raised
from hwnas.io.fields import FieldError
from hwnas.latency.model import FEWEST_CHECKS, LatencyModel, throttled
from hwnas.latency.rows import Missing
from hwnas.measure.table import LatencyTable
from hwnas.measure.table_file import content_of
from hwnas.measure.table_lines import read_header, without_seals
from hwnas.network import Network, known_operators
from hwnas.pareto import Limit, Objective, Scores
from hwnas.problem.precision.floats import float_notices
from hwnas.quantities import LATENCY, Metric, Quantity, shown_as
from hwnas.registry import imported
from hwnas.runtimes import Setup
from hwnas.runtimes.setup import saturates_int8
from hwnas.search.evaluate import Scorer
from hwnas.search.precision import split_candidate
from hwnas.space import Architecture
from hwnas.words import counted
from hwnas.workspace.measuring.remote_bench import board_table
from hwnas.workspace.measuring.setups import declared_setup, int8_scheme, requested_setup, table_of
from hwnas.workspace.workspace import Workspace


@dataclass(frozen=True)
class CostModels:
    """A set-up's table and the model that was inferred from it."""

    table: LatencyTable
    model: LatencyModel
    others: Mapping[str, Callable[[Network], float]] = field(default_factory=dict)
    """Predictions of other quantities by name, as far as they are asked for and the table holds them."""

    @classmethod
    def of(
        cls,
        table: LatencyTable,
        quantities: Iterable[Quantity],
        *,
        missing: Missing,
        bench: str,
        operators: Mapping[str, str],
    ) -> CostModels:
        """Infer the models of quantities from a table.

        Raises:
            TableError: it lacks what one of them is predicted from.
        """
        models = {}
        for one in quantities:
            if one.model is not None:
                infer = imported(one.model, what=f"model of `{one.name}`", where="quantities")
                models[one.name] = infer(table, missing=missing, bench=bench, operators=operators)
        latency = models.pop(LATENCY.name)
        return cls(table, latency, {name: model for name, model in models.items() if model is not None})

    @property
    def digest(self) -> str:
        """Digest of the table that the model was inferred from: latencies of different tables do not mix in a study."""
        return table_digest(self.table.path)


def header_of(path: Path) -> Setup | None:
    """Return the set-up in a table's first line; None without a table, or if it is damaged, as its reader reports."""
    try:
        with open(path, "rb") as file:
            return read_header(file.readline())[0]
    except (OSError, FieldError):
        return None


def table_digest(path: Path) -> str:
    """Return twelve digits of the digest of a table's content."""
    return hashlib.sha256(without_seals(content_of(path))).hexdigest()[:12]


def load_cost_models(run: Workspace) -> dict[str, CostModels]:
    """Return table and model of each set-up that a tier predicts from; those that are live or published have none.

    Raises:
        TableError: a table is missing, damaged or of another set-up.
    """
    names = dict.fromkeys(setup for tier in run.experiment.tiers for setup in run.experiment.setups_of(tier).values())
    return {name: load_cost_model(run, name) for name in names if run.objectives.needs_table(name)}


def load_cost_model(run: Workspace, name: str) -> CostModels:
    """Return table and model of one set-up.

    Raises:
        TableError: as `load_cost_models`.
    """
    _refuse_no_table(run, name)
    for path in (run.paths.table(name), run.paths.front_table(name)):
        refuse_another_setup(run, name, path)
    return _priced(run, name, table_of(run.experiment.setups[name], run.paths.table(name)))


def cost_model_of_table(run: Workspace, name: str) -> CostModels:
    """Return table and model of a set-up from its table alone: it need not be this machine's, and nothing is written.

    Raises:
        TableError: the table is missing, damaged, or of another set-up than the experiment's.
    """
    path = run.paths.table(name)
    _refuse_no_table(run, name)
    refuse_another_setup(run, name, path)
    return _priced(run, name, board_table(path, requested_setup(run.experiment.setups[name])))


def _refuse_no_table(run: Workspace, name: str) -> None:
    if not (path := run.paths.table(name)).exists():
        raise TableError(
            "there is no table yet",
            where=str(path),
            allowed="A latency is predicted from a set-up's table",
            do=f"Run `{run.command('bench')}`, or name another table",
        )


def refuse_another_setup(run: Workspace, name: str, path: Path) -> None:
    """Refuse a table that was measured under another set-up than the experiment's; a missing one passes.

    Raises:
        TableError: it names what differs, and what makes another table.
    """
    if (error := another_setup(run, name, path)) is not None:
        raise error


def another_setup(run: Workspace, name: str, path: Path) -> TableError | None:
    """Return the error for a table that was measured under another set-up than the experiment's; None for others."""
    if (setup := header_of(path)) is None:
        return None
    wanted = requested_setup(run.experiment.setups[name])
    untold = [field for field in ("device", "runtime_version") if not getattr(wanted, field)]
    known = {field: getattr(setup, field) for field in untold}
    if unlike := setup.differences(replace(wanted, **known)):
        return TableError(
            f"the table is of another set-up ({'; '.join(unlike)}; first the table's, then `{name}` of the experiment)",
            where=str(path),
            allowed="A number is told of the set-up that it was taken on",
            do=f"Restore the set-up; or move the file away, then run `{run.command('bench')}` and "
            f"`{run.command('search')}`",
        )
    return None


def _priced(run: Workspace, name: str, table: LatencyTable) -> CostModels:
    return CostModels.of(
        table,
        run.objectives.quantities(name),
        missing=run.experiment.setups[name].missing,
        bench=run.command("bench"),
        operators=known_operators(run.space),
    )


def cost_metric_scorers(run: Workspace, tier: str, cost_models: Mapping[str, CostModels]) -> dict[str, Scorer]:
    """Return scorers that need no training, by metric; of a live tier those that need no device, and without a model of
    the set-up those that need no table. Where the tier lists precisions, they score candidates, and architectures by
    the precision that is best for them."""
    parts = {
        precision: network_scorers(run, tier, setup, cost_models)
        for precision, setup in run.experiment.setups_of(tier).items()
    }
    if run.experiment.tiers[tier].precision is None:
        return next(iter(parts.values()))
    shared = [metric for metric in next(iter(parts.values())) if all(metric in one for one in parts.values())]
    return {metric: _of_candidate({p: one[metric] for p, one in parts.items()}, metric) for metric in shared}


def _of_candidate(parts: Mapping[str, Scorer], metric: str) -> Scorer:
    """Return a scorer of candidates from those of the precisions."""
    best = min if shown_as(Metric.parse(metric).quantity).goal == "min" else max

    def score(candidate: Architecture) -> float:
        architecture, precision = split_candidate(candidate)
        if precision is None:
            return best(one(architecture) for one in parts.values())
        return parts[precision](architecture)

    return score


def network_scorers(
    run: Workspace, tier: str, runs_on: str, cost_models: Mapping[str, CostModels]
) -> dict[str, Scorer]:
    """Return the scorers of a tier's networks on one of its set-ups; metrics have the name of the tier's own."""
    setup = run.experiment.tiers[tier].setup
    price = None if run.objectives.is_live(tier) or run.objectives.is_published(tier) else cost_models.get(runs_on)
    scorers: dict[str, Scorer] = {}
    for quantity in run.objectives.quantities(setup):
        metric = str(quantity.metric(setup))
        if quantity.is_derived:
            known = declared_setup(run.experiment.setups[runs_on]) if price is None else price.table.setup
            scorers[metric] = _derived(run, quantity, known)
        elif quantity is LATENCY:
            scorers |= _latencies(run, tier, price)
        elif price is not None and quantity.name in price.others:
            scorers[metric] = _of_network(run, price.others[quantity.name])
    return scorers


def _latencies(run: Workspace, tier: str, price: CostModels | None) -> dict[str, Scorer]:
    """Return the scorers of a tier's latency, and of the quantile that is limited."""
    setup, confidence = run.experiment.tiers[tier].setup, run.experiment.tiers[tier].limits.latency_quantile
    latency = str(LATENCY.metric(setup))
    if price is None:
        return {latency: run.published.latencies(setup)} if run.objectives.is_published(tier) else {}
    model = price.model
    expected = {latency: _of_network(run, model.predict_ms)}
    if confidence is None:
        return expected
    surely = str(LATENCY.metric(setup, confidence))
    return {**expected, surely: lambda a: model.upper_ms(run.network(a), confidence)}


def _of_network(run: Workspace, predict: Callable[[Network], float]) -> Scorer:
    return lambda architecture: predict(run.network(architecture))


def _derived(run: Workspace, quantity: Quantity, setup: Setup) -> Scorer:
    """Return the scorer of a quantity that is derived from networks. A distribution's may raise anything."""

    def score(architecture: Architecture) -> float:
        network = run.network(architecture)
        try:
            return float(quantity.derive(network, setup))
        except HwnasError:
            raise
        except Exception as error:
            raise NoScore(
                f"`{quantity.name}` cannot be computed ({raised(error)})",
                where=f"architecture {architecture.key}",
                allowed="A quantity is a number for every network of the space",
                do="Correct the quantity's function",
            ) from error

    return score


def feasible_scores(
    run: Workspace, tier: str, cost_models: Mapping[str, CostModels]
) -> Callable[[Architecture], Scores | None]:
    """Return a function from an architecture to what the tier limits or minimises, as far as that is known without
    training; None where that breaks a limit, or where a file of published numbers lacks it."""
    known, wanted = cost_metric_scorers(run, tier, cost_models), run.objectives.tier(tier)
    parts: list[Limit | Objective] = [*wanted.limits, *wanted.objectives]
    metrics = dict.fromkeys(part.metric for part in parts if part.metric in known)

    def scores(architecture: Architecture) -> Scores | None:
        try:
            values = {metric: known[metric](architecture) for metric in metrics}
        except NoScore:
            return None
        return None if wanted.broken(values) else values

    return scores


def notices(run: Workspace, cost_models: Mapping[str, CostModels]) -> list[str]:
    """Return notices for the user on the latencies that the tiers are searched with."""
    lines = []
    for name, tier in run.experiment.tiers.items():
        if run.objectives.is_published(name):
            lines.append(f"{name}: latencies are published, {run.published.latencies(tier.setup).description}")
        for setup in run.experiment.setups_of(name).values():
            if (notice := saturation_notice(run, setup)) is not None:
                lines.append(f"{name}: {notice}")
            lines += [f"{name}: {notice}" for notice in float_notices(run, setup)]
            if setup in cost_models:
                lines += _table_notices(name, setup, cost_models[setup], tier.limits.latency_quantile)
    return lines


def _table_notices(name: str, setup: str, price: CostModels, confidence: float | None) -> list[str]:
    """Return notices on a table that a tier is searched with."""
    lines = []
    if slowed := throttled(price.table):
        lines.append(f"{name}: the table of `{setup}`: {counted(len(price.table.rows), 'row')}{slowed}")
    if confidence is not None and price.model.posterior is None:
        lines.append(
            f"{name}: the table of `{setup}` holds under {FEWEST_CHECKS} whole networks, so the limit's "
            f"confidence of {confidence:g} rests on the spread of the rows alone, not on how far their sum is off"
        )
    return lines


def saturation_notice(run: Workspace, setup: str) -> str | None:
    """Return a warning of int8 files with unsigned activations on this machine, if it has no instruction for them."""
    config = run.experiment.setups[setup]
    if config.precision != "int8" or config.host or int8_scheme(config) != "u8s8" or not saturates_int8():
        return None
    return (
        f"`{setup}` multiplies unsigned by signed bytes on a processor without VNNI: sums of two products may "
        f"saturate, and networks lose more than simulated. Compare `activations: signed` in `setups.{setup}`"
    )


def latency_origin(model: LatencyModel, network: Network) -> str:
    """Return the origin of a predicted latency, in a front's words."""
    estimated = model.estimated_rows(list(network.links))
    return f"predicted, {estimated} of {len(network.operators)} operators estimated" if estimated else "predicted"
