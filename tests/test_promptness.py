"""What is wrong with a command's words is told before PyTorch is imported, which takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = """
show nosuch
show deep.yaml
show reversed.yaml
cost nosuch
cost digits --architecture lagest
cost digits --table nosuch
run nosuch
run deep.yaml
run misspelt.yaml
train misspelt.yaml
feasible nosuch
search misspelt.yaml
solve nosuch
halving nosuch
fidelity nosuch
export nosuch
report nosuch
dashboard quickstart --tier nosuch
doctor nosuch
score nosuch --proxies params
score digits --proxies synflw
score digits --architectures nosuch.json
check nosuch
bench nosuch --runtime onnxruntime
bench digits
bench digits --runtime onxruntime
bench digits --runtime onnxruntime --precision fp33
bench digits --runtime onnxruntime --threads 1000
bench digits --runtime onxruntime --host pi@nosuch
bench pack digits -o kit.pyz --runtime onxruntime
bench lint nosuch
bench merge nosuch -o a.jsonl
bench import nosuch --format ofa -o a.jsonl
test-operator nosuch
test-operator nosuch.py
test-operator conv --knobs {
test-operator conv --input 8by8
solve bare.yaml --setup nosuch
solve bare.yaml --setup nosuch.jsonl
solve bare.yaml --setup deep.yaml
solve bare.yaml --limit foo
solve bare.yaml --limit nosuch=3
solve bare.yaml --limit latency_ms=x
solve bare.yaml --front halving
halving bare.yaml
halving unknown-rung.yaml
export bare.yaml
export bare.yaml --front halving
report bare.yaml
fidelity bare.yaml
doctor bare.yaml
dashboard bare.yaml
show . --pick best
show . --front halving
show . --pick nosuch
show digits --picture x.foo
show digits --front halving
cost digits --table deep.yaml
score digits --data nosuch --proxies params
score digits --data nosuch.py:load --proxies params
check deep.yaml
check xeon_tflite_fp32_1t --space nosuch
bench digits --runtime onnxruntime --cores 999
bench digits --runtime onnxruntime --table deep.yaml
bench lint deep.yaml
bench import deep.yaml --format nosuch -o a.jsonl
run no-data.yaml
train no-data.yaml
run unknown-source.yaml
search unknown-data.yaml
train unknown-data.yaml
run unknown-augment.yaml
run no-source-file.yaml
run no-data-file.yaml
run no-strategy-file.yaml
run no-teacher-file.yaml
run no-space.yaml
run no-weights-file.yaml
train no-weights-file.yaml
run bare.yaml --set search.trails=5
train bare.yaml --set search.trials=x
export bare.yaml --pick nosuch
""".strip().splitlines()

BARE = """name: bare
space: digits
data: digits
setups: {cpu: {runtime: onnxruntime}}
tiers: {cloud: {setup: cpu}}
"""
CHANGES = {
    "no-data": ("data: digits", ""),
    "unknown-source": ("data: digits", "data: digits\naccuracy: {source: nosuch}"),
    "unknown-rung": ("data: digits", "data: digits\nsearch: {successive_halving: [{score: nosuch, networks: 2}]}"),
    "unknown-data": ("data: digits", "data: digitz"),
    "unknown-augment": ("data: digits", "data: digits\ntrain: {augment: nosuch}"),
    "no-source-file": ("data: digits", "data: digits\naccuracy: {source: 'nosuch.py:f'}"),
    "no-data-file": ("data: digits", "data: nosuch.py:f"),
    "no-strategy-file": ("data: digits", "data: digits\ntrain: {strategy: 'nosuch.py:f'}"),
    "no-teacher-file": ("data: digits", "data: digits\ntrain: {teacher: 'nosuch.py:f'}"),
    "no-weights-file": ("data: digits", "data: digits\ntrain: {weights: nosuch.safetensors}"),
    "no-space": ("space: digits", "space: nosuch.yaml"),
}
SCRIPT = """
import sys
from hwnas.cli import main
for command in sys.argv[1:]:
    sys.argv = ["hwnas", *command.split()]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    print(code in (1, 2), "torch" in sys.modules, command)
    if "torch" in sys.modules:
        break
"""


def test_bad_words_are_told_before_pytorch_is_imported(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    (tmp_path / "misspelt.yaml").write_text("nam: x\nspace: digits\n")
    reverse = (repository / "search_spaces" / "digits.yaml").read_text().replace("[8, 16]", "[16, 8]")
    (tmp_path / "reversed.yaml").write_text(reverse)
    (tmp_path / "bare.yaml").write_text(BARE)
    (tmp_path / "experiment.yaml").write_text(BARE)
    for name, (old, new) in CHANGES.items():
        (tmp_path / f"{name}.yaml").write_text(BARE.replace(old, new))
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", SCRIPT, *COMMANDS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"True False {command}" for command in COMMANDS]
    assert "Traceback" not in done.stderr
