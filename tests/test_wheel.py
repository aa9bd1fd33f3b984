"""A wheel holds the shipped files and finds them, wherever it is installed."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

FOLDERS = ("search_spaces", "latency_tables", "experiments", "schemas")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without network from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("hwnas-*.whl"))


def tracked(repository: Path, *folders: str) -> set[str]:
    """Files of the checkout, build products left out."""
    found = (path for folder in folders for path in (repository / folder).rglob("*"))
    return {
        path.relative_to(repository).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_the_shipped_folders_alone(repository: Path, wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tracked(repository, "hwnas") | {f"hwnas/_shipped/{name}" for name in tracked(repository, *FOLDERS)}
    assert "hwnas/py.typed" in names


@pytest.mark.slow
def test_metadata_names_command_extras_and_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    assert "hwnas = hwnas.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    metadata = archive.read(f"{info}/METADATA").decode()
    for line in ("Version: 0.1.0", "License-Expression: Apache-2.0", "Provides-Extra: convert", "Provides-Extra: ray"):
        assert line in metadata.splitlines()
    assert f"{info}/licenses/LICENSE" in archive.namelist()


EXTRAS = (
    *("ai_edge_litert", "ai_edge_quantizer", "litert_torch", "tflite_runtime", "ray", "psycopg", "pymysql", "grpc"),
    *("optuna_dashboard", "mlflow", "tensorboardX", "pandas", "pyarrow", "pymoo", "IPython"),
)
"""What the extras bring: each is as good as not installed where a wheel is tried without extras."""
WITHOUT_EXTRAS = f"""\
import sys
sys.modules.update(dict.fromkeys({EXTRAS}))
from hwnas.cli import main
main()
"""


@pytest.mark.slow
def test_an_installed_wheel_finds_what_it_shipped(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)
    work.mkdir()
    code = (
        "import hwnas, hwnas.io.resources as shipped\n"
        "from pathlib import Path\n"
        "print(hwnas.__file__)\n"
        "print(shipped.find_file('digits', 'search_spaces'))\n"
        "print(shipped.find_file('experiments/quickstart.yaml', 'experiments'))\n"
        "print(*shipped.copy_starter(Path('mine')))\n"
        "print(hwnas.read_space(Path('mine/digits.yaml')).count)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    face, space, experiment, copies, count = done.stdout.splitlines()
    assert Path(face) == site / "hwnas" / "__init__.py"
    assert Path(space) == site / "hwnas" / "_shipped" / "search_spaces" / "digits.yaml"
    assert Path(experiment) == site / "hwnas" / "_shipped" / "experiments" / "quickstart.yaml"
    assert copies.split() == ["mine/quickstart.yaml", "mine/digits.yaml", "mine/README.md"]
    assert int(count) > 1000


@pytest.mark.slow
def test_without_extras_a_wheel_shows_costs_and_searches_published_tables(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    write_published(tmp_path)

    def without_extras(*arguments: str) -> str:
        command = [sys.executable, "-c", WITHOUT_EXTRAS, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "26,880" in without_extras("show", "digits")
    assert '"macs"' in without_extras("cost", "digits", "--table", "xeon_onnxruntime_fp32_1t", "--json")
    without_extras("run", "experiments/nb201.yaml", "--set", "search.trials=6", "--set", "search.sampler=random")
    assert (tmp_path / "runs" / "nb201" / "fronts" / "phone.json").is_file()
    assert (tmp_path / "runs" / "nb201" / "report.html").is_file()


def write_published(folder: Path) -> None:
    """Write made-up numbers of all cells of NAS-Bench-201 under the names that the shipped experiment asks for."""
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    cells = [f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|" for a, b, c, d, e, f in itertools.product(names, repeat=6)]
    sizes = np.array([cell.count("3x3") + 0.5 * cell.count("1x1") for cell in cells])
    np.savez(folder / "nasbench201_cifar10.npz", arch=cells, test_cifar10=50 + 8 * sizes)
    rows = (f"{cell},{1 + 2 * size},{1 + size}" for cell, size in zip(cells, sizes, strict=True))
    content = "\n".join(["arch_str,raspi4,pixel2", *rows]) + "\n"
    (folder / "nasbench201_help_ms.csv.gz").write_bytes(gzip.compress(content.encode()))
