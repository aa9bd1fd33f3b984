"""Inherited accuracies of all networks of a run, kept in a file: brute force for searches on digits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.accuracy.inherited import inherited
from hwnas.io.atomic import write_file
from hwnas.population import Codes
from hwnas.problem.accuracy import accuracy_context
from hwnas.search.surrogate import candidates_of
from hwnas.supernet import estimate, extract_recalibrated
from hwnas.workspace.progress import default_reporter
from hwnas.workspace.training.supernets import supernet_of
from hwnas.workspace.workspace import Workspace

BATCHES = 1
"""Batches of training images that the normalisation's statistics are recomputed from; a run takes eight by default."""
KEPT_EACH_S = 60.0


def all_networks(run: Workspace) -> Codes:
    """Return the codes of all networks of a run's space."""
    everything = candidates_of(run.codebook).everything
    assert everything is not None
    codes: Codes = everything.codes
    return codes


def all_accuracies(
    run: Workspace, codes: Codes, kept: Path, wanted: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the accuracies of networks on validation images, of all or of some wanted ones; those that the file holds
    are not computed again."""
    torch.set_num_threads(1)
    known = np.load(kept) if kept.exists() else np.full(len(codes), np.nan)
    trained = supernet_of(run, default_reporter(None))
    assert trained is not None
    scored, written = inherited(accuracy_context(run, trained)), time.monotonic()
    missing = np.isnan(known) if wanted is None else np.isnan(known) & wanted
    for index in np.flatnonzero(missing):
        (architecture,) = run.codebook.decode(codes[index : index + 1])
        network = run.network(architecture)
        module = extract_recalibrated(trained.supernet, network, scored.calibration[:BATCHES])
        known[index] = estimate(module, network, scored.split).value
        if time.monotonic() - written > KEPT_EACH_S:
            _keep(known, kept)
            written = time.monotonic()
    _keep(known, kept)
    return known


def _keep(values: NDArray[np.float64], path: Path) -> None:
    import io

    content = io.BytesIO()
    np.save(content, values)
    write_file(path, content.getvalue())
