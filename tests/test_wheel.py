"""A wheel holds the shipped files and finds them, wherever it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

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
