"""The contract finds what breaks it, check by check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwnas import pipeline
from hwnas.errors import ConfigError, HwnasError, MissingExtra
from hwnas.ops import Operator
from hwnas.ops.conv import Conv
from hwnas.ops.conv1d import Conv1d
from hwnas.ops.mbconv import MBConv
from hwnas.ops.mlp import MLP
from hwnas.ops.plugins import classes_of_file
from hwnas.testing import CHECKS, Case, cases_of, certify, checks
from hwnas.testing.certify import verdict_of
from hwnas.user_code import read_source

HEAD = """\
import random
from dataclasses import dataclass

import torch
from torch import nn

from hwnas import Operator


class Bent(nn.Module):
    def __init__(self, bend, *layers):
        super().__init__()
        self.bend = bend
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.bend(self.layers(x))


class Cached(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        self.flipped = [conv.weight.detach().flip(0)]

    def forward(self, x):
        return self.conv(x) + nn.functional.conv2d(x, self.flipped[0])


SHARED = nn.ReLU()


@dataclass(frozen=True)
class Mine(Operator):
    kernel: int = 3

    def conv(self):
        return nn.Conv2d(self.in_channels, self.out_channels, self.kernel, padding=self.kernel // 2)

"""


def method(body: str) -> str:
    return f"    def module(self):\n        {body}\n"


BROKEN: dict[str, tuple[str, str, str]] = {  # what the class ends with -> the check that fails, and what it says
    "shares a module": (method("return nn.Sequential(self.conv(), SHARED)"), "module()", "share a module"),
    "draws by another generator": (
        method("conv = self.conv(); nn.init.constant_(conv.bias, random.random()); return conv"),
        "module()", "`bias` is initialised in two ways",
    ),
    "counts layers by its width": (
        method("return nn.Sequential(self.conv(), *[nn.ReLU(), self.conv()][: 2 * (self.out_channels > 16)])"),
        "names and axes", "is a weight at one size and not at another",
    ),
    "grows an axis": (
        method("conv = self.conv()\n        if self.out_channels > 16:\n            conv.extra = nn.Parameter("
               "torch.ones(2, 2))\n        else:\n            conv.extra = nn.Parameter(torch.ones(2))\n"
               "        return conv"),
        "names and axes", "`extra` has 1 axes, and 2 in a larger operator",
    ),
    "counts layers by whether it keeps the width": (
        method("return nn.Sequential(*[nn.BatchNorm2d(self.in_channels)][: self.in_channels != self.out_channels], "
               "self.conv())"),
        "names and axes", "`0.weight` has 1 axes, and 4 where it keeps the width",
    ),
    "builds no module": (method("return 3"), "a slice", "no torch.nn.Module"),
    "shrinks as it grows": (
        method("return nn.Sequential(self.conv(), nn.Conv2d(self.out_channels, 480 // self.out_channels, 1))"),
        "names and axes", "no part of",
    ),
    "gives other channels": (
        method("return nn.Conv2d(self.in_channels, 5, 1)"), "it runs", "it gives 5 channels"
    ),
    "mixes a batch": (
        method("return Bent(lambda x: x - x.mean(0, keepdim=True), self.conv())"), "it runs", "the rest of its batch",
    ),
    "gives no numbers": (method("return Bent(lambda x: x / 0, self.conv())"), "it runs", "not finite"),
    "draws in eval mode": (
        method("return Bent(lambda x: nn.functional.dropout(x, 0.5, True), self.conv())"),
        "it runs", "two calls differ",
    ),
    "fails in training": (
        method("return nn.Sequential(self.conv(), nn.Flatten(), nn.BatchNorm1d(7))"), "it runs", "RuntimeError",
    ),
    "is another one on meta": (
        method("other = nn.Conv2d(self.out_channels, self.out_channels, 1)\n        return Bent(lambda x: x if "
               "x.is_meta else other.to(x.device)(x), self.conv())"),
        "derived costs", "MACs, derived were",
    ),
    "keeps a part of its weights": (
        method("return Cached(nn.Conv2d(self.in_channels, self.out_channels, 1))"),
        "a slice", "its slice and the extracted one differ in eval mode",
    ),
    "has an idle weight": (
        method("conv = self.conv(); conv.idle = nn.Linear(2, 2); return conv"), "every weight", "takes no part",
    ),
    "is another one in an ONNX file": (
        method("return Bent(lambda x: 2 * x if torch.onnx.is_in_onnx_export() else x, self.conv())"),
        "its ONNX file", "the file and PyTorch differ by",
    ),
    "cannot be exported": (
        method("return Bent(lambda x: torch.linalg.eigvals(x).real, self.conv())"), "its TFLite file", "conversion",
    ),
    "changes its knobs": (
        "    def __post_init__(self):\n        object.__setattr__(self, 'kernel', self.kernel + 2)\n\n"
        + method("return self.conv()"), "its row", "its row makes mine",
    ),
    "raises": (method("return self.convolution()"), "it runs", "AttributeError"),
}  # fmt: skip


def kind_of(folder: Path, end: str, head: str = HEAD) -> Any:
    path = folder / "mine.py"
    path.write_text(head + end)
    [kind] = classes_of_file(read_source(path))
    return kind


@pytest.mark.parametrize(("kind", "sizes"), [(Conv, (8, 8)), (Conv1d, (8,)), (MLP, ())])
def test_an_operator_is_tried_at_axes_that_it_takes(kind: type[Operator], sizes: tuple[int, ...]) -> None:
    assert {case.sizes for case in cases_of(kind)} == {sizes}


@pytest.mark.parametrize(("end", "check", "why"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_the_contract_is_found(end: str, check: str, why: str, tmp_path: Path) -> None:
    kind = kind_of(tmp_path, end)
    [name] = [name for name in CHECKS if check in name]
    verdict = verdict_of(name, cases_of(kind))
    assert verdict.outcome == "failed"
    assert why in verdict.why
    assert "mine {" in verdict.why


def test_what_cannot_be_made_elsewhere_is_found() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Local(MBConv):  # type: ignore[misc] - any operator would do
        """Defined in a function, where no other process finds it."""

    verdict = verdict_of("other processes can make it", cases_of(Local, [{"kernel": 3, "expand": 2}]))
    assert verdict.outcome == "failed"
    assert "Can't pickle local object" in verdict.why or "local object" in verdict.why


def test_a_class_that_is_no_operator_fails_and_nothing_else_is_tried(tmp_path: Path) -> None:
    kind = kind_of(tmp_path, "    module = 3\n")
    found = certify(kind, [])
    assert not found.passed
    assert [verdict.outcome for verdict in found.verdicts] == ["failed", *["skipped"] * (len(CHECKS) - 1)]


def test_a_check_without_its_package_is_skipped_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise MissingExtra("it is not there", where="here", allowed="It comes with an extra", do="Run: pip install it")

    monkeypatch.setattr(checks, "open_runtime", missing)
    verdict = verdict_of("its TFLite file gives what PyTorch gives", cases_of(Conv))
    assert (verdict.outcome, verdict.why) == ("skipped", "it is not there; Run: pip install it")


def test_nothing_tried_is_not_passed() -> None:
    assert {verdict_of(check, []).outcome for check in CHECKS} == {"skipped"}


# --- what is tried ---


def test_without_knobs_the_defaults_are_tried_at_unequal_and_equal_widths() -> None:
    found = [[(op.in_channels, op.out_channels) for op in case.operators] for case in cases_of(Conv)]
    assert found == [[(16, 24), (8, 16)], [(16, 16), (8, 8)]]


def test_given_knobs_come_before_the_examples_of_the_class(tmp_path: Path) -> None:
    kind = kind_of(
        tmp_path,
        "    examples = ({'kernel': 5}, [{'in_channels': 4, 'out_channels': 4, 'kernel': 7}])\n\n" + method("pass"),
    )
    assert [case.operators[0].knobs["kernel"] for case in cases_of(kind)] == [5, 5, 7]
    assert [case.operators[0].knobs["kernel"] for case in cases_of(kind, [{"kernel": 1}])] == [1, 1]


def test_one_operator_with_channels_is_a_case_of_its_own() -> None:
    [case] = cases_of(Conv, [{"in_channels": 3, "out_channels": 8}], (4, 6))
    assert case == Case((Conv(3, 8),), (4, 6))


def test_a_knob_without_a_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"`MBConv` has no default for `kernel`") as met:
        cases_of(MBConv)
    assert '--knobs \'{"kernel": VALUE, "expand": VALUE}\'' in met.value.do
    assert "mbconv.py:" in met.value.where


# --- the command ---


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such kind": ("mbcnv", {}, "unknown operator `mbcnv`"),
    "no such file": ("no.py:Mine", {}, "the file cannot be read"),
    "no such class": ("mine.py:Mein", {}, "the file has no operator `Mein`"),
    "no JSON": ("conv", {"knobs": ["kernel=3"]}, "`kernel=3` is no JSON"),
    "no object": ("conv", {"knobs": ["3"]}, "`3` is no object of knobs"),
    "an empty list": ("conv", {"knobs": ["[]"]}, r"`\[\]` is no object of knobs"),
    "no such knob": ("conv", {"knobs": ['{"kernal": 3}']}, "`conv` has no knob `kernal`"),
    "no size": ("conv", {"sizes": "8x"}, "`8x` is no size"),
    "size of nothing": ("conv", {"sizes": "0x8"}, "`0x8` is no size"),
}


@pytest.mark.parametrize(("reference", "given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_command_does_not_understand_is_refused(
    reference: str, given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind_of(tmp_path, method("return self.conv()"))
    with pytest.raises(HwnasError, match=message) as met:
        pipeline.certify(reference, **given)
    error = met.value
    assert all((error.met, error.where, error.allowed, error.do))


def certified(*arguments: str) -> tuple[int, dict[str, Any]]:
    from typer.testing import CliRunner

    from hwnas.cli import app

    done = CliRunner().invoke(app, ["test-operator", *arguments, "--json"])
    [found] = json.loads(done.stdout)
    return done.exit_code, found


def test_the_command_certifies_an_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kind_of(tmp_path, method("return self.conv()"))
    code, found = certified("mine.py:Mine", "--knobs", '{"kernel": 5}', "--input", "7x6")
    assert [verdict for verdict in found["verdicts"] if verdict["outcome"] != "passed"] == []
    assert [verdict["check"] for verdict in found["verdicts"]] == list(CHECKS)
    assert (code, found["passed"]) == (0, True)
    assert 'mine {"in_channels": 16, "out_channels": 24, "kernel": 5}' in found["tried"]


def test_the_exit_code_tells_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kind_of(tmp_path, "    module = 3\n")
    code, found = certified("mine.py")
    assert (code, found["passed"]) == (1, False)
