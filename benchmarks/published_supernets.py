"""Published supernets, loaded: logits of sub-networks beside those of their projects' own code, with random weights.

    pip download --no-deps ofa && unzip ofa-*.whl -d ofa_code
    git clone https://github.com/facebookresearch/AttentiveNAS && git clone https://github.com/microsoft/Cream
    python benchmarks/published_supernets.py --ofa ofa_code --attentive-nas AttentiveNAS --autoformer Cream/AutoFormer \
        --output docs/results/published_supernets.json

Each supernet is saved as its project saves it and loaded as an experiment loads it. Sub-networks are the largest, the
smallest and random ones of the space of hwnas, written in the project's notation, at their own resolutions. Statistics
of normalisations are those of the same images on both sides. Projects whose folder is left out are not compared.
`--golden FOLDER` writes small cases for the tests instead, `--only NAME` compares a single supernet.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from _published_projects import Project, attentive_nas, autoformer, once_for_all, with_batch_statistics
from _results import publish, stamped
from torch import Tensor, nn

from hwnas.io.resources import shipped_folder
from hwnas.network import Network, lower
from hwnas.notation import write_architecture
from hwnas.registry import member
from hwnas.space import Architecture, Space, read_space
from hwnas.supernet import Supernet, recalibrate
from hwnas.supernet.published import PUBLISHED_SUPERNETS, PublishedSupernet
from hwnas.supernet.published.load import load_published

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers.published_supernets import CLASSES, RESOLUTIONS, images, small_space, state_of

RANDOM_NETWORKS, IN_DOUBLE, BATCH, GOLDEN_NETWORKS = 20, 4, 2, 3
IMAGENET_CLASSES = 1000
Maker = Callable[[int, bool], Project]


def makers(args: argparse.Namespace) -> dict[str, Maker]:
    """Return how each supernet is made, of a number of classes, for usual images or for those of the tests."""
    made: dict[str, Maker] = {}
    if args.ofa:
        for space in ("ofa_mobilenet_v3_w1.0", "ofa_mobilenet_v3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50d"):
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


def loaded(project: Project, space: Space) -> Supernet:
    """Return the supernet of hwnas, filled from a file as the project writes it."""
    form: PublishedSupernet = member(PUBLISHED_SUPERNETS, project.format, what="format", where="benchmark")
    supernet = Supernet(space, kernel_transform=form.kernel_transform, joint_bias=form.joint_bias)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(project.file_content(), path)
        load_published(supernet, form, path)
    return supernet


def logits(module: nn.Module, network: Network, batch: Tensor, *, double: bool) -> Tensor:
    """Return the logits of a module after its statistics were recomputed on the batch that it is asked about."""
    if double:
        module, batch = copy.deepcopy(module).double(), batch.double()
        with_batch_statistics(module, batch)
    else:
        recalibrate(module, network, [batch])
    with torch.no_grad():
        return module(batch)  # type: ignore[no-any-return]


def theirs(module: nn.Module, batch: Tensor, *, double: bool) -> Tensor:
    """Return the same of a module of the project."""
    if double:
        batch = batch.double()
        if any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
            module = copy.deepcopy(module).double()
    with_batch_statistics(module, batch)
    with torch.no_grad():
        return module(batch)  # type: ignore[no-any-return]


def compared(
    project: Project, space: Space, supernet: Supernet, architecture: Architecture, seed: int
) -> dict[str, float]:
    """Compare one sub-network; the first few in double precision as well, which tells rounding from a difference."""
    network = lower(space, architecture)
    batch = torch.randn(BATCH, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    sub, own = project.active(write_architecture(space, architecture)), supernet.extract(network)
    single, ours = theirs(sub, batch, double=False), logits(own, network, batch, double=False)
    row = {"largest_logit": float(single.abs().max()), "difference": float((ours - single).abs().max())}
    if seed < IN_DOUBLE:
        double = theirs(sub, batch, double=True)
        row["difference_double"] = float((logits(own, network, batch, double=True) - double).abs().max())
        row["their_rounding"] = float((single - double).abs().max())
    if project.own_statistics is not None:
        for module in (sub, own):  # by the project's own function, which takes variances of n, not of n - 1
            project.own_statistics(module, batch)
        with torch.no_grad():
            row["difference_own_statistics"] = float((sub.eval()(batch) - own.eval()(batch)).abs().max())
    return row


def study(name: str, maker: Maker) -> dict[str, Any]:
    """Compare sub-networks of a supernet; every number is the largest over them."""
    begun = time.perf_counter()
    space = read_space(shipped_folder("search_spaces") / f"{name}.yaml")
    project = filled(maker(IMAGENET_CLASSES, False))
    supernet, rng = loaded(project, space), random.Random(0)
    drawn = [space.largest(), space.smallest(), *(space.random(rng) for _ in range(RANDOM_NETWORKS))]
    rows = [compared(project, space, supernet, one, seed) for seed, one in enumerate(drawn)]
    return {
        "supernet": name,
        "format": project.format,
        "networks": len(rows),
        "images": BATCH,
        "networks_in_double": min(IN_DOUBLE, len(rows)),
        **{key: max(row[key] for row in rows if key in row) for key in rows[0]},
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
        found = theirs(project.active(raw), images(network.input_shape[1], seed), double=True)
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
