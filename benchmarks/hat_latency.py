"""How well do whole networks alone teach a latency model? On published transformer latencies (HAT).

    python benchmarks/hat_latency.py --table ../shared/data/latency/hat_wmt14enfr_cpu_raspberrypi_all.csv.gz --json

Encoder plus decoder latency of 2,000 transformers is to be inferred from 100 of them, at 20 random splits. The model
is linear-Gaussian like that of a table with checks (_network_only_posterior.CostPosterior): a network is a sum of parts
with unknown costs plus an overhead, prior variances by marginal likelihood. The parts are what a layer is made of:
something fixed, something for each channel, for each channel squared, for each weight of the feed-forward network, for
each head and each head's channels, for each layer of the encoder that attention looks at; and the same once per decoder
layer, as the published averages allow.

Keys: `table`, `networks`, `train`, `splits`, and median, least and most over the splits of `mape`, `within_5`,
`within_10`, `coverage_90`, `noise` (the relative deviation that the model infers); `ridge_mape` (ten published
features, penalty by leave-one-out) and `ridge_parts_mape` (the model's own parts); beside them what cannot be had from
the file: `single_run_mape` (mean error of one run, if each had the file's own standard deviation: the means of the file
are of many runs, so their own noise is lower where runs are independent, and higher where the machine drifted), and
`all_rows_mape` (the same model fitted on nine tenths of the networks: what is left is noise, and what averages over
layers leave out).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _network_only_posterior import CostPosterior
from numpy.typing import NDArray

DATA = Path(os.environ.get("HWNAS_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
FEATURES = (
    "encoder_embed_dim", "encoder_layer_num", "encoder_ffn_embed_dim_avg", "encoder_self_attention_heads_avg",
    "decoder_embed_dim", "decoder_layer_num", "decoder_ffn_embed_dim_avg", "decoder_self_attention_heads_avg",
    "decoder_ende_attention_heads_avg", "decoder_arbitrary_ende_attn_avg",
)  # fmt: skip
TIMES = ("latency_mean_encoder", "latency_mean_decoder", "latency_std_encoder", "latency_std_decoder")
Z90 = 1.6449

Floats = NDArray[np.float64]


def read(path: Path) -> tuple[Floats, Floats, Floats]:
    """(networks, 10) features, and (networks,) total latency in ms and the deviation of a run of it."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        rows = list(csv.DictReader(file))
    if not rows or (lacking := [name for name in (*FEATURES, *TIMES) if name not in rows[0]]):
        raise SystemExit(f"{path}: not a HAT latency file" + (f", no column {lacking}" if rows else ", it has no rows"))
    features = np.array([[float(row[name]) for name in FEATURES] for row in rows])
    encoder, decoder, encoder_sd, decoder_sd = np.array([[float(row[name]) for name in TIMES] for row in rows]).T
    return features, encoder + decoder, np.hypot(encoder_sd, decoder_sd)


def parts(features: Floats) -> Floats:
    """(networks, parts) how much of each part a network holds."""
    e, layers, ffn, heads, d, deep, feed, own, cross, seen = features.T
    encoder = [np.ones_like(e), e, e**2, ffn, ffn * e, heads, heads * e]
    decoder = [
        np.ones_like(e),
        d,
        d**2,
        feed,
        feed * d,
        own,
        own * d,
        cross,
        cross * d,
        e,
        seen,
        seen * e,
        seen * cross,
    ]
    return np.column_stack(
        [np.ones_like(e), e, d, *(layers * part for part in encoder), *(deep * part for part in decoder)]
    )


def judged(ms: Floats, truth: Floats) -> dict[str, float]:
    error = np.abs(ms / truth - 1)
    return {"mape": error.mean(), "within_5": np.mean(error <= 0.05), "within_10": np.mean(error <= 0.1)}


def split(features: Floats, ms: Floats, train: NDArray[np.intp], test: NDArray[np.intp]) -> dict[str, float]:
    """Errors on the rest, of the model and of the ridges."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    held = parts(features)
    means, deviations = (posterior := CostPosterior.fit(held[train], ms[train])).predict(held[test])
    found = judged(means, ms[test]) | {"noise": posterior.noise}
    found["coverage_90"] = np.mean(np.abs(ms[test] - means) <= Z90 * deviations)
    for name, columns in (("ridge_mape", features), ("ridge_parts_mape", held)):
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-6, 4, 41))).fit(columns[train], ms[train])
        found[name] = judged(ridge.predict(columns[test]), ms[test])["mape"]
    return found


def measure(path: Path, train: int, splits: int, seed: int) -> dict[str, Any]:
    """All splits of one file."""
    features, ms, deviation = read(path)
    if train > 0.9 * len(ms):
        raise SystemExit(f"--train: at most nine tenths of the {len(ms)} networks")
    rng, found = np.random.default_rng(seed), []
    for number in range(splits):
        order = rng.permutation(len(ms))
        found.append(split(features, ms, order[:train], order[train:]))
        print(f"{path.name} split {number}: MAPE {found[-1]['mape']:.4f}", file=sys.stderr, flush=True)
    order, held = rng.permutation(len(ms)), parts(features)
    test, rest = order[: len(ms) // 10], order[len(ms) // 10 :]
    most = CostPosterior.fit(held[rest], ms[rest]).predict(held[test])[0]
    over = {name: [one[name] for one in found] for name in found[0]}
    return {
        "table": path.name, "networks": len(ms), "train": train, "splits": splits,
        **{
            name: {"median": round(float(np.median(v)), 5), "least": round(min(v), 5), "most": round(max(v), 5)}
            for name, v in ((name, [float(value) for value in values]) for name, values in over.items())
        },
        "single_run_mape": round(float((2 / np.pi) ** 0.5 * np.mean(deviation / ms)), 5),
        "all_rows_mape": round(float(judged(most, ms[test])["mape"]), 5),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = DATA / "latency/hat_wmt14enfr_cpu_raspberrypi_all.csv.gz"
    parser.add_argument("--table", type=Path, default=default, help="a HAT file, may be gzipped")
    parser.add_argument("--train", type=int, default=100, help="networks to learn from")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, nothing else on stdout")
    parser.add_argument("--output", type=Path, help="a JSON file to write the result to")
    asked = parser.parse_args()
    if not asked.table.is_file():
        raise SystemExit(f"{asked.table}: no such file; name a table with --table")
    result = measure(asked.table, asked.train, asked.splits, asked.seed)
    if asked.json or asked.output:
        from hwnas.workspace.environment import machine, versions

        about = {"seed": asked.seed, "machine": dict(machine()), "versions": versions()}
        result |= about | {"date": time.strftime("%Y-%m-%d")}
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n")
    if asked.json:
        print(json.dumps(result, indent=1))
    else:
        for name, of in result.items():
            print(
                f"{name:18}",
                f"{of['median']:.4f} ({of['least']:.4f} to {of['most']:.4f})" if isinstance(of, dict) else of,
            )


if __name__ == "__main__":
    main()
