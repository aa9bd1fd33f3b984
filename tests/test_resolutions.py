"""Images of another size than the networks take: resized, which is said; oblong ones are refused until data can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas import pipeline
from hwnas.commands.show_space import view
from hwnas.errors import ConfigError
from hwnas.report.spaces.table import headline
from hwnas.space import Knob, read_space
from hwnas.workspace.resolutions import input_sides, resizing
from tests.helpers.tiny import SPACES

DIGITS = read_space(SPACES["digits"])
FUNCTION = """\
from hwnas.ops.conv import Conv
from hwnas.ops.classifier import Classifier

def net(choose):
    width = choose("width", [8, 16])
    return (1, 8, {side}), {{"stem": Conv(1, width), "head": Classifier(width, 10)}}
"""
EXPERIMENT = """\
name: oblong
space: net.py:net
data: digits
setups: {cpu: {runtime: onnxruntime}}
tiers: {edge: {setup: cpu}}
train: {epochs: 1}
"""


def function(folder: Path, side: int) -> str:
    (folder / "net.py").write_text(FUNCTION.format(side=side))
    return f"{folder / 'net.py'}:net"


@pytest.mark.parametrize(
    ("sides", "notice"),
    [
        ((8,), None),
        ((8, 12), None),
        ((12,), "images of 8x8 are resized to 12x12"),
        ((12, 16), "images of 8x8 are resized to 12x12 up to 16x16, as each network takes them"),
    ],
)
def test_resizing_is_said_where_no_network_takes_the_images_as_they_are(
    sides: tuple[int, ...], notice: str | None
) -> None:
    assert resizing(replace(DIGITS, input={**DIGITS.input, "resolution": Knob(sides)}), (8, 8)) == notice


def test_oblong_networks_are_shown_with_both_sides(tmp_path: Path) -> None:
    for side, told in ((12, "resolution  8x12"), (8, "resolution  8")):
        space, _ = pipeline.open_space(function(tmp_path, side))
        assert told in headline(view(space))
    assert input_sides(space) == ((8, 8),)


def test_oblong_networks_are_not_trained_on_square_images(tmp_path: Path) -> None:
    function(tmp_path, 12)
    (tmp_path / "oblong.yaml").write_text(EXPERIMENT)
    with pytest.raises(ConfigError, match="the networks take images of 8x12, the data has images of 8x8") as caught:
        pipeline.train(tmp_path / "oblong.yaml", runs=tmp_path / "runs")
    assert caught.value.do == "Crop the data by `resolution: [8, 12]`, or change `input` of the space"
