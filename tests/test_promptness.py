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
""".strip().splitlines()

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
    print(code, "torch" in sys.modules, command)
    if "torch" in sys.modules:
        break
"""


def test_bad_words_are_told_before_pytorch_is_imported(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    (tmp_path / "misspelt.yaml").write_text("nam: x\nspace: digits\n")
    reverse = (repository / "search_spaces" / "digits.yaml").read_text().replace("[8, 16]", "[16, 8]")
    (tmp_path / "reversed.yaml").write_text(reverse)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", SCRIPT, *COMMANDS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"2 False {command}" for command in COMMANDS]
    assert "Traceback" not in done.stderr
