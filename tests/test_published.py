"""Published latency tables: what they say is what a network costs, and nothing of them is lost without a word."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError, TableError
from hwnas.io.yaml import read_yaml
from hwnas.latency.model import LatencyModel
from hwnas.latency.published import Imported, detect, import_tables, read_entries
from hwnas.measure.origin import Origin
from hwnas.measure.table import row_key
from hwnas.measure.timing import Measurement
from hwnas.network import lower, make_operator
from hwnas.ops.classifier import Classifier
from hwnas.ops.conv import Conv
from hwnas.ops.mbconv import MBConv
from hwnas.space import Architecture, Space, parse_space

# --- once-for-all and ProxylessNAS: a table with made-up means, summed without hwnas as their authors do ---


@dataclass(frozen=True)
class Widths:
    """Channels of a family of networks, and which of its stages have what."""

    name: str
    stem: int
    stages: tuple[int, ...]
    features: int
    hidden: int = 0
    first: int = 0
    strides: tuple[int, ...] = (2, 2, 2, 1, 2)
    depth: int = 4


OFA = Widths("ofa", 16, (24, 40, 80, 112, 160), 960, 1280)
WIDE = Widths("ofa", 24, (32, 48, 96, 136, 192), 1152, 1536)
PROXYLESS = Widths("proxyless", 32, (24, 40, 80, 96, 192), 1280, first=16)
SE, HSWISH = (0, 1, 0, 1, 1), (0, 0, 1, 1, 1)
KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)


def half(size: int, stride: int = 2) -> int:
    return (size - 1) // stride + 1


def block(family: Widths, size: int, inner: int, out: int, kernel: int, expand: int, stride: int, stage: int) -> str:
    """A block's key: once-for-all writes the hidden width, ProxylessNAS the ratio."""
    after, skip = half(size, stride), int(stride == 1 and inner == out)
    ofa = family.name == "ofa"
    end = f"-se:{SE[stage] if stage >= 0 else 0}-hs:{HSWISH[stage] if stage >= 0 else 0}" if ofa else ""
    expand = expand * inner if ofa else expand
    return (
        f"expanded_conv-input:{size}x{size}x{inner}-output:{after}x{after}x{out}-expand:{expand}"
        f"-kernel:{kernel}-stride:{stride}-idskip:{skip}{end}"
    )


def ends(family: Widths, resolution: int, size: int) -> list[str]:
    """The keys before and after the blocks."""
    stem, width = half(resolution), family.stages[-1]
    stem_key = f"Conv-input:{resolution}x{resolution}x3-output:{stem}x{stem}x{family.stem}"
    first = block(family, stem, family.stem, family.first or family.stem, 3, 1, 1, -1)
    mix = f"Conv_1-input:{size}x{size}x{width}-output:{size}x{size}x{family.features}"
    if family.name == "proxyless":
        return [stem_key, first, mix, f"Logits-input:{size}x{size}x{family.features}-output:1000"]
    pool = f"AvgPool2D-input:{size}x{size}x{family.features}-output:1x1x{family.features}"
    hidden = f"Conv_2-input:1x1x{family.features}-output:1x1x{family.hidden}"
    return [stem_key, first, mix, pool, hidden, f"Logits-input:1x1x{family.hidden}-output:1000"]


def keys_of(family: Widths, resolution: int, d: Sequence[int], ks: Sequence[int], e: Sequence[int]) -> list[str]:
    """The keys of one network, four layers of `ks` and `e` a stage as once-for-all writes them."""
    found, size, inner = [], half(resolution), family.first or family.stem
    for stage, out in enumerate(family.stages):
        for layer in range(d[stage]):
            stride, place = family.strides[stage] if layer == 0 else 1, 4 * stage + layer
            found.append(block(family, size, inner, out, ks[place], e[place], stride, stage))
            size, inner = half(size, stride), out
    return [*found, *ends(family, resolution, size)]


def every_key(family: Widths, resolution: int) -> list[str]:
    found: dict[str, None] = {}
    for kernel in KERNELS:
        for expand in EXPANSIONS:
            found |= dict.fromkeys(keys_of(family, resolution, [4] * 5, [kernel] * 20, [expand] * 20))
    return list(found)


