"""Published supernets, loaded: logits of sub-networks beside those of their projects' own code, with random weights.

    pip download --no-deps ofa && unzip ofa-*.whl -d ofa_code
    git clone https://github.com/facebookresearch/AttentiveNAS && git clone https://github.com/microsoft/Cream
    python benchmarks/published_supernets.py --ofa ofa_code --attentive-nas AttentiveNAS --autoformer Cream/AutoFormer \
        --output docs/results/published_supernets.json

Each supernet is saved as its project saves it and loaded as an experiment loads it. Sub-networks are the largest, the
smallest and random ones of the space of hwnas, written in the project's notation. Statistics of normalisations are
those of the same images on both sides, by the project's own function: once-for-all's takes variances of n, all others
are PyTorch's. Both sides compute in double precision as well, which tells rounding from a difference.

Projects whose folder is left out are not compared. `--golden FOLDER` writes small cases for the tests instead, `--only
NAME` compares a single supernet.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _published_projects import Project, attentive_nas, autoformer, once_for_all, with_batch_statistics
from _results import publish, stamped
from torch import Tensor, nn

from hwnas.io.resources import shipped_folder
from hwnas.network import lower
from hwnas.notation import write_architecture
from hwnas.registry import member
from hwnas.space import Architecture, Space, read_space
from hwnas.supernet import Supernet, recalibrate
from hwnas.supernet.published import PUBLISHED_SUPERNETS, PublishedSupernet
from hwnas.supernet.published.load import load_published

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers.published_supernets import CLASSES, RESOLUTIONS, images, small_space, state_of

RANDOM_NETWORKS, BATCH, GOLDEN_NETWORKS = 18, 2, 3
IMAGENET_CLASSES = 1000
OFA_SPACES = ("ofa_mobilenet_v3_w1.0", "ofa_mobilenet_v3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50d")
GOAL = 1e-5
Maker = Callable[[int, bool], Project]


def makers(args: argparse.Namespace) -> dict[str, Maker]:
    """Return how each supernet is made, of a number of classes, for usual images or for those of the tests."""
    made: dict[str, Maker] = {}
    if args.ofa:
        for space in OFA_SPACES:
            made[space] = lambda classes, small, space=space: once_for_all(args.ofa, space, classes)  # type: ignore[misc]
    if args.attentive_nas:
        made["attentive_nas"] = lambda classes, small: attentive_nas(args.attentive_nas, classes)
    if args.autoformer:
        for size in ("tiny", "small", "base"):
            name = f"autoformer_{size}"
            made[name] = lambda classes, small, size=size, name=name: autoformer(  # type: ignore[misc]
                args.autoformer, size, classes, RESOLUTIONS.get(name, 224) if small else 224
            )
    return {name: maker for name, maker in made.items() if args.only in (None, name)}


def filled(project: Project) -> Project:
    """Give a project's supernet the numbers of the tests, which every tensor's name fixes."""
    state = project.net.state_dict()
    project.net.load_state_dict(state_of({name: list(value.shape) for name, value in state.items()}), strict=True)
    return project


@contextlib.contextmanager
def in_double(net: nn.Module | None = None) -> Iterator[None]:
    """Make new tensors in double precision; a project's supernet is in it meanwhile."""
    torch.set_default_dtype(torch.float64)
    supernets = [] if net is None else [net.double()]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        for supernet in supernets:
            supernet.float()


def loaded(project: Project, space: Space) -> Supernet:
    """Return the supernet of hwnas, filled from a file as the project writes it."""
    form: PublishedSupernet = member(PUBLISHED_SUPERNETS, project.format, what="format", where="benchmark")
    supernet = Supernet(space, kernel_transform=form.kernel_transform, joint_bias=form.joint_bias)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(project.file_content(), path)
        load_published(supernet, form, path)
    return supernet


