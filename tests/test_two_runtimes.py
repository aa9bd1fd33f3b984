"""One bundle with the runtimes of two Pythons: what differs is told side by side."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, RunError
from hwnas.export.companions.program import program
from hwnas.export.manifest import MANIFEST, read_manifest
from hwnas.verify import interpreters
from hwnas.verify.findings import Verification
from hwnas.verify.gate import GateLimits
from tests.helpers.command_line import Call
from tests.helpers.command_line import hwnas as hwnas
from tests.helpers.hand_made_bundles import FILE, raw_inputs, reseal, targets, write_bundle, write_data

OTHER = """\
#!{python}
import json, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
for line in done.stdout.splitlines():
    row = json.loads(line)
    row.update(runtime="onnxruntime 0.1") if "runtime" in row else None
    row.update(max_difference=9.0, ok=False) if "ok" in row else None
    row.update(median_ms=3 * row["median_ms"]) if "median_ms" in row else None
    row.update(value=row["value"] - 0.25) if "value" in row else None
    print(json.dumps(row))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bundle(tmp_path_factory.mktemp("two") / "edge")
    (folder / "predict.py").write_text(program())
    model = json.loads((folder / MANIFEST).read_text())["models"][0]
    reseal(folder, model)
    return folder


def test_one_runtime_twice_is_no_difference(bundle: Path, tmp_path: Path) -> None:
    inputs = raw_inputs()
    data = write_data(tmp_path / "data.npz", inputs, targets(inputs))
    (result,) = pipeline.verify(bundle, data=data, against_python=sys.executable, latency=False)
    assert (result.ok, [one.kind for one in result.findings if one.severity == "error"]) == (True, [])
    sides = result.measured["runtimes"][FILE]
    assert sides["here"] == sides["there"]
    assert sides["there"]["quality"]["value"] == pytest.approx(0.75)


def test_a_runtime_that_is_worse_is_found_in_every_way(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other Python is this one, whose rows a script makes worse."""
    python, inputs, result = tmp_path / "python", raw_inputs(), Verification("edge")
    python.write_text(OTHER.format(python=sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(interpreters, "TURN_SECONDS", "0.01")
    data = write_data(tmp_path / "data.npz", inputs, targets(inputs))
    check = interpreters.InterpreterCheck(str(python), GateLimits(), turns=3)
    check.check(bundle, data, True, result)
    assert {one.kind for one in result.findings} == {"other_runtime", "selftest_differs", "quality_lower", "slower"}
    assert result.measured["runtimes"][FILE]["latency"]["ratio"] > 1.5


def test_what_is_no_python_or_lacks_a_runtime_is_told(bundle: Path, hwnas: Call) -> None:
    with pytest.raises(ConfigError, match="cannot be run"):
        pipeline.verify(bundle, against_python="/nothing/python", latency=False)
    with pytest.raises(RunError, match="the bundle's program cannot run there"):
        pipeline.verify(bundle, against_python="/bin/false", latency=False)
    done = hwnas("verify", str(bundle), "--against-python", sys.executable, "--host", "pi@board")
    assert (done.code, "exclude each other" in done.err) == (2, True)


def test_another_version_than_the_manifests_is_a_note(bundle: Path) -> None:
    manifest = read_manifest(bundle / MANIFEST)
    (result,) = pipeline.verify(bundle, latency=False)
    made = manifest.files[0].runtime.partition(",")[0].split()[1]
    notes = [one.message for one in result.findings if one.kind == "other_runtime"]
    assert len(notes) == (made != __import__("onnxruntime").__version__)