def made_up(family: Widths, resolution: int) -> dict[str, float]:
    rng, keys = random.Random(resolution), every_key(family, resolution)
    rng.shuffle(keys)
    return {key: rng.uniform(0.001, 3) for key in keys}


def written(path: Path, means: Mapping[str, float]) -> Path:
    path.write_text("".join(f"{key}:\n  count: 20\n  mean: {mean!r}\n" for key, mean in means.items()))
    return path


def space_of(family: Widths, repository: Path) -> Space:
    raw = read_yaml(repository / "search_spaces" / "ofa_mobilenet_v3_w1.0.yaml")
    stem, first, *stages, head = raw["stages"]
    stem["width"], first["width"] = family.stem, family.first or family.stem
    for stage, width in zip(stages, family.stages, strict=True):
        stage["width"] = width
    head |= {"features": family.features, "hidden": family.hidden}
    if family.name == "proxyless":
        for stage in raw["stages"]:
            stage["activation"] = "relu6"
            stage.pop("se", None)
    return parse_space(raw, where="space.yaml")


def drawn(rng: random.Random) -> tuple[list[int], list[int], list[int]]:
    return rng.choices(DEPTHS, k=5), rng.choices(KERNELS, k=20), rng.choices(EXPANSIONS, k=20)


def architecture(space: Space, resolution: int, d: Sequence[int], ks: Sequence[int], e: Sequence[int]) -> Architecture:
    picks: dict[str, Any] = {"resolution": resolution}
    for stage, depth in enumerate(d):
        picks[f"s{stage + 1}.depth"] = depth
        for layer in range(depth):
            picks[f"s{stage + 1}.{layer + 1}.kernel"] = ks[4 * stage + layer]
            picks[f"s{stage + 1}.{layer + 1}.expand"] = e[4 * stage + layer]
    return Architecture(space.name, tuple(sorted(picks.items())))


@pytest.mark.parametrize("resolution", [192, 132])
@pytest.mark.parametrize("family", [OFA, WIDE, PROXYLESS], ids=["ofa", "ofa wide", "proxyless"])
def test_a_network_costs_the_sum_of_its_published_means(
    family: Widths, resolution: int, repository: Path, tmp_path: Path
) -> None:
    means = made_up(family, resolution)
    file = written(tmp_path / "published.yaml", means)
    imported = import_tables([file], tmp_path / "T", format=family.name)
    assert imported.notices == ()
    model, space, rng = LatencyModel.of(imported.table), space_of(family, repository), random.Random(1)
    for d, ks, e in [drawn(rng) for _ in range(20)]:
        expected = math.fsum(means[key] for key in keys_of(family, resolution, d, ks, e))
        found = model.predict(lower(space, architecture(space, resolution, d, ks, e)))
        assert found.ms == pytest.approx(expected, abs=1e-9)
        assert found.low_ms == pytest.approx(found.high_ms)


def test_what_is_not_exactly_an_operator_is_counted_and_left_out(tmp_path: Path) -> None:
    means = made_up(OFA, 224)
    block = "expanded_conv-input:14x14x80-output:14x14x80-expand:240-kernel:3-stride:1-idskip:1-se:0-hs:1"
    odd = [
        block.replace("idskip:1", "idskip:0"),  # hwnas adds a shortcut wherever one fits
        block.replace("240", "243"),  # no multiple of 8
        block.replace("14x14x80-e", "13x13x80-e"),
        block.replace("-se:0", ""),
        block + "-dilation:2",
        "Conv_1-input:7x7x160-output:4x4x960",
        "AvgPool2D-input:7x7x7-output:1x1x7",
        "Softmax-input:1000-output:1000",
        "a note",
    ]
    file = written(tmp_path / "published.yaml", means | dict.fromkeys(odd, 1.0))
    plain = import_tables([written(tmp_path / "plain.yaml", means)], tmp_path / "P", format="ofa").table
    imported = import_tables([file], tmp_path / "T", format="ofa")
    assert block in means
    assert imported.table.rows == plain.rows
    (notice,) = imported.notices
    assert notice.startswith(f"{len(odd)} of {len(means) + len(odd)} values stand for no operator")
    assert "5 expanded_conv" in notice
    assert "1 Softmax" in notice


