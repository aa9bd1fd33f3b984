"""A bundle, all bundles of a run, or a deployment, checked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import ConfigError, RunError
from hwnas.export.manifest import MANIFEST, Manifest
from hwnas.measure.events import no_progress
from hwnas.verify.deployment import check_deployment, plan_folders
from hwnas.verify.findings import Verification
from hwnas.verify.gate import GateLimits, check_against, check_answers
from hwnas.verify.integrity import check_files
from hwnas.verify.interpreters import InterpreterCheck
from hwnas.verify.latency import SITTING, Progress, check_latency, file_entries, runtime_of_file
from hwnas.verify.outputs import RunnableFile, check_outputs, check_quality, open_files, read_data
from hwnas.verify.remote import BoardCheck
from hwnas.verify.scenarios import run_scenario
from hwnas.verify.signing import check_signature, sign_folder

if TYPE_CHECKING:
    from hwnas.boards.host import Host
    from hwnas.measure.timing import Timing


def bundle_folders(target: str | Path, *, runs: Path = Path("runs")) -> list[Path]:
    """Return the folders of bundles that a target names: one, those of a run, or those in a folder of bundles.

    Raises:
        ConfigError: there is none.
    """
    path = Path(target)
    for folder in (path, path / "bundle", runs / path / "bundle"):
        if (folder / MANIFEST).exists():
            return [folder]
        inside = sorted(one.parent for one in folder.glob(f"*/{MANIFEST}") if not one.parent.name.startswith("."))
        if inside:
            return inside
    raise ConfigError(
        f"`{target}` is no bundle and no deployment",
        where="hwnas verify",
        allowed=f"It holds {MANIFEST} or plan.json, as runs/NAME/bundle/TIER does, or is a run that was exported",
        do="Name such a folder; `hwnas export` writes it",
    )


def verify(
    target: str | Path,
    *,
    data: Path | None = None,
    against: str | Path | None = None,
    key: Path | None = None,
    limits: GateLimits | None = None,
    latency: bool = True,
    host: Host | None = None,
    python: str = "python3",
    against_python: str | None = None,
    timing: Timing = SITTING,
    runs: Path = Path("runs"),
    progress: Progress = no_progress,
) -> list[Verification]:
    """Check bundles again: files, signature, self-test, quality and latency; with `against`, beside an earlier one.

    Args:
        target: a bundle's folder, a folder of bundles, a run, or the folder of a deployment.
        data: an .npz archive of raw `inputs` and `targets`.
        against: an earlier bundle, or as many as `target` names, by tier.
        key: public key of the signature.
        limits: how much worse a bundle may be than the earlier one.
        latency: time the files as well.
        host: a board on which files are run, in place of this machine.
        python: on the board.
        against_python: path of another Python on this machine, whose runtime is compared with this one's.
        timing: the measuring protocol.
        runs: folder of run folders.
        progress: is told how far it is.

    Returns:
        A verification for each bundle.

    Raises:
        ConfigError: there is no such bundle, or the data or the key cannot be used.
        HostAway: the board cannot be reached.

    Example:
        >>> from hwnas import pipeline
        >>> [one.ok for one in pipeline.verify("runs/mini/bundle/cloud", latency=False)]
        [True]
    """
    arrays, allowed = None if data is None else read_data(data), limits or GateLimits()
    if sides := plan_folders(Path(target)):
        result = Verification(str(target))
        _refuse_on_deployments(
            target, {"--against": against, "--key": key, "--host": host, "--against-python": against_python}
        )
        check_deployment(sides, result, arrays=arrays, drop=allowed.drop)
        return [result]
    folders = bundle_folders(target, runs=runs)
    earlier = None if against is None else _matched(folders, bundle_folders(against, runs=runs), against)
    results = []
    for folder in folders:
        result = Verification(str(folder))
        results.append(result)
        manifest = check_files(folder, result)
        check_signature(folder, key, result)
        if manifest is None:
            continue
        if host is not None:
            names = [MANIFEST, *(one.name for one in manifest.files), *(one.name for one in manifest.companions)]
            BoardCheck(host, python).check(folder, names, data, allowed.drop, result)
            continue
        opened = open_files(folder, manifest, result)
        check_outputs(folder, opened, result)
        if arrays is not None:
            check_quality(folder, opened, arrays, allowed.drop, result)
        if earlier is not None:
            gate = _Gate(allowed, arrays, timing if latency else None, progress)
            gate.check((folder, manifest), earlier[folder], opened, result)
        elif against_python is not None:
            InterpreterCheck(against_python, allowed).check(folder, data, latency, result)
        elif latency:
            check_latency(folder, manifest, result, timing=timing, progress=progress)
    return results


def _refuse_on_deployments(target: str | Path, options: Mapping[str, object]) -> None:
    """Refuse options that a deployment has no use for.

    Raises:
        ConfigError: one of them is given.
    """
    for option in (option for option, value in options.items() if value is not None):
        raise ConfigError(
            f"`{target}` is a deployment, for which there is no {option}",
            where=f"hwnas verify {option}",
            allowed="Of a deployment the plan's digest, the files, how the halves fit and, with --data, the accuracy "
            "are checked, on this machine",
            do=f"Leave {option} out; copy a side to its machine, and verify it there",
        )


def _matched(folders: Sequence[Path], earlier: Sequence[Path], against: str | Path) -> dict[Path, Path]:
    """Return the earlier bundle of each: the only one, or the one of the same name."""
    if len(folders) == len(earlier) == 1:
        return {folders[0]: earlier[0]}
    by_name = {folder.name: folder for folder in earlier}
    if lacking := [folder.name for folder in folders if folder.name not in by_name]:
        raise ConfigError(
            f"`{against}` has no bundle `{lacking[0]}`",
            where="--against",
            allowed=f"Bundles are compared by the names of their folders; there: {', '.join(by_name)}",
            do="Name two bundles, or two runs with the same tiers",
        )
    return {folder: by_name[folder.name] for folder in folders}


@dataclass(frozen=True)
class _Gate:
    """A comparison with earlier bundles."""

    limits: GateLimits
    arrays: Mapping[str, Any] | None
    timing: Timing | None
    """None leaves latencies out."""
    progress: Progress

    def check(
        self, new: tuple[Path, Manifest], folder: Path, opened: Sequence[RunnableFile], result: Verification
    ) -> None:
        """Compare a bundle with the earlier one in a folder, whose own findings are told as such."""
        own = Verification(str(folder))
        old = check_files(folder, own)
        result.findings += [replace(one, message=f"of the earlier bundle: {one.message}") for one in own.findings]
        if old is None:
            return
        names = check_against(
            new, (folder, old), result, limits=self.limits, timing=self.timing, progress=self.progress
        )
        if self.arrays is None:
            result.find("quality_not_compared", "answers are not compared without data", new[0])
            return
        before = {one.name: one for one in open_files(folder, old, own)}
        pairs = {one.name: (one, before[one.name]) for one in opened if one.name in names and one.name in before}
        check_answers(new[0], pairs, self.arrays, self.limits, result)


def sign(target: str | Path, key: Path, *, runs: Path = Path("runs")) -> list[Path]:
    """Sign bundles with a private key, offline.

    Args:
        target: as `verify` takes it; no deployment.
        key: an elliptic-curve private key in PEM.
        runs: folder of run folders.

    Returns:
        Paths of the signatures.

    Raises:
        ConfigError: there is no such bundle, or the key cannot be used.
        MissingExtra: the package of the extra `sign` is not installed.
        RunError: a bundle is damaged, or the signature cannot be written.

    Example:
        >>> from hwnas import pipeline
        >>> from pathlib import Path
        >>> [path.name for path in pipeline.sign("runs/mini/bundle/cloud", Path("key.pem"))]
        ['bundle.sig']
    """
    if plan_folders(Path(target)):
        raise ConfigError(
            f"`{target}` is a deployment, which is not signed",
            where="hwnas sign",
            allowed="Bundles are signed; a deployment's plan has a digest, which names its files by theirs",
            do="Sign the bundle that the plan's networks are of",
        )
    folders = bundle_folders(target, runs=runs)
    for folder in folders:
        result = Verification(str(folder))
        check_files(folder, result)
        if not result.ok:
            worst = next(one for one in result.findings if one.severity == "error")
            raise RunError(
                f"the bundle is damaged: {worst.message}",
                where=worst.where,
                allowed="What is signed is as it was exported",
                do=worst.do,
            )
    return [sign_folder(folder, key) for folder in folders]


def put_under_load(
    target: str | Path,
    scenario: str,
    *,
    model: str | None = None,
    seconds: float = 10.0,
    rate: float | None = None,
    runs: Path = Path("runs"),
) -> dict[str, dict[str, Any]]:
    """Put model files of a bundle under load, by the definitions of MLPerf Inference's scenarios.

    Args:
        target: a bundle's folder.
        scenario: `single_stream`, `multi_stream`, `server`, `offline` or `sustained`.
        model: name of a file; all that can be run here if left out.
        seconds: of load for each.
        rate: queries a second of `server`.
        runs: folder of run folders.

    Returns:
        By file: `scenario`, `queries`, `seconds`, `result`, `unit` and `details`.

    Raises:
        ConfigError: there is no such bundle, file or scenario.
        RunError: no file can be run here.
        HwnasError: a file cannot be loaded.

    Example:
        >>> from hwnas import pipeline
        >>> list(pipeline.put_under_load("runs/mini/bundle/cloud", "offline", seconds=0.1))
        ['best.onnx']
    """
    if plan_folders(Path(target)):
        _refuse_on_deployments(target, {"--scenario": scenario})
    folder, *others = bundle_folders(target, runs=runs)
    if others:
        raise ConfigError(
            f"`{target}` names {len(others) + 1} bundles",
            where="hwnas verify --scenario",
            allowed="Files of one bundle are put under load",
            do=f"Name one, such as {folder}",
        )
    result = Verification(str(target))
    manifest = check_files(folder, result)
    entries = [] if manifest is None else file_entries(manifest)
    chosen = [entry for entry in entries if model in (None, entry["name"])]
    if manifest is None or not chosen or not result.ok:
        fault = next((one.message for one in result.findings if one.severity == "error"), f"there is no file `{model}`")
        raise ConfigError(
            fault, where=str(folder), allowed=f"Files: {', '.join(entry['name'] for entry in entries)}", do="Name one"
        )
    results = {}
    for entry in chosen:
        runtime = runtime_of_file(manifest, entry)
        if runtime is not None:
            loaded = runtime.load(folder / entry["name"])
            done = run_scenario(scenario, loaded.invoke, int(entry["batch"]), seconds=seconds, rate=rate)
            results[str(entry["name"])] = done.as_dict()
    if not results:
        raise RunError(
            "no runtime of this machine runs a file of the bundle",
            where=str(folder),
            allowed=f"Files: {', '.join(entry['name'] for entry in chosen)}",
            do="Install a runtime, as the bundle's requirements-*.txt say",
        )
    return results
