"""Adapting a trained network, or a trained supernet, to other data."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

from hwnas.commands.adapt_network import NetworkAdapter
from hwnas.commands.adapt_sources import (
    TrainedNetwork,
    bundled_network,
    is_bundle,
    network_source,
    picked_network,
    run_of_bundle,
    user_network,
)
from hwnas.commands.adaptation import Adaptation
from hwnas.errors import ConfigError
from hwnas.opened.source import NetworkSource
from hwnas.workspace.folder import locked
from hwnas.workspace.progress import Reporter, default_reporter

How = Literal["head", "norm", "full", "space"]


def adapt(
    target: str,
    data: str,
    *,
    how: How | None = None,
    watch: bool = False,
    weights: Path | None = None,
    tier: str | None = None,
    pick: str | None = None,
    epochs: int | None = None,
    rehearse: int = 0,
    keep_classes: bool = False,
    input_shape: str | None = None,
    name: str | None = None,
    out: Path | None = None,
    runs: Path = Path("runs"),
    reporter: Reporter | None = None,
) -> Adaptation:
    """Adapt a trained network to other data, or say whether data is unlike that before.

    Args:
        target: a trained run, a bundle, or a network of yours: `file.py:function`, or the file that `open` wrote.
        data: a YAML file that names a data set, the name of one, or a `.npz` archive of raw samples.
        how: `head` fits the last layer, `norm` recomputes normalisation statistics and, with `epochs`, trains scales
            and shifts too, `full` trains all weights on, `space` brings the supernet's weights into a new space and
            searches it.
        watch: only compare the data with the statistics of a bundle.
        weights: state dictionary of a network of yours.
        tier: of a run; the first one if left out.
        pick: rule for the network of the tier's front, the knee if left out; of a bundle alone, one of its picks.
        epochs: of `full`, 5 if left out, of `space`, a third of those before, and of `norm`, none if left out.
        rehearse: of `full`, number of training samples of the data before that are trained on again; all classes stay.
        keep_classes: all classes of the network stay, and those of the data are added.
        input_shape: of `space`, the new input, such as `1,28,28`; as before if left out.
        name: of `space`, the new run.
        out: folder of the files; in the run's folder if left out.
        runs: folder of run folders.
        reporter: receives messages and progress; silent if left out.

    Returns:
        What was written, with accuracies before and after.

    Raises:
        ConfigError, SpaceError, DataError: the target, the data or an option cannot be used.
        RunError: the run is not trained to the end, or not searched.
        TrainingError: a fine-tuning diverged.

    Example:
        >>> from hwnas import pipeline
        >>> pipeline.adapt("runs/mini", "digits", how="head").report["classes"]["new"]
        []
    """
    reporter = default_reporter(reporter)
    _check_options(how, watch, {"--rehearse": rehearse, "--epochs": epochs, "--input": input_shape, "--name": name})
    source = network_source(target, weights)
    if source is not None and (watch or how == "space"):
        raise ConfigError(
            f"`{target}` is a network of yours",
            where="hwnas adapt",
            allowed="--watch compares data with the statistics of a bundle, --how space trains the supernet of a run",
            do="Name a bundle or a run, or take --how head, norm or full",
        )
    chosen = {"--tier": tier, "--pick": pick, "--keep-classes": keep_classes, "--out": out}
    _check_target_options(how, target, source, chosen)
    if watch:
        from hwnas.commands.adapt_bundle import watched

        return watched(target, data, tier, runs)
    if how == "head" and source is None and is_bundle(target):
        from hwnas.commands.adapt_bundle import head_of_bundle

        return head_of_bundle(target, data, out, keep=keep_classes)
    if how == "space":
        from hwnas.commands.adapt_space import adapt_space

        return adapt_space(_run_behind(target), data, epochs, input_shape, name, runs, reporter)
    assert how is not None
    trained = _trained_network(target, source, tier, pick, runs, reporter)
    folder = out or _folder_of(trained, how)
    with contextlib.nullcontext() if trained.run is None else locked(trained.run[0]):
        keep = keep_classes or rehearse > 0
        return NetworkAdapter(trained, data, how, epochs, rehearse, keep, folder, reporter).run()


def _trained_network(
    target: str, source: NetworkSource | None, tier: str | None, pick: str | None, runs: Path, reporter: Reporter
) -> TrainedNetwork:
    """Return the network of a target; of a bundle outside its run, that of its plain module."""
    if source is not None:
        return user_network(source)
    if not is_bundle(target):
        return picked_network(target, runs, tier, pick or "knee", reporter)
    behind = run_of_bundle(target)
    if behind is None:
        return bundled_network(Path(target), pick)
    return picked_network(behind[0], runs, behind[1], pick or "knee", reporter)


def _folder_of(trained: TrainedNetwork, how: How) -> Path:
    """Return the folder of the files, if none is named."""
    return Path(f"{trained.stem}_{how}") if trained.run is None else trained.run[0].folder / "adapted" / how


def _check_options(how: How | None, watch: bool, options: dict[str, Any]) -> None:
    """Refuse options that do not go together."""
    if (how is None) != watch:
        raise ConfigError(
            "--how and --watch are both given" if watch else "it is not said how to adapt",
            where="hwnas adapt",
            allowed="--how head, norm, full or space adapts; --watch says whether data drifted, and adapts nothing",
            do="Give one of the two",
        )
    of = {"--rehearse": ("full",), "--epochs": ("norm", "full", "space"), "--input": ("space",), "--name": ("space",)}
    for option, value in options.items():
        if value and how not in of[option]:
            raise ConfigError(
                f"{option} says nothing of {'--watch' if watch else f'--how {how}'}",
                where="hwnas adapt",
                allowed=f"It is of --how {', '.join(of[option])}",
                do="Leave it out",
            )


def _check_target_options(how: How | None, target: str, source: NetworkSource | None, options: dict[str, Any]) -> None:
    """Refuse options that say nothing of the target, which would be taken for what was done."""
    of_run, of_bundle = source is None and not is_bundle(target), source is None and is_bundle(target)
    picked = (of_run and how in ("head", "norm", "full")) or (of_bundle and how in ("norm", "full"))
    uses = {
        "--tier": (of_run and how != "space", "It names a tier of a run, for --watch and --how head, norm or full"),
        "--pick": (picked, "It chooses a network: for --how head of a run, for norm and full of a run or a bundle"),
        "--keep-classes": (how not in (None, "space"), "It is of --how head, norm or full"),
        "--out": (
            how not in (None, "space"),
            "--watch writes nothing, --how space a run's folder: --name, --runs",
        ),
    }
    for option, value in options.items():
        used, allowed = uses[option]
        if value and not used:
            kind = "a network of yours" if source is not None else "a bundle" if of_bundle else "a run"
            raise ConfigError(
                f"{option} says nothing of {f'--how {how}' if how else '--watch'} of {kind}",
                where=f"hwnas adapt {target}",
                allowed=allowed,
                do="Leave it out",
            )


def _run_behind(target: str) -> str:
    """Return the run of a target: itself, or the one that a bundle stands in.

    Raises:
        ConfigError: the bundle stands alone.
    """
    if not is_bundle(target):
        return target
    behind = run_of_bundle(target)
    if behind is None:
        raise ConfigError(
            "the bundle stands outside its run, whose supernet is needed",
            where=target,
            allowed="A bundle holds one network; `--how head`, `norm` and `full` adapt it",
            do="Take one of these, or name the run",
        )
    return behind[0]