def test_every_value_is_a_row_or_is_told(tmp_path: Path) -> None:
    """Of each value, what it is part of stands with its key in a row's conditions."""
    means = made_up(WIDE, 160)
    imported = import_tables([written(tmp_path / "published.yaml", means)], tmp_path / "T", format="ofa")
    used: set[str] = set()
    for row in imported.table.rows.values():
        keys = row.conditions["published"]
        used |= set(keys)
        assert row.rounds_ns == (pytest.approx(1e6 * math.fsum(means[key] for key in keys)),)
        assert row.spread is None
        assert all(row.conditions["told"][key] == {"count": 20} for key in keys)
    assert used == set(means)


def test_where_it_comes_from_is_in_the_table(tmp_path: Path) -> None:
    file = written(tmp_path / "published.yaml", made_up(OFA, 160))
    table = import_tables([file], tmp_path / "T", format="ofa", device="Note 10", threads=4).table
    assert (table.setup.device, table.setup.threads, table.setup.runtime_version) == ("Note 10", 4, "not told")
    assert table.origin.kind == "published"
    assert "ICLR 2020" in table.origin.source
    named = import_tables([file], tmp_path / "U", format="ofa", source="me", licence="CC0").table
    assert named.origin == Origin("published", "me", "CC0", "ofa")


def test_tables_of_several_resolutions(tmp_path: Path) -> None:
    """Heads of 7x7 stand in two files with unlike numbers: the first ones stay, and it is told."""
    files = [written(tmp_path / f"{r}.yaml", made_up(OFA, r)) for r in (208, 224, 160)]
    together = import_tables(files, tmp_path / "T", format="ofa")
    alone = [import_tables([file], tmp_path / file.stem, format="ofa").table.rows for file in files]
    assert together.table.rows == {**alone[2], **alone[1], **alone[0]}
    assert any("have several values" in notice for notice in together.notices)