def logits(module: nn.Module, batch: Tensor, calibrate: Callable[[nn.Module, Tensor], object]) -> Tensor:
    """Return the logits of a module after its statistics were computed on the batch that it is asked about."""
    calibrate(module, batch)
    with torch.no_grad():
        return module.eval()(batch)  # type: ignore[no-any-return]


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def compared(
    project: Project, space: Space, supernet: Supernet, exact: Supernet, architecture: Architecture, seed: int
) -> dict[str, float]:
    """Compare one sub-network, in single and in double precision."""
    network = lower(space, architecture)
    resolution = project.resolution or network.input_shape[1]
    network = replace(network, input_shape=(3, resolution, resolution))
    batch = torch.randn(BATCH, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    calibrate = project.own_statistics or with_batch_statistics
    raw = write_architecture(space, architecture)
    sub, own = project.active(raw), supernet.extract(network)
    single = logits(sub, batch, calibrate)
    with in_double(project.net):
        double = logits(project.active(raw), batch.double(), calibrate)
        own_double = logits(exact.extract(network), batch.double(), calibrate)
    own_single = logits(own, batch, calibrate)
    recalibrated = logits(own, batch, lambda module, inputs: recalibrate(module, network, [inputs]))
    row = {
        "largest_logit": float(double.abs().max()),
        "difference": apart(own_single, single),
        "difference_double": apart(own_double, double),
        "their_rounding": apart(single, double),
        "own_rounding": apart(own_single, own_double),
        "difference_recalibrated": apart(recalibrated, logits(sub, batch, with_batch_statistics)),
    }
    return {**row, "difference_of_scale": row["difference"] / row["largest_logit"]}


def study(name: str, maker: Maker) -> dict[str, Any]:
    """Compare sub-networks of a supernet; every number is the largest over them, `equal` counts those within 1e-5."""
    begun = time.perf_counter()
    space = read_space(shipped_folder("search_spaces") / f"{name}.yaml")
    project, rng = filled(maker(IMAGENET_CLASSES, False)), random.Random(0)
    supernet = loaded(project, space)
    with in_double():
        exact = loaded(project, space)
    drawn = [space.largest(), space.smallest(), *(space.random(rng) for _ in range(RANDOM_NETWORKS))]
    rows = []
    for seed, one in enumerate(drawn):
        rows.append(compared(project, space, supernet, exact, one, seed))
        print(f"{name} {seed}: {rows[-1]}", file=sys.stderr, flush=True)
    return {
        "supernet": name,
        "format": project.format,
        "networks": len(rows),
        "images": BATCH,
        "resolution": project.resolution or "of the network",
        **{key: max(row[key] for row in rows) for key in rows[0]},
        "equal": sum(row["difference"] <= GOAL for row in rows),
        "equal_of_scale": sum(row["difference_of_scale"] <= GOAL for row in rows),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def write_golden(name: str, maker: Maker, folder: Path) -> None:
    """Write the layout of a small supernet, and logits of a few of its sub-networks by the project's code."""
    space, project, rng = small_space(name), filled(maker(CLASSES, True)), random.Random(1)
    layout = {key: list(value.shape) for key, value in project.file_content()[project.key].items()}
    project.net.load_state_dict(
        {key.removeprefix(project.prefix): value for key, value in state_of(layout).items()}, strict=True
    )
    cases = []
    for seed, one in enumerate(
        (space.largest(), space.smallest(), *(space.random(rng) for _ in range(GOLDEN_NETWORKS)))
    ):
        raw, network = write_architecture(space, one), lower(space, one)
        batch = images(network.input_shape[1], seed).double()
        with in_double(project.net):
            found = logits(project.active(raw), batch, with_batch_statistics)
        cases.append({"architecture": raw, "logits": [[round(value, 7) for value in row] for row in found.tolist()]})
    content: Mapping[str, Any] = {"key": project.key, "layout": layout, "cases": cases}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))
    print(f"wrote {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for project in ("--ofa", "--attentive-nas", "--autoformer"):
        parser.add_argument(project, type=Path)
    parser.add_argument("--only")
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    tasks = makers(args)
    if args.golden:
        for name, maker in tasks.items():
            write_golden(name, maker, args.golden)
        return
    rows: list[dict[str, Any]] = []
    for name, maker in tasks.items():
        rows.append(study(name, maker))
        publish(stamped({"supernets": rows}), args.output)  # after each: the large ones take minutes


if __name__ == "__main__":
    main()