@pytest.mark.parametrize("bad", [0.0, -0.5, math.nan, math.inf, -math.inf])
def test_values_that_are_no_durations_are_refused_or_left_out(tmp_path: Path, bad: float) -> None:
    means = made_up(OFA, 160)
    key = next(key for key in means if key.startswith("expanded_conv"))
    text = written(tmp_path / "a.yaml", means | {key: 1.0}).read_text()
    number = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(repr(bad), repr(bad))
    file = tmp_path / "bad.yaml"
    file.write_text(text.replace(f"{key}:\n  count: 20\n  mean: 1.0", f"{key}:\n  count: 20\n  mean: {number}"))
    with pytest.raises(TableError, match="1 values are no durations") as caught:
        import_tables([file], tmp_path / "T", format="ofa")
    assert key in caught.value.met
    assert f"bad.yaml:{3 * list(means).index(key) + 1}:" in caught.value.met
    assert not (tmp_path / "T").exists()
    imported = import_tables([file], tmp_path / "T", format="ofa", drop_bad=True)
    assert "left out" in imported.notices[0]
    assert key in imported.notices[0]
    whole = import_tables([written(tmp_path / "a.yaml", means)], tmp_path / "W", format="ofa").table
    assert len(imported.table.rows) == len(whole.rows) - 1


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "key: [1\n", "Conv-input:1x1x3-output:1x1x3:\n  count: 3\n", "Conv-input:1x1x3: soon\n",
     '!!python/object/apply:os.system ["touch harmed"]: 1\n', 'a: !!python/object/apply:os.system ["touch harmed"]\n'],
)  # fmt: skip
def test_what_is_no_such_yaml_is_refused(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(TableError):
        import_tables([tmp_path / "odd.yaml"], tmp_path / "T", format="ofa")
    assert [path.name for path in tmp_path.iterdir()] == ["odd.yaml"]


def test_formats_and_files_that_cannot_be_imported(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", {"a note": 1.0})
    with pytest.raises(ConfigError, match="no format `opa`"):
        import_tables([file], tmp_path / "T", format="opa")
    with pytest.raises(ConfigError, match="are not imported"):
        import_tables([file], tmp_path / "T", format="tfnas")
    with pytest.raises(TableError, match="none of 1 values"):
        import_tables([file], tmp_path / "T", format="ofa")
    with pytest.raises(TableError, match="stands there already"):
        import_tables([written(tmp_path / "b.yaml", made_up(OFA, 160))], file, format="ofa")


# --- TinyNAS ---

TINY = """\
{Regular,1,16,28,28,32,3,2,0} 0.25
{Regular,1,16,28,28,32,3,2,1} 0.3
{Regular,32,16,28,28,32,3,2,0} 4.5
{Regular,1,3,480,480,32,7,1,0} -1
{Depthwise,1,32,28,28,32,5,1,0} 0.125
"""


def tiny(tmp_path: Path, text: str = TINY, **setup: Any) -> Imported:
    (tmp_path / "tiny.txt.gz").write_bytes(gzip.compress(text.encode()))
    return import_tables([tmp_path / "tiny.txt.gz"], tmp_path / f"T{len(setup)}", format="tinynas", **setup)


def test_a_convolution_of_tinynas_is_one_of_hwnas_at_its_batch(tmp_path: Path) -> None:
    shape, operators = (16, 28, 28), [Conv(16, 32, 3, 2, activation=act) for act in ("none", "relu")]
    one, many = tiny(tmp_path), tiny(tmp_path, batch=32)
    assert one.table.rows == {row_key(op, shape): Measurement((0.25e6,)) for op in operators}
    assert many.table.rows == {row_key(op, shape): Measurement((4.5e6,)) for op in operators}
    assert many.table.setup.batch == 32
    assert "1 values are marked as having no result" in one.notices
    assert "3 of 4 values stand for no operator of hwnas at batch 1" in one.notices[1]
    assert "1 Depthwise of batch 1" in one.notices[1]


def test_other_negative_times_of_tinynas_are_no_marks(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"tiny\.txt\.gz:1: .*-2 ms"):
        tiny(tmp_path, TINY.replace("0.25", "-2"))


@pytest.mark.parametrize("line", ["{Regular,1,16,28,28,32,3,2} 0.25", "{Regular,1,2,3,4,5,6,7,8} x", "hello"])
def test_a_line_of_tinynas_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(TableError) as caught:
        tiny(tmp_path, f"{TINY}{line}\n")
    assert caught.value.where.endswith("tiny.txt.gz:6")


def test_the_v100_table(shared_data: Path, tmp_path: Path) -> None:
    """Every row is a line of the file, its number in milliseconds times 10^6."""
    path = shared_data / "latency" / "tinynas_v100_conv_fp16.txt.gz"
    lines = dict(line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    table = import_tables([path], tmp_path / "T", format="tinynas", precision="fp16").table
    usual = [key for key, ms in lines.items() if re.match(r"{Regular,1,.*,0}", key) and ms != "-1"]
    assert len(table.rows) == 2 * len(usual) > 20_000
    for (_, knobs, (channels, height, width)), row in table.rows.items():
        of = json.loads(knobs)
        sizes = (1, channels, height, width, of["out_channels"], of["kernel"], of["stride"], 0)
        assert row.rounds_ns[0] == pytest.approx(1e6 * float(lines[f"{{Regular,{','.join(map(str, sizes))}}}"]))


# --- FBNet ---


def record(kind: str, *shapes: Sequence[int], us: float, **arguments: int) -> dict[str, Any]:
    return {
        "op_type": kind, "input_shapes": shapes, "input_dtypes": [12] * len(shapes), "device": "SM-G950U-7.0-24",
        "op_args": [f'name: "{name}"\ni: {value}\n' for name, value in sorted(arguments.items())],
        "runtime_us_p50": us, "runtime_us_p10": us * 0.9, "runtime_us_p90": us * 1.5,
    }  # fmt: skip


def conv(kind: str, size: int, inner: int, out: int, us: float, kernel: int = 1, stride: int = 1) -> dict[str, Any]:
    groups = inner if kernel > 1 and inner == out else 1
    weights = [out, kernel, kernel, inner // groups]
    return record(kind, [1, size, size, inner], weights, [out], us=us, kernel=kernel, stride=stride, group=groups)


RECORDS = [
    conv("Int8ConvRelu", 28, 3, 16, 100, 3, 2),
    conv("Int8ConvRelu", 14, 16, 48, 30),
    conv("Int8ConvRelu", 14, 48, 48, 50, 3),
    conv("Int8ConvRelu", 14, 48, 48, 40, 3, 2),
    conv("Int8Conv", 14, 48, 16, 20),
    conv("Int8Conv", 14, 48, 16, 22),
    conv("Int8ConvRelu", 7, 48, 24, 11),
    conv("Int8ConvRelu", 7, 24, 64, 9),
    record("Int8Add", [1, 14, 14, 16], [1, 14, 14, 16], us=5),
    record("Int8AveragePool", [1, 7, 7, 64], us=3, kernel=7),
    record("Int8FC", [1, 64], [10, 64], [10], us=2),
    record("NCHW2NHWC", [1, 3, 28, 28], us=70),
]


def fbnet(tmp_path: Path, records: Sequence[Mapping[str, Any]] = RECORDS) -> Imported:
    (tmp_path / "lut.json").write_text("".join(json.dumps(one) + "\n" for one in records))
    return import_tables([tmp_path / "lut.json"], tmp_path / "T", format="fbnet")


def test_operators_of_fbnet_are_put_together_to_those_of_hwnas(tmp_path: Path) -> None:
    imported = fbnet(tmp_path)
    relu = {"activation": "relu"}
    expected = {
        (Conv(3, 16, 3, 2), (3, 28, 28)): 100,
        (MBConv(16, 16, 3, 3), (16, 14, 14)): 30 + 50 + 21 + 5,  # a shortcut, and the mean of two equal records
        (MBConv(16, 24, 3, 3, 2), (16, 14, 14)): 30 + 40 + 11,  # where there is no Int8Conv, the Int8ConvRelu
        (MBConv(48, 16, 3, 1), (48, 14, 14)): 50 + 21,
        (MBConv(48, 24, 3, 1, 2), (48, 14, 14)): 40 + 11,
        (Conv(48, 16, 1, activation="none"), (48, 14, 14)): 21,
        (Conv(48, 24, 1, activation="none"), (48, 7, 7)): 11,
        (Conv(48, 24, 1), (48, 7, 7)): 11,
        (Classifier(24, 10, 64, **relu), (24, 7, 7)): 9 + 3 + 2,
        (Classifier(64, 10, **relu), (64, 7, 7)): 3 + 2,
    }
    for link, us in expected.items():
        assert imported.table.rows[row_key(*link)].rounds_ns == (pytest.approx(us * 1e3),), link
    blocks = [key for key in imported.table.rows if key[0] != "conv"]
    assert sorted(blocks) == sorted(row_key(*link) for link in expected if link[0].kind != "conv")
    assert "1 of 11 values" in imported.notices[0]
    assert "NCHW2NHWC" in imported.notices[0]
    assert imported.table.setup.precision == "int8"


def test_a_block_with_a_shortcut_needs_the_addition(tmp_path: Path) -> None:
    rows = fbnet(tmp_path, [one for one in RECORDS if one["op_type"] != "Int8Add"]).table.rows
    assert row_key(MBConv(16, 16, 3, 3), (16, 14, 14)) not in rows
    assert row_key(MBConv(16, 24, 3, 3, 2), (16, 14, 14)) in rows


# --- all ---


def samples_of(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    yield "ofa", written(tmp_path / "o.yaml", made_up(OFA, 160))
    yield "proxyless", written(tmp_path / "p.yaml", made_up(PROXYLESS, 160))
    (tmp_path / "t.txt").write_text(TINY)
    yield "tinynas", tmp_path / "t.txt"
    (tmp_path / "f.json").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    yield "fbnet", tmp_path / "f.json"
    (tmp_path / "n.json").write_text('{"base": 3.5, "MBInvertedResBlock_7_8_0_8_k3_s1_relu": {"8": 0.5}}')
    yield "tfnas", tmp_path / "n.json"


def test_a_format_is_told_from_the_content_and_every_row_is_an_operator(tmp_path: Path) -> None:
    for name, path in samples_of(tmp_path):
        assert detect(path, path.read_text()) == name
        assert all(entry.line >= 1 for entry in read_entries(path, name))
        if name == "tfnas":
            continue
        for kind, knobs, _ in import_tables([path], tmp_path / f"T{name}", format=name).table.rows:
            operator = make_operator(kind, json.loads(knobs), where=name)
            assert row_key(operator, ())[1] == knobs
