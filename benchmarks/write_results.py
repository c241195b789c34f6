"""Write RESULTS.md from the data in results/; no measured figure is typed by hand.

python benchmarks/write_results.py
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from graftwork.core.choose import expected_deficits, known_enough
from graftwork.core.trials import TOLERANCE

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PROCESSORS = ("bf16", "avx2")
"""Kinds, as ``machine.kind`` has them."""


def read(name: str) -> Any:
    path = RESULTS / name
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def machine(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    load = f", load {about['load_average_1m']:.1f}" if "load_average_1m" in about else ""
    flags = " ".join(about.get("flags", []))
    return (
        f"*{about['date']}; {about.get('processor', '')} ({flags}), {about.get('cores', 2)} cores{load}; {versions}.*"
    )


def machines(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line per kind of processor, with the number of rows computed on it, and a line for older rows."""
    taken = [row["taken"] for row in rows if "taken" in row]
    older = [f"{taken.count(when)} of {len(rows)} were measured {when}.  " for when in dict.fromkeys(taken)]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(" ".join(row["machine"].get("flags", [])), []).append(row["machine"])
    if len(kinds) == 1:
        return [*older, machine(rows[-1]["machine"])]
    return [*older, *(f"{len(of)} of {len(rows)} on {machine(of[-1])}  " for of in kinds.values())]


def target(data: Any) -> str:
    """Return the name under which a row holds the target for this kind of processor."""
    return "target_with_bf16" if "avx512_bf16" in data["machine"]["flags"] else "target_on_avx2_alone"


def accuracy() -> list[str]:
    rows = read("accuracy.jsonl")
    if not rows:
        return []
    lines = [
        "## Nested cross-validation: layer and C chosen on the inner folds, against the last layer on the same folds",
        "",
        "Accuracy in per cent and gain in points, means over seeds; the standard error is that of one seed over its images (or "
        "groups), averaged over seeds.",
        "",
        "| set | backbone | seeds | images | chosen | last layer | gain (standard error) | gain per seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_set: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        by_set.setdefault((row["set"], row["backbone"]), []).append(row)
    means = []
    for (name, backbone), seeds in by_set.items():
        chosen, last, gain, error = (
            float(np.mean([row[key] for row in seeds]))
            for key in ("chosen_percent", "last_percent", "gain_points", "gain_standard_error")
        )
        means.append(gain)
        single = " ".join(f"{row['gain_points']:+.2f}" for row in seeds)
        lines.append(
            f"| {name} | {backbone} | {len(seeds)} | {seeds[0]['images']} | {chosen:.1f} | {last:.1f} | "
            f"{gain:+.2f} ({error:.2f}) | {single} |"
        )
    gains = np.array([row["gain_points"] for row in rows])
    half = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    lines += [
        "",
        f"Mean gain {gains.mean():+.2f} points over {len(gains)} cells (95 % interval {gains.mean() - half:+.2f} to "
        f"{gains.mean() + half:+.2f}, cells as units); lowest set {min(means):+.2f}, lowest single seed {gains.min():+.2f}. "
        "Target: no set below -0.5 and a mean above 0, with 3 seeds and two backbones (18 pairs of set and backbone, 54 cells).",
        "",
        *machines(rows),
        "",
    ]
    return lines


def leak() -> list[str]:
    data = read("leak.json")
    if not data:
        return []
    lines = [
        "## Leakage: gtsrb (traffic signs filmed in tracks) with and without its tracks",
        "",
        "| folds by | accuracy | 95 % interval | groups |",
        "|---|---|---|---|",
    ]
    for name, row in data["accuracy"].items():
        lines.append(f"| {name} | {row['percent']:.1f} | {row['low']:.1f} to {row['high']:.1f} | {row['groups']} |")
    flags = ", ".join(f"`--group-by '{f['flag']}'` ({f['groups']} groups)" for f in data["proposed_from_names"])
    lines += ["", f"With files named TRACK_FRAME, `check` proposes {flags}; there are {data['tracks']} tracks.", ""]
    series, tracks = data["accuracy"]["series recognised by pixels"], data["tracks"]
    lines += [
        f"Target without names: about 60. {series['groups']} series are recognised where there are {tracks} tracks, so parts "
        "of a track are still in different folds; looser thresholds joined different signs into one group, and single "
        "thresholds on pixels or codes gave 83 and 74 in a first attempt. The rules were tuned on this set, so this figure is "
        "optimistic.",
        "",
    ]
    return [*lines, machine(data["machine"]), ""]


def novelty() -> list[str]:
    data = read("novelty.json")
    if not data:
        return []
    own = data["own_test"]
    aurocs = [pair["auroc"] for pair in data["pairs"]]
    flags = ", ".join(f"{name} {row['flagged_percent']:.1f} %" for name, row in own.items())
    return [
        "## Novelty: embedded default, last layer, flag rate 1 %",
        "",
        f"Test images of the model's own set that were flagged (false alarms): {flags}. Target: 0 to 3 %.",
        "",
        f"AUROC 0.9 or higher on {data['pairs_at_least_0.9']} of {len(aurocs)} pairs of sets (target: 12); lowest "
        f"{min(aurocs):.3f}, median {np.median(aurocs):.4f}.",
        "",
        machine(data["machine"]),
        "",
    ]


def explaining() -> list[str]:
    data = read("explain.json")
    if not data:
        return []
    lines = [
        "## Where the evidence is: things pasted at known places",
        "",
        "Small pictures of things (a sign, a cat, a blood cell, ...) are pasted at random places on photos that have nothing to do "
        "with them, and a linear classifier learns which thing it is. The map of a correctly classified test image should lie "
        "on the thing. *In the box*: share of the positive map in the thing's box, as a multiple of the box's share of the "
        "picture. *Hits*: the maximum is in the box. *AUC*: of the map's values inside against outside. Two of four sets were "
        "used to choose the method; the rows are of the other two, with other things and other photos. *Best other* is the "
        "method and depth with the highest AUC on the first two sets, per network: Grad-CAM, gradient times activation and its "
        "positive part, at three depths each (captum). Integrated gradients and occlusion are slow, and ran on a few images.",
        "",
        "| network and head | method | in the box | hits | AUC |",
        "|---|---|--:|--:|--:|",
    ]
    used = {"to choose": [], "to judge": []}
    for row in data["sets"].values():
        used[row["used"]].append(row["networks"])
    for name in used["to judge"][0]:
        other = _best_other([networks[name]["methods"] for networks in used["to choose"]])
        judged = [networks[name] for networks in used["to judge"]]
        shown = {
            "parts by layer (ours)": "parts by layer",
            f"best other: {other}": other,
            "integrated gradients": "integrated gradients",
            "occlusion": "occlusion",
        }
        for words, method in shown.items():
            if method in judged[0]["methods"]:
                lines.append(f"| {name} | {words} | {_covered(judged, method)} |")
    costs = [
        row["seconds"]["explained"] / row["seconds"]["forward"]
        for networks in used["to judge"]
        for row in networks.values()
    ]
    milliseconds = [1000 * row["seconds"]["explained"] for networks in used["to judge"] for row in networks.values()]
    random = [
        row["rank_correlation"] for networks in (*used["to choose"], *used["to judge"]) for row in networks.values()
    ]
    lines += [
        "",
        f"Random weights change the map (Adebayo et al. 2018): its rank correlation with the map of a random body is "
        f"{np.mean([row['random_body'] for row in random]):.2f} in the mean over networks and sets (from "
        f"{min(row['random_body'] for row in random):.2f} to {max(row['random_body'] for row in random):.2f}), and with that of a "
        f"random head {np.mean([row['random_head'] for row in random]):.2f} (from "
        f"{min(row['random_head'] for row in random):.2f} to {max(row['random_head'] for row in random):.2f}).",
        "",
        f"An explanation takes {np.median(costs):.2f} times the processor time of the forward pass in PyTorch (median; up to "
        f"{max(costs):.2f}), {min(milliseconds):.0f} to {max(milliseconds):.0f} ms on one thread at 224 px.",
        "",
        machine(data["machine"]),
        "",
    ]
    return lines


def _best_other(chosen_on: list[dict[str, Any]]) -> str:
    """Return the method of another library with the highest mean AUC on the sets that were used to choose."""
    others = [name for name in chosen_on[0] if ", depth " in name]
    return max(others, key=lambda name: statistics.mean(methods[name]["auc"] for methods in chosen_on))


def _covered(judged: list[dict[str, Any]], method: str) -> str:
    rows = [(row["methods"][method], row["area_of_the_box"]) for row in judged]
    mass = statistics.mean(scores["mass"] / area for scores, area in rows)
    hits, area = (statistics.mean(scores[name] for scores, _ in rows) for name in ("pointing", "auc"))
    return f"{mass:.1f} x | {100 * hits:.0f} % | {area:.3f}"


def choose_c(data: Any) -> list[str]:
    seconds, ratios = data["median_seconds"], data["ratios"]
    lines = [
        "## Choosing C and refitting: cifar10 through MobileNetV2 (n = 9,500, d = 1,280, 10 classes, 5 folds, 10 Cs)",
        "",
        "| | median seconds |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in seconds.items()),
        "",
        *(f"- {name}: {value:.2f}" for name, value in ratios.items()),
        "",
        "Target: at least 10 times faster than `LogisticRegressionCV`; the SVM at most 3 times slower than our softmax. The "
        "load next to the date says how many other processes shared the two cores; BLAS threads that wait actively slow each "
        "other down on a shared machine.",
        "",
    ]
    return [*lines, machine(data["machine"]), ""]


def near_duplicates() -> list[str]:
    data = read("near_duplicates.json")
    if not data:
        return []
    lines = [
        "## Near-duplicates: recall, and images that are falsely grouped",
        "",
        "| set | images | falsely grouped | largest group | recall by kind of copy |",
        "|---|---|---|---|---|",
    ]
    for name, row in data["sets"].items():
        recall = ", ".join(f"{kind} {value:.0f}" for kind, value in row["recall %"].items())
        lines.append(
            f"| {name} | {row['images']} | {row.get('falsely grouped %', float('nan')):.2f} % | {row['largest group']} | {recall} |"
        )
    return [*lines, "", "Target: recall at least 95 %, at most 1 % of distinct images grouped (without gtsrb).", ""]


CHECK_EXPLAINED = {
    "cells G105": "three pairs that a person found to be one picture",
    "cells G110": "true: the cells of one photographed blood film",
    "digits G105": "not one picture, but digits that differ by less than re-encoding changes at 8 px",
    "digits G111": "true",
    "pacs-sketch G110": "true: several sketches were drawn after one photo",
    "trashnet G105": "two pairs that a person found to be one picture",
    "trashnet G106": "false: a brown bottle and a green lid, both round on white",
    "xray G103": "true",
    "xray G105": "two pairs that a person found to be one picture",
    "xray G110": "true: the images of one patient",
    "cifar10 G105": "pairs that a person found to be one picture",
    "cifar10 G108": "true: CIFAR-10's test part has copies of training images (Barz and Denzler 2020)",
    "cifar10 G111": "true",
    "gtsrb G105": "true: frames of one track",
    "gtsrb G107": "true: frames of one track",
    "gtsrb G110": "true: frames of one track",
    "gtsrb G111": "true",
    "gtsrb G118": "true: frames of one track",
}
"""Why each finding is true or false; the pairs are those of near_duplicates_seen.json."""


def check_sets() -> list[str]:
    data = read("check_sets.json")
    if not data:
        return []
    before, after = data["commits"]["before"], data["commits"]["after"]
    lines = [
        "## What `graft check` says on every real set",
        "",
        f"Without options, at {before} (before) and at {after} (after). The count is that of images, pairs or groups.",
        "",
        "| set | finding | before | after | explained |",
        "|---|---|---|---|---|",
    ]
    for name, said in data["sets"].items():
        titles = {row["code"]: row["title"] for when in ("before", "after") for row in said[when]}
        if not titles:
            lines.append(f"| {name} | nothing | | | |")
        for code, title in sorted(titles.items()):
            counts = (
                ", ".join(str(row["count"]) for row in said[when] if row["code"] == code) or "no"
                for when in ("before", "after")
            )
            explained = CHECK_EXPLAINED.get(f"{name} {code}", "**not explained**")
            lines.append(f"| {name} | {code} {title} | {' | '.join(counts)} | {explained} |")
    return [*lines, "", machine(data["machine"]), ""]


GROUPINGS = {
    "every image alone": [None],
    "8 and 20 groups": [8, 20],
    "3 and 5 groups": [3, 5],
}


def intervals() -> list[str]:
    data = read("intervals.json")
    if not data:
        return []
    cells = data["cells"]
    lines = [
        "## Coverage of the 95 % intervals of scores",
        "",
        f"Simulated, {cells[0]['trials']} draws a cell: accuracies 0.5 to 0.99, 12 to 1,000 images, 2 and 5 classes of like "
        "and unlike sizes and difficulty, groups of like and unlike sizes whose mistakes correlate by 0, 0.3 or 1, log loss "
        "of classifiers that are too confident, calibrated and too cautious (`benchmarks/intervals.py`). Where every class "
        "has one group or there are fewer than three groups, no interval is given. The width is the median over cells of "
        "that relative to Clopper and Pearson's for the accuracy of the same draw; for log loss it is relative to the true "
        "one. Classes of unlike sizes widen what averages over classes, as they should.",
        "",
        "| metric | images | cells | lowest coverage | median coverage | below 93 % | relative width, like classes | unlike |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for metric in ("accuracy", "balanced-accuracy", "macro-f1", "log-loss"):
        for name, groups in GROUPINGS.items():
            mine = [
                c for c in cells if c["cell"]["metric"] == metric and c["cell"]["groups"] in groups and "coverage" in c
            ]
            covered = [c["coverage"] for c in mine]
            widths = [
                [c["median_width"] for c in mine if c["cell"].get("unlike_classes", False) is unlike]
                for unlike in (False, True)
            ]
            shown = [f"{statistics.median(w):.2f}" if w else "" for w in widths]
            lines.append(
                f"| {metric} | {name} | {len(mine)} | {100 * min(covered):.1f} % | "
                f"{100 * statistics.median(covered):.1f} % | {sum(c < 0.93 for c in covered)} | {' | '.join(shown)} |"
            )
    return [*lines, "", machine(data["machine"]), ""]


def linear_path() -> list[str]:
    data = read("linear_path.json")
    if not data:
        return []
    lines = [
        "## The linear path before and after the SVM's intercept was freed",
        "",
        "Both checkouts on the same cells, folds and engine (`benchmarks/linear_path.py`): 5, 20 and all images a class, "
        "three seeds. A row counts as the same where all out-of-fold probabilities are the same to the bit.",
        "",
        "| set | cells | test accuracy before, % | after, % | gain, points | test images that differ | "
        "best SVM out of fold, points | softmax rows the same | SVM rows the same |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in data["sets"]:
        same = [f"{row['same_rows'][loss]['same']} of {row['same_rows'][loss]['of']}" for loss in ("softmax", "svm")]
        before, after = row["accuracy_percent"]
        lines.append(
            f"| {row['set']} | {row['cells']} | {before} | {after} | {row['gain_points']:+} | {row['discordant_percent']} % | "
            f"{row['best_svm_out_of_fold_gain_points']:+} | {' | '.join(same)} |"
        )
    gains = [row["gain_points"] for row in data["sets"]]
    lines += ["", f"Mean of the sets, in points: {interval(gains)} (sets as units)."]
    return [*lines, "", machine(data["machine"]), ""]


def forward(data: Any) -> list[str]:
    lines = [
        "## Forward pass at 224 px, random weights, against eager float32 PyTorch",
        "",
        "| network | eager f32 | openvino f32 | openvino bf16 | worst error of bf16 | chosen | speed relative to eager | target (bf16 / AVX2) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in data["forward"]:
        rates, errors = row["images_per_second"], row["worst_error"]
        bf16 = (
            [f"{rates['openvino bf16']:.0f}", f"{errors['openvino bf16']:.3f}"]
            if "openvino bf16" in rates
            else ["", ""]
        )
        lines.append(
            f"| {row['network']} | {rates['eager f32']:.0f} | {rates['openvino f32']:.0f} | {bf16[0]} | {bf16[1]} | "
            f"{row['chosen']} | {row['times_eager_of_the_chosen']:.2f} | {row['target_with_bf16']} / {row['target_on_avx2_alone']} |"
        )
    lines += [
        "",
        "Images per second, medians of rounds in turn. An engine in bf16 is used only if its error is at most 0.02; "
        f"load averages were {', '.join(str(row['load_average'][0]) for row in data['forward'])}.",
        *_ceiling(data),
        *_short_forward(data),
        *_relu(data["relu"]),
        "",
    ]
    return [*lines, machine(data["machine"]), ""]


def _ceiling(data: Any) -> list[str]:
    """Compare the operations per second of the engines with those of a large matrix product on the same cores."""
    product = data.get("matrix_product_gflop_per_second")
    if not product:
        return []
    rates = []
    for row in data["forward"]:
        precision = row["chosen"].rpartition(" ")[2]
        reached = row["images_per_second"][row["chosen"]] * row["gflop_per_image"]
        rates.append(f"{row['network']} {reached:.0f} ({100 * reached / product[precision]:.0f} % of {precision})")
    of = ", ".join(f"{value} in {name}" for name, value in product.items())
    return [
        "",
        f"GFLOP per second: a product of large matrices reaches {of}; the chosen engine reaches {', '.join(rates)}.",
    ]


def _relu(rows: list[dict[str, Any]]) -> list[str]:
    """Compare the accuracy on codes after a network's ReLU with that before it."""
    if not rows:
        return []
    by_layer: dict[str, dict[str, float]] = {}
    for row in rows:
        by_layer.setdefault(row["layer"], {})[row["relu"]] = row["accuracy"]
    layers = ", ".join(f"{name} {of['after']:.1f} and {of['before']:.1f}" for name, of in by_layer.items())
    return [
        "",
        f"Accuracy on codes after a ReLU and before it ({rows[0]['network']} on {rows[0]['data']}, 5 folds): {layers}.",
    ]


def _short_forward(data: Any) -> list[str]:
    """Name what misses its target, and why."""
    key = target(data)
    short = [row for row in data["forward"] if row["times_eager_of_the_chosen"] < row[key]]
    if not short:
        return []
    missed = ", ".join(f"{row['network']} ({row['times_eager_of_the_chosen']:.2f} of {row[key]})" for row in short)
    reasons = []
    product = data.get("matrix_product_gflop_per_second", {})
    for row in short:
        if "openvino bf16" in row["times_eager"] and row["chosen"].endswith("f32"):
            reasons.append(
                f"{row['network']} in bf16 ({row['times_eager']['openvino bf16']:.2f} times eager) exceeds the allowed "
                "error, so float32 is used (running single layers, or all layers from some depth on, in float32 gave no graph "
                "that is both accurate enough and faster)"
            )
        elif product:
            precision = row["chosen"].rpartition(" ")[2]
            rate = row[key] * row["images_per_second"]["eager f32"]
            needed = rate * row["gflop_per_image"]
            reasons.append(
                f"{row['network']} at {row[key]} times would be {rate:.0f} images and {needed:.0f} GFLOP per second, "
                f"{100 * needed / product[precision]:.0f} % of what a matrix product reaches (batches of 1 to 16 and one "
                "stream or two change that by a few per cent)"
            )
        else:
            gflop = {r["network"]: r["gflop_per_image"] for r in read("forward.bf16.json")["forward"]}[row["network"]]
            needed = row[key] * row["images_per_second"]["eager f32"] * gflop
            reasons.append(
                f"{row['network']} at {row[key]} times would be {needed:.0f} GFLOP per second; the matrix product was not timed "
                "on this machine, but another AVX2 processor of this kind reached 132 in float32"
            )
    return ["", f"Below target: {missed}. Why: {'; '.join(reasons)}."]


def depthwise(rows: Any) -> list[str]:
    lines = [
        "## Training steps with faster gradients of depthwise convolutions",
        "",
        "Images/s of forward, backward and AdamW of a whole network, batches of 32, random inputs; in brackets relative to torch's own gradients in the same precision and run. With one thread, seconds are those of the processor.",
        "",
        "| network | px | threads | float32 | float32, faster paths | bfloat16 | bfloat16, faster paths | chosen by measuring | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["threads"], row["input_px"])):
        rates, times = row["images_per_second"], row["times_plain"]
        cells = [
            f"{rates[f'{precision}, plain']} | {rates[f'{precision}, faster paths']} ({times[precision]:.2f})"
            for precision in ("float32", "bfloat16")
        ]
        lines.append(
            f"| {row['network']} | {row['input_px']} | {row['threads']} | {cells[0]} | {cells[1]} | {row['chosen']}, "
            f"{row['chosen_of_best']:.2f} of the best | {row['load_average']} |"
        )
    return [*lines, "", *machines(rows), ""]


def training(data: Any) -> list[str]:
    lines = [
        "## Training rates: real files, epochs after the first",
        "",
        "Images/s of a whole network on 256 JPEG files of 768 x 512 from disk (`training.py`), the checkout before this work and today's in turn, medians; torch's own forward rate in the same processes, and three times the training rate as a share of the better of them. *Torch's own step* is the same share of a forward and backward pass alone, in the better precision: what no images, augmentation or optimiser would leave.",
        "",
        "| network, input, threads | before | now | ratio | torch forward, float32 | bfloat16 | share | torch's own step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in data.items():
        forward = [f"{row['forward'][kind]:g}" if kind in row["forward"] else "" for kind in ("float32", "bfloat16")]
        lines.append(
            f"| {name} | {row['old']:g} | {row['new']:g} | {row['ratio']:.2f} | {' | '.join(forward)} | "
            f"{100 * row['share_of_a_third_of_forward']:.0f} % | {own_step(row)} |"
        )
    return [*lines, "", *machines(list(data.values())), ""]


def own_step(row: dict[str, Any]) -> str:
    """Return torch's own rate of steps as a share of a third of its forward rate; empty where it was not measured."""
    return f"{300 * max(row['step'].values()) / max(row['forward'].values()):.0f} %" if "step" in row else ""


def keras_rate(data: Any) -> list[str]:
    rows = list(data.values())
    cases = [case for case in rows[0]["medians"] if case != "graftwork"]
    titles = ["network, input", "graftwork", *(f"Keras: {case}" for case in cases), "ratio to its best"]
    lines = [
        "## Training rates beside Keras",
        "",
        "Images/s of MobileNetV2, every layer trained, batches of 32, on the same JPEG files, epochs after the first "
        "(`keras_rate.py`); Keras from files and from tensors that it keeps in memory, compiled by XLA and not; medians of "
        "rounds in turn. Target: 1.5 times the best of Keras.",
        "",
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
    ]
    for name, row in data.items():
        rates = [f"{row['medians'][case]:g}" if case in row["medians"] else "" for case in ("graftwork", *cases)]
        lines.append(f"| {name} | {' | '.join(rates)} | {row['ratio_to_the_best']:.2f} |")
    versions = ", ".join(f"{name} {version}" for name, version in rows[0]["keras"].items())
    return [*lines, "", f"{versions}.", "", *machines(rows), ""]


def schedules() -> list[str]:
    cells = read("schedules.jsonl")
    if not cells:
        return []
    base = "224 px"
    lines = [
        "## Cheaper schedules of fine-tuning",
        "",
        "The embedded default at its own 224 px, 20 images a class, graftwork's recipe (`schedules.py`): points over all layers "
        "trained and tested at 224 px, as the mean over cells, and seconds of the processor (training alone, one thread) "
        "relative to it. *Above blocks.1*: the lowest stages are frozen.",
        "",
        "| schedule | tested | cells | points | seconds |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(name for cell in cells for name in cell["schedules"]):
        for tested in dict.fromkeys(how for cell in cells for how in cell["schedules"].get(name, {})):
            pairs = [
                (cell["schedules"][name][tested], cell["schedules"][base][f"tested at {base.removesuffix(' px')}"])
                for cell in cells
                if tested in cell["schedules"].get(name, {}) and base in cell["schedules"]
            ]
            points = statistics.mean(row["percent"] - own["percent"] for row, own in pairs)
            ratio = statistics.mean(row["seconds"] / own["seconds"] for row, own in pairs)
            lines.append(f"| {name} | {tested.removeprefix('tested ')} | {len(pairs)} | {points:+.1f} | {ratio:.2f} |")
    sets = ", ".join(dict.fromkeys(cell["set"] for cell in cells))
    return [*lines, "", f"Cells: {sets}, one seed each.", "", *machines(cells), ""]


def cached_views() -> list[str]:
    cells = read("cached_views.jsonl")
    if not cells:
        return []
    columns = list(cells[0]["views"])
    most, *fewer = columns
    lines = [
        "## Augmented views that activations are cached in",
        "",
        "The embedded default at its own 224 px, trained above a cut on activations of so many views of each image, tested in one "
        "(`cached_views.py`): accuracy in per cent. A short time limit lowers their number.",
        "",
        f"| set | per class | seed | trained on | tested on | epochs | {' | '.join(f'views: {n}' for n in columns)} |",
        f"|---|---|---|---|---|---|{'---|' * len(columns)}",
    ]
    for cell in cells:
        shown = " | ".join(f"{cell['views'][n]['percent']:.1f}" for n in columns)
        lines.append(
            f"| {cell['set']} | {cell['size']} | {cell['seed']} | {cell['train']} | {cell['test']} | {cell['epochs']} | {shown} |"
        )
    lines.append("")
    for size, count in itertools.product(dict.fromkeys(cell["size"] for cell in cells), fewer):
        rows = [cell["views"] for cell in cells if cell["size"] == size]
        points = [row[count]["percent"] - row[most]["percent"] for row in rows]
        seconds = statistics.mean(row[count]["seconds"] / row[most]["seconds"] for row in rows)
        lines.append(
            f"- {size} a class, {count} against {most}: {interval(points)} points on {len(rows)} cells, {seconds:.2f} of the seconds"
        )
    return [*lines, "", *machines(cells), ""]


def equal_seconds() -> list[str]:
    cells = read("equal_seconds.jsonl")
    if not cells:
        return []
    lines = [
        "## Before and after, in the same seconds",
        "",
        "Test accuracy of `graft train` with its default options on the embedded default at 224 px (`equal_seconds.py`): the "
        "checkout before this work and a later one, in turn, the same split, engines measured before.",
        "",
        "| limit before | limit after | processor | cores | set | seed | after is | before | after | chosen before | chosen after | seconds after |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]

    def budget(cell: dict[str, Any]) -> tuple[int, int, int, str]:
        return cell["old_limit_seconds"], cell["limit_seconds"], cell["machine"]["cores"], cell["kind"]

    for cell in sorted(cells, key=lambda c: (*budget(c), c["set"], c["seed"])):
        old, new = (100 * cell[side]["right"].count("1") / cell["test"] for side in ("old", "new"))
        lines.append(
            f"| {cell['old_limit_seconds']} s | {cell['limit_seconds']} s | {cell['kind']} | {cell['machine']['cores']} | "
            f"{cell['set']} | "
            f"{cell['seed']} | {cell['commits']['new']} | {old:.1f} | {new:.1f} | {cell['old']['chosen']} | "
            f"{cell['new']['chosen']} | {cell['new']['seconds']:.0f} |"
        )
    for old_limit, limit, cores, kind in sorted(set(map(budget, cells))):
        gains: dict[str, list[float]] = {}
        seeds = {cell["seed"] for cell in cells if budget(cell) == (old_limit, limit, cores, kind)}
        for cell in cells:
            if budget(cell) == (old_limit, limit, cores, kind):
                right = {side: cell[side]["right"].count("1") for side in ("old", "new")}
                gains.setdefault(cell["set"], []).append(100 * (right["new"] - right["old"]) / cell["test"])
        means = [statistics.mean(points) for points in gains.values()]
        lines += [
            "",
            f"At {limit} s{'' if old_limit == limit else f' against {old_limit} s before'} on {cores} "
            f"{'core' if cores == 1 else 'cores'} ({kind}): {interval(means)} points on the mean of {len(means)} sets"
            f"{' (interval with sets as units)' if len(means) > 1 else ''}, seeds {', '.join(map(str, sorted(seeds)))}.",
        ]
    peaks = [(cell["old"]["peak_mb"], cell["new"]["peak_mb"]) for cell in cells if "peak_mb" in cell["new"]]
    if peaks:
        ratio = statistics.median(new / old for old, new in peaks)
        old, new = (max(side) for side in zip(*peaks, strict=True))
        lines += [
            "",
            f"Peak memory of the process: {ratio:.2f} times that before (median of {len(peaks)} cells); at most {old} MB "
            f"before and {new} MB after.",
        ]
    return [*lines, "", *machines(cells), ""]


def views() -> list[str]:
    cells = read("views.jsonl")
    if not cells:
        return []
    counts = cells[0]["views"]
    lines = [
        "## Number of views",
        "",
        f"The best linear classifier on one view, by cross-validation, and the same on codes averaged over more views; the "
        f"embedded default at {cells[0]['input_px']} px (`views.py`). Gain over one view in points, mean over cells.",
        "",
        f"| per class | cells | scored | {' | '.join(f'{count} views' for count in counts[1:])} |",
        f"|---|---|---|{'---|' * (len(counts) - 1)}",
    ]
    for size in dict.fromkeys(cell["size"] for cell in cells):
        some = [cell for cell in cells if cell["size"] == size]
        for scored in ("out of fold", "test"):
            gains = [[value - cell["percent"][scored][0] for value in cell["percent"][scored][1:]] for cell in some]
            means = " | ".join(interval(list(column)) for column in zip(*gains, strict=True))
            lines.append(f"| {size} | {len(some)} | {scored} | {means} |")
    lines += [
        "",
        "Layer and loss were chosen by the same out-of-fold scores on one view, which are a little lucky therefore: views gain "
        "more on the test images than they seem to. What is expected of a candidate (`steps/advise.py`) counts that in part.",
        "",
    ]
    return [*lines, *machines(cells), ""]


def choice() -> list[str]:
    cells = read("choice.jsonl")
    if not cells:
        return []
    whose = ("linear", "measured", "expected")
    lines = [
        "## The choice under a time limit",
        "",
        f"`graft train` on the embedded default at {cells[0]['input_px']} px and {cells[0]['limit_seconds']} s, gains forecast "
        "from the other data sets alone (`choice.py`). Of the same trials: test accuracy of the best linear classifier, of the "
        "cheapest candidate within a point of the best as measured, and of the cheapest of which no more than a point is "
        "expected to be lost, as `train` chooses; and on how many images they were compared.",
        "",
        "| set | per class | seed | images | linear | as measured | as expected | chosen as measured | chosen as expected |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    gains: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    for cell in sorted(cells, key=lambda c: (c["size"], c["set"], c["seed"])):
        rows = chosen_by_rule(cell)
        percent = {who: 100 * row["right"].count("1") / len(row["right"]) for who, row in rows.items()}
        lines.append(
            f"| {cell['set']} | {cell['size']} | {cell['seed']} | {cell['images_judged_on']} | "
            f"{' | '.join(f'{percent[who]:.1f}' for who in whose)} | {rows['measured']['label']} | {rows['expected']['label']} |"
        )
        for one, other in (("measured", "linear"), ("expected", "linear"), ("expected", "measured")):
            by_set = gains.setdefault((cell["size"], one, other), {})
            by_set.setdefault(cell["set"], []).append(percent[one] - percent[other])
        for who in ("measured", "expected"):
            costs.setdefault((cell["size"], who), []).append(rows[who]["cost"] / rows["linear"]["cost"])
    lines.append("")
    for (size, one, other), by_set in gains.items():
        means = [statistics.mean(points) for points in by_set.values()]
        lines.append(
            f"- {size} a class, as {one} against {'linear' if other == 'linear' else 'as ' + other}: {interval(means)} points on "
            f"the mean of {len(means)} sets (interval with sets as units)."
        )
    for (size, who), times in costs.items():
        lines.append(
            f"- {size} a class, as {who}: the model costs {statistics.geometric_mean(times):.1f} times as much to use as a linear "
            "classifier on one view (geometric mean)."
        )
    return [*lines, "", *machines(cells), ""]


def chosen_by_rule(cell: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the trials of a cell that are the best linear classifier, and that each rule chooses."""
    trials = cell["trials"]
    unbeaten = [j for j, row in enumerate(trials) if not row["beaten"]]
    linear = next(row for row in trials if row["label"] == cell["linear"])
    chosen = {"linear": linear}
    measured, most = {j: trials[j]["deficit"] for j in unbeaten}, max(row["images"] for row in trials)
    complete = [row["images"] == most for row in trials]
    known = known_enough(unbeaten, complete, [row["deficit"] for row in trials], TOLERANCE)
    expected = expected_deficits(known, [row["expected"] for row in trials])
    for who, deficits in (("measured", measured), ("expected", expected)):
        cheapest = min(trials[j]["cost"] for j, deficit in deficits.items() if deficit <= TOLERANCE)
        equals = [trials[j] for j in unbeaten if trials[j]["cost"] == cheapest]
        # other layers are not tested: which of them it is depends on no rule
        chosen[who] = linear if linear in equals else min(equals, key=lambda row: (row["log_loss"], row["deficit"]))
    return chosen


def advice() -> list[str]:
    data, similarity = read("advice.json"), read("similarity.json")
    if data is None or similarity is None:
        return []
    sizes = ("5", "20", "all")
    lines = [
        "## Advice",
        "",
        f"From {data['cells']} cells of the table of strategies: {data['units']} units of set, size and network, seeds averaged. "
        "What is said of a set was fitted without it (`advice.py`).",
        "",
        "Forecast of what a strategy gains over the last layer, from cross-validation on the images to train on, and its "
        "gain on the test images: mean absolute error in points by images a class, that of the mean gain in brackets; and "
        "the share of units inside the 80 % interval. What was measured of linear strategies changes what is expected of the "
        "others.",
        "",
        "| forecast from the gains | strategy | 5 | 20 | all | inside | 5 / 20 / all |",
        "|---|---|---|---|---|---|---|",
    ]
    for known, by_strategy in data["forecasts"].items():
        for name, row in by_strategy.items():
            error, plain = row["mean_absolute_error"], row["of_the_mean_gain"]
            cells = " | ".join(f"{error[size]:.1f} ({plain[size]:.1f})" for size in sizes)
            inside = " / ".join(f"{row['covered_percent_by_size'][size]} %" for size in sizes)
            lines.append(f"| {known} | {name} | {cells} | {row['covered_percent']} % | {inside} |")
    lines += [
        "",
        "Following the advice before anything is tuned, and fixed rules: points lost beyond tuning all layers always (95 % "
        "interval over sets; negative is better), units within a point of the best strategy, geometric mean of the seconds "
        "relative to tuning all layers always.",
        "",
        f"| policy | {' | '.join(f'{size}: points | {size}: within | {size}: seconds' for size in sizes)} |",
        f"|---|{'---|' * 9}",
    ]
    for name, by_size in data["policies"].items():
        cells = [
            f"{span(by_size[size]['beyond_all_tuned'])} | {by_size[size]['within_a_point_percent']} % | "
            f"{by_size[size]['seconds_ratio']:.2f}"
            for size in sizes
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if data["wrong"]:
        lines += ["", "Units in which the advice loses more than two points against the best strategy:", ""]
        lines += [
            f"- {row['set']}, {row['size']} a class, {row['network']}: {row['advised']} was advised, {row['best']} gained "
            f"{row['points']} points more"
            for row in data["wrong"]
        ]
    lines += [
        "",
        "How far behind the best expectation a cheaper strategy may be (`WORTH_POINTS`), over all sizes: "
        + "; ".join(
            f"{tolerance}: {span(row['beyond_all_tuned'])} points beyond tuning all layers always, "
            f"{row['seconds_ratio']:.2f} of its seconds"
            for tolerance, row in data["worth_points"].items()
        )
        + ".",
    ]
    tried = data["boundaries"]
    spread = [row["behind_the_best"]["mean"] for row in tried["grid"]]
    lines += [
        "",
        f"Boundaries of the rule of thumb: with {len(spread)} pairs of them (from none to all data called large, or different) "
        f"it loses {min(spread):.1f} to {max(spread):.1f} points against the best strategy, in the mean of sets; with ours "
        f"{span(tried['behind_the_best_with_ours'])}, with those that were best for the other sets "
        f"({'; '.join(tried['chosen_for_the_others'])}) {span(tried['behind_the_best_with_those'])}.",
        "",
        "| images a class, at least | "
        + " | ".join(f"{entropy:g} nats" for entropy in dict.fromkeys(row["entropy"] for row in tried["grid"]))
        + " |",
        "|---|" + "---|" * len({row["entropy"] for row in tried["grid"]}),
    ]
    for per_class in dict.fromkeys(row["per_class"] for row in tried["grid"]):
        cells = " | ".join(
            f"{row['behind_the_best']['mean']:.1f}" for row in tried["grid"] if row["per_class"] == per_class
        )
        lines.append(f"| {'never large' if per_class > 1e6 else f'{per_class:g}'} | {cells} |")
    lines += [
        "",
        "The four situations of the CS231n note (boundaries: `core/advice.py`): points over the last layer, means of sets with "
        "95 % intervals over sets.",
        "",
    ]
    for name, row in data["quadrants"].items():
        lines += [
            f"**{name}** ({row['units']} units; {', '.join(row['sets'])}); the rule says: {row['rule']}",
            "",
            "| strategy | gain |",
            "|---|---|",
            *(f"| {strategy} | {span(gain)} |" for strategy, gain in row["gains"].items() if strategy != "last layer"),
            "",
        ]
    lines += [
        "Rank correlation (Spearman, over units) of measures of similarity with the share of the last layer's errors that "
        "tuning all layers removes, and with the depth of the best layer; 95 % intervals by resampling sets:",
        "",
        f"| measure | {' | '.join(f'errors, {size}' for size in sizes)} | {' | '.join(f'depth, {size}' for size in sizes)} |",
        f"|---|{'---|' * 6}",
    ]
    for name, row in data["rank_correlations"].items():
        cells = [
            f"{row[what][size]['rho']:.2f} ({row[what][size]['low']:.2f} to {row[what][size]['high']:.2f})"
            for what in ("share_of_errors_removed", "depth")
            for size in sizes
        ]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Mean entropy of the source classifier's answers, in nats ({similarity['gauge']} at {similarity['input_px']} px):",
        "",
        "| images | entropy |",
        "|---|---|",
    ]
    for name, row in sorted(similarity["sets"].items(), key=lambda item: item[1]["entropy"]):
        lines.append(f"| {name} | {row['entropy']:.2f} |")
    return [*lines, "", machine(data["machine"]), ""]


def gauges() -> list[str]:
    data = read("gauges.json")
    if data is None:
        return []
    lines = [
        "## Other networks as gauges of similarity",
        "",
        "Mean entropy of each network's own classifier on at most 256 images of twelve sets, relative to that on photographs of "
        "its source, beside the same of the embedded default (`gauges.py`):",
        "",
        "| network | rank correlation | differs by, on average |",
        "|---|---|---|",
    ]
    for name, row in data["beside_the_gauge"].items():
        lines.append(f"| {name} | {row['rank_correlation']:.2f} | {100 * (2 ** row['off_log2'] - 1):.0f} % |")
    return [*lines, "", machine(data["machine"]), ""]


def advise() -> list[str]:
    rows = read("advise.jsonl")
    if not rows:
        return []
    lines = [
        "## What `graft advise` says on every set",
        "",
        "Default options, an empty cache, a new process each (`advise.py`). *Beyond the extraction*: all stages but that of the "
        "codes.",
        "",
        "| set | images to develop on | entropy | rule says | measured says | agree | seconds | beyond the extraction | MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        beyond = row["seconds"] - row["stage_seconds"]["codes"]
        lines.append(
            f"| {row['set']} | {row['images']} | {row['entropy']:.2f} | {row['situation']} | {row['measured_says']} | "
            f"{'yes' if row['agree'] else 'no'} | {row['seconds']:.0f} | {beyond:.0f} | {row['memory_mb']} |"
        )
    return [*lines, "", *machines(rows), ""]


def order() -> list[str]:
    rows = read("order.jsonl")
    if not rows:
        return []
    lines = [
        "## The order of the tournament: by forecast, and the same for all data",
        "",
        "Embedded default at 96 px (`order.py`). Seconds until the choice was reached, and test accuracy in per cent, paired.",
        "",
        "| limit | set | fixed: chosen | seconds | accuracy | forecast: chosen | seconds | accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sides = ("fixed", "forecast")
    for row in rows:
        cells = [
            f"{row[side]['chosen']} | {row[side]['reached_seconds']:.0f} | {percent_right(row[side]['right']):.1f}"
            for side in sides
        ]
        lines.append(f"| {row['limit_seconds']} s | {row['set']} | {' | '.join(cells)} |")
    lines.append("")
    for limit in sorted({row["limit_seconds"] for row in rows}):
        some = [row for row in rows if row["limit_seconds"] == limit]
        ratios = [row["forecast"]["reached_seconds"] / row["fixed"]["reached_seconds"] for row in some]
        lost = [percent_right(row["fixed"]["right"]) - percent_right(row["forecast"]["right"]) for row in some]
        lines.append(
            f"At {limit} s: the choice is reached in {statistics.median(ratios):.2f} of the seconds (median of {len(some)} sets; "
            f"asked 0.8), and {interval(lost)} points of accuracy are lost (asked: upper end at most 0.5).  "
        )
    return [*lines, "", *machines(rows), ""]


def percent_right(right: str) -> float:
    return 100 * right.count("1") / len(right)


def networks() -> list[str]:
    data = read("networks.json")
    if data is None:
        return []
    sets = max(row["sets"] for row in data["orders"].values())
    lines = [
        "## Which network",
        "",
        f"Ten networks on {sets} sets, trained on 20 images a class ({data['lines']} measurements; `networks.py`). Regret: points "
        "of test accuracy (of the linear classifier on the layer that cross-validation chooses) lost against the best network; "
        "weighted tau between the order and the truth; means of sets with 95 % intervals. *Probe and …*: weights of the two chosen "
        "with each set left out in turn.",
        "",
        "| order by | regret | weighted tau |",
        "|---|---|---|",
    ]
    for name, row in sorted(data["orders"].items(), key=lambda item: item[1]["regret"]["mean"]):
        regret, tau = row["regret"], row["tau"]
        cells = f"{regret['mean']:.1f} ({regret['low']:.1f} to {regret['high']:.1f})".replace("-", "\N{MINUS SIGN}")
        lines.append(f"| {name} | {cells} | {tau['mean']:.2f} ({tau['low']:.2f} to {tau['high']:.2f}) |")
    return [*lines, "", machine(data["machine"]), ""]


def caffe() -> list[str]:
    data = read("caffe.json")
    if data is None:
        return []
    grid, train = data["grid"], data["train"]
    lines = [
        "## Networks of Caffe",
        "",
        f"Against OpenCV {data['opencv']}'s reader, largest error over largest value of a blob (at most {data['limit']:g}; "
        "`caffe.py`; weights but SqueezeNet's are random):",
        "",
        "| network | blobs | worst |",
        "|---|---|---|",
        *(f"| {row['network']} | {row['blobs']} | {row['worst_error']:.1e} |" for row in data["networks"]),
        "",
        f"Small layers, one by one: pooling {grid['pooling']['compared']:,} compared, "
        f"{grid['pooling']['refused: pad that is smaller']:,} refused by name for a pad not below the kernel and "
        f"{grid['pooling']['refused: window is empty']:,} for an empty window; local response normalisation "
        f"{grid['lrn']['compared']:,} compared, {grid['lrn']['refused: odd local_size']:,} of even size refused. Worst errors: "
        + ", ".join(f"{name} {error:.0e}" for name, error in grid["worst_error"].items())
        + ".",
        "",
        "Where torch's own `ceil_mode` would not do:",
        "",
        "| kernel | stride | pad | torch |",
        "|---|---|---|---|",
    ]
    for row in grid["torch_ceil_mode_differs"]:
        at = row["other_windows_at_px"]
        what = "refuses" if row["torch_refuses"] else f"another number of windows at {len(at)} sizes of 5 to 64 px"
        lines.append(f"| {row['kernel']} | {row['stride']} | {row['pad']} | {what} |")
    rates = ", ".join(f"{row['engine']} {row['ratio']:.2f}" for row in data["speed"])
    low, high = train["interval"]
    return [
        *lines,
        "",
        f"Speed of SqueezeNet relative to torchvision's own, same weights: {rates}. A linear classifier on its codes, "
        f"{train['data']}: {100 * train['test_accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f}).",
        "",
        machine(data["machine"]),
        "",
    ]


def span(row: dict[str, Any]) -> str:
    """A mean with its interval over sets; where two sets or fewer have it, the mean alone."""
    mean = f"{row['mean']:+.1f}".replace("-", "\N{MINUS SIGN}")
    if row["sets"] < 3:
        return f"{mean} ({row['sets']} sets)"
    return f"{mean} ({row['low']:.1f} to {row['high']:.1f})".replace("-", "\N{MINUS SIGN}")


def commands(data: Any) -> list[str]:
    rows = [f"| {name} | {row['median_seconds']:.2f} |" for name, row in data["commands"].items()]
    return [
        "## Whole commands, each in a new process",
        "",
        "| command | median seconds |",
        "|---|---|",
        *rows,
        "",
        "Target: help under 0.3 s, one prediction under 3 s, a linear classifier of 397 ants and bees (engine measured, no "
        "codes cached) in 5 s.",
        "",
        machine(data["machine"]),
        "",
    ]


def extraction(data: Any) -> list[str]:
    lines = [
        "## From JPEG files (768 x 512) to codes at 224 px",
        "",
        "| network | speed relative to a PyTorch loop | target (bf16 / AVX2) | share of 1 / (1/decode + 1/forward) |",
        "|---|---|---|---|",
    ]
    for row in data["networks"]:
        lines.append(
            f"| {row['network']} | {row['times_peers']:.2f} | {row['target_with_bf16']} / {row['target_on_avx2_alone']} | "
            f"{100 * row['share_of_ideal']:.1f} % |"
        )
    again = data["again"]
    lines += [
        "",
        f"ResNet-50, {again['images']} JPEGs, extracted a second time: codes {again['codes_ratio']:.0f} times faster "
        f"({again['codes_first_seconds']:.0f} s to {again['codes_second_seconds']:.2f} s), whole command "
        f"{again['command_ratio']:.0f} times ({again['command_first_seconds']:.0f} s to "
        f"{again['command_second_seconds']:.1f} s). Target: 30 times, with no image decoded; 85 % of the rate that decoding and the forward pass allow together.",
        *_short_extraction(data),
        "",
        machine(data["machine"]),
        "",
    ]
    return lines


def _short_extraction(data: Any) -> list[str]:
    """Name what misses its target relative to the PyTorch loop, and the best that is possible."""
    key = target(data)
    missed = [
        f"{row['network']} ({row['times_peers']:.2f} of {row[key]}; decoding and the forward pass at their best rates would give "
        f"{row['ideal_images_per_second'] / row['images_per_second']['peers']:.2f})"
        for row in data["networks"]
        if row["times_peers"] < row[key]
    ]
    return ["", f"Below target: {', '.join(missed)}."] if missed else []


def large() -> list[str]:
    data = read("large.json")
    if not data:
        return []
    linear = data["linear"]
    return [
        "## 100,000 images: tiny-imagenet through the embedded default at 64 px",
        "",
        "| | seconds | peak memory, MB |",
        "|---|---|---|",
        *(
            f"| extraction, {name} | {row['seconds']:.0f} | {row['peak_mb']:.0f} |"
            for name, row in data["extract"].items()
        ),
        *(
            f"| {loss} on {linear['images']} x {linear['width']} {linear['dtype']} codes, {linear['classes']} classes: choose C, "
            f"refit ({linear[loss]['accuracy_percent']:.1f} % out of fold) | {linear[loss]['choose_seconds']:.0f} + "
            f"{linear[loss]['refit_seconds']:.0f} | {linear[loss]['peak_mb_so_far']:.0f} |"
            for loss in ("softmax", "svm")
            if loss in linear
        ),
        "",
        "Target: extraction under 2 GB, the linear classifier under 4 GB.",
        "",
        machine(data["machine"]),
        "",
    ]


def strategies() -> list[str]:
    cells = read("strategies.jsonl")
    if not cells:
        return []
    names = list(dict.fromkeys(kind(name) for cell in cells for name in cell["strategies"]))
    columns = [name for name in names if "WiSE-FT" not in name]
    lines = [
        "## Which strategy wins where",
        "",
        "Accuracy in per cent on up to 400 images that were not trained on; the highest of each row in bold. Fine-tuned are: the "
        "layers above the highest cut that is tried by default, those above the lowest stages, all layers, and those above the "
        "lowest stages at 64 px; 8 views: averaged over as many of an image; WiSE-FT: fine-tuned weights averaged with those of "
        "the linear model (alpha 0.5). Seeds differ in the images that are trained on.",
        "",
        f"| set | backbone | per class | seed | test | {' | '.join(columns)} |",
        f"|---|---|---|---|---|{'---|' * len(columns)}",
    ]
    for cell in sorted(cells, key=lambda c: (c["backbone"], str(c["size"]), c["set"], c["seed"])):
        percent = {kind(name): row["percent"] for name, row in cell["strategies"].items()}
        best = max(percent.get(n, 0.0) for n in columns)
        shown = [
            f"**{percent[n]:.1f}**" if percent.get(n) == best else f"{percent[n]:.1f}" if n in percent else ""
            for n in columns
        ]
        lines.append(
            f"| {cell['set']} | {cell['backbone']} at {cell['input_px']} px | {cell['size']} | {cell['seed']} | {cell['test']} | "
            f"{' | '.join(shown)} |"
        )
    lines += ["", *mean_gains(cells, LAST, "the last layer's linear model", names)]
    lines += ["", *mean_gains(cells, BEST, "the linear model on the best layer", names)]
    planned = 9 * 3 * 3 + 4 * 3 * 3
    lines += ["", "![Gain of each strategy, cell by cell](results/strategies.svg)"]
    done = sum(cell["set"] != "tiny-imagenet" for cell in cells)
    lines += [
        "",
        f"Coverage: {done} of {planned} cells, and {len(cells) - done} of tiny-imagenet.",
        "",
        *machines(cells),
        "",
    ]
    return lines


@dataclasses.dataclass(frozen=True)
class Gain:
    """Points of a strategy over another in one cell."""

    set: str
    backbone: str
    points: float


def gains_by_size(cells: list[dict[str, Any]], over: str) -> dict[str, dict[str, list[Gain]]]:
    """Return the gain over one strategy in each cell, by size and strategy."""
    gains: dict[str, dict[str, list[Gain]]] = {}
    for cell in cells:
        percent = {kind(name): row["percent"] for name, row in cell["strategies"].items()}
        for name, value in percent.items():
            at = gains.setdefault(str(cell["size"]), {}).setdefault(name, [])
            at.append(Gain(cell["set"], cell["backbone"], value - percent[over]))
    return gains


def means_of_sets(gains: list[Gain]) -> list[float]:
    """Return one mean per set: seeds and networks on the same images are no independent evidence."""
    by_set: dict[str, list[float]] = {}
    for gain in gains:
        by_set.setdefault(gain.set, []).append(gain.points)
    return [float(np.mean(points)) for points in by_set.values()]


def mean_gains(cells: list[dict[str, Any]], over: str, in_words: str, names: list[str]) -> list[str]:
    others = [name for name in names if name != over]
    lines = [
        f"Mean gain over {in_words} in points (95 % interval, sets as units), and the number of cells with a gain:",
        "",
        f"| per class | cells | sets | {' | '.join(others)} |",
        f"|---|---|---|{'---|' * len(others)}",
    ]
    for size, by_name in gains_by_size(cells, over).items():
        row = []
        for name in others:
            gains = by_name.get(name, [])
            more = sum(gain.points > 0 for gain in gains)
            row.append(f"{interval(means_of_sets(gains))}, {more} of {len(gains)}" if gains else "")
        sets = {gain.set for gain in by_name[over]}
        lines.append(f"| {size} | {len(by_name[over])} | {len(sets)} | {' | '.join(row)} |")
    return lines


def selection() -> list[str]:
    cells = read("selection.jsonl")
    if not cells:
        return []
    rules = list(cells[0]["percent"])
    lines = [
        "## How to choose among layers that cost the same",
        "",
        "Gain in points of each rule over the softmax on the last layer: mean (95 % interval, cells as units), and the worst cell.",
        "",
        f"| per class | cells | {' | '.join(rules[1:])} |",
        f"|---|---|{'---|' * (len(rules) - 1)}",
    ]
    for size in dict.fromkeys(cell["size"] for cell in cells):
        of_size = [cell["percent"] for cell in cells if cell["size"] == size]
        shown = []
        for rule in rules[1:]:
            gains = [percent[rule] - percent[rules[0]] for percent in of_size]
            shown.append(f"{interval(gains)}, worst {min(gains):+.1f}")
        lines.append(f"| {size} | {len(of_size)} | {' | '.join(shown)} |")
    return [
        *lines,
        "",
        "graftwork's rule was changed from the fewest errors to the lowest log loss after the results of other seeds of these "
        "sets were known; it has no constant to tune.",
        "",
        *machines(cells),
        "",
    ]


def recipes() -> list[str]:
    cells = read("recipes.jsonl")
    if not cells:
        return []
    names = list(dict.fromkeys(name for cell in cells for name in cell["recipes"]))
    around = [name for name in names if name.startswith(f"{FULL_RATE}, ")]
    patient = [c["recipes"] for c in cells if f"{FULL_RATE}, patience 5" in c["recipes"]]
    ran = ", ".join(str(row[f"{FULL_RATE}, patience 5"]["epochs"]) for row in patient)
    of = ", ".join(str(row[FULL_RATE]["epochs"]) for row in patient)
    return [
        "## Other recipes compared with the default one",
        "",
        "All layers fine-tuned: accuracy in per cent with the recipe of the first column, and the gain of each change in points "
        "with its 95 % interval (paired, images as units). `lp-ft` is the default: its learning rate is 0.001 times batch size "
        "/ 32.",
        "",
        *_comparison(cells, "lp-ft", [name for name in names if name not in around]),
        *_leave_one_out(cells),
        "Changes to the former default, learning rate 0.001 whatever the batch size:",
        "",
        *_comparison(cells, FULL_RATE, around),
        "`norms`, `ema`, `l2-sp` and `mixup` were not clearly better in any cell, and were removed; LoRA (`low rank`) was not "
        "added: PEFT needs transformers, and LoRA gains over the default in one cell at most. `patience 5` stops by the images "
        f"that it is tested on, its best case; it ran {ran} epochs of {of}.",
        "",
        *machines(cells),
        "",
    ]


FULL_RATE = "lr 0.001"


def precision() -> list[str]:
    cells = read("precision.jsonl")
    if not cells:
        return []
    gains: dict[str, list[float]] = {}
    for cell in cells:
        percent = {name: row["percent"] for name, row in cell["recipes"].items()}
        gains.setdefault(cell["set"], []).append(percent["in bfloat16"] - percent["in float32"])
    points = [value for each in gains.values() for value in each]
    sets = [statistics.mean(each) for each in gains.values()]
    return [
        "## Training in bfloat16 and in float32",
        "",
        "The whole recipe, all layers, the embedded default at 96 px, 20 images a class, the same cells in both precisions "
        f"(`recipes.py`): bfloat16 minus float32 {interval(points)} points over {len(points)} cells; with sets as units "
        f"{interval(sets)}. Largest in one set: {max(gains, key=lambda name: abs(statistics.mean(gains[name])))}, "
        f"{max((statistics.mean(each) for each in gains.values()), key=abs):+.1f}.",
        "",
        *machines(cells),
        "",
    ]


def _comparison(cells: list[dict[str, Any]], base: str, names: list[str]) -> list[str]:
    """Return a table that compares recipes with a base, on the cells that have it, and the means."""
    others = [name for name in names if name != base]
    inside = [cell for cell in cells if base in cell["recipes"] and set(others) & set(cell["recipes"])]
    if not inside:
        return []
    lines = [
        f"| set | backbone | per class | seed | test | {base} | {' | '.join(others)} |",
        f"|---|---|---|---|---|---|{'---|' * len(others)}",
    ]
    means: dict[str, list[float]] = {}
    for cell in inside:
        right = {name: np.array(list(text), int) for name, text in cell["right"].items()}
        shown = [f"{100 * right[base].mean():.1f}"]
        for name in others:
            if name not in right:
                shown.append("")
                continue
            apart = 100.0 * (right[name] - right[base])
            means.setdefault(name, []).append(float(apart.mean()))
            half = 1.96 * apart.std(ddof=1) / len(apart) ** 0.5
            shown.append(f"{apart.mean():+.1f} ({apart.mean() - half:+.1f} to {apart.mean() + half:+.1f})")
        lines.append(
            f"| {cell['set']} | {cell['backbone']} | {cell['size']} | {cell['seed']} | {cell['test']} | {' | '.join(shown)} |"
        )
    mean_of = "; ".join(f"{name} {interval(gains)} in {len(gains)}" for name, gains in means.items())
    return [*lines, "", f"Mean over cells (95 % interval, cells as units): {mean_of}.", ""]


def _leave_one_out(cells: list[dict[str, Any]]) -> list[str]:
    """Choose the learning rate for each set by all other sets, and return its gain over that of a full batch."""
    rates = ["lp-ft", *sorted({name for c in cells for name in c["recipes"] if name[:3] == "lr " and "," not in name})]
    by_set: dict[str, list[dict[str, float]]] = {}
    for cell in cells:
        if set(rates) <= set(cell["recipes"]):
            percent = {name: cell["recipes"][name]["percent"] for name in rates}
            by_set.setdefault(cell["set"], []).append({n: value - percent[FULL_RATE] for n, value in percent.items()})
    if len(by_set) < 3:
        return []
    mean = {name: {n: float(np.mean([row[n] for row in rows])) for n in rates} for name, rows in by_set.items()}
    shown, gains = [], []
    for name, own in mean.items():
        best = max(rates, key=lambda n, name=name: np.mean([of[n] for other, of in mean.items() if other != name]))
        gains.append(own[best])
        shown.append(f"{name} {own[best]:+.1f} ({best})")
    return [
        f"Gain on each set over {FULL_RATE} with the learning rate that is best on all other sets (in brackets): "
        f"{', '.join(shown)}; mean {interval(gains)}.",
        "",
    ]


PEERS_BACKBONE = "mobilenetv2_100"
LAST, BEST = "linear, last layer", "linear, best layer"
LOWEST = "blocks.1"
"""Above which the lowest stages of both networks end."""


def kind(strategy: str) -> str:
    """Return a strategy in short, without the name of the layer above which it fine-tunes."""
    if strategy.startswith("linear"):
        return strategy
    base, _, how = strategy.partition(", ")
    short = {"all layers tuned": "all layers", f"tuned above {LOWEST}": "above the lowest"}.get(base, "above a cut")
    name = base.rpartition(" at ")[2] if " at " in base else short
    return f"{name}, {how.removesuffix(' alpha 0.5')}" if how else name


def interval(values: list[float]) -> str:
    """Mean with its interval over cells, by the t distribution."""
    mean = np.mean(values)
    if len(values) < 2:
        return f"{mean:+.1f}"
    half = half_interval(values)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def half_interval(values: list[float]) -> float:
    """Half of the 95 % interval of a mean over cells."""
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


def peers(cells: Any) -> list[str]:
    of_all = [cell for cell in cells if cell["size"] == "all"]
    places = {
        "every cell": cells,
        "20 per class": [cell for cell in cells if cell["size"] == "20"],
        "all images": of_all,
        "all images, without hymenoptera": [cell for cell in of_all if cell["set"] != "hymenoptera"],
    }
    return [
        "## Against fastai's fine_tune and the tutorial's loop, in the same seconds",
        "",
        "MobileNetV2 (ImageNet) with the same weights, splits and input size; accuracy in per cent on the same test images. "
        "fastai runs its own recipe; the others get the seconds that it took, for graftwork with extraction and selection. The "
        "tutorial trains in batches of four with batch norm statistics of these four images, and is far behind after so few "
        "epochs. fastai drops incomplete batches: on 40 images it takes one step per epoch.",
        "",
        *peer_cells(cells),
        "",
        "Mean gain of graftwork over each, paired, in points, with two 95 % intervals: cells as units, and sets as units, which "
        "says what to expect on another set. Target: at least +3 over fastai and the tutorial; at least +5 over the linear probe "
        "on all images without hymenoptera.",
        "",
        *peer_gains(places),
        "",
        f"Coverage: {len(cells)} of 24 cells.",
        "",
        *machines(cells),
        "",
    ]


def peers_before() -> list[str]:
    by_kind = {kind: cells for kind in PROCESSORS if (cells := read(f"peers_before.{kind}.jsonl"))}
    if not by_kind:
        return []
    every = [cell for cells in by_kind.values() for cell in cells]
    places = {
        f"{size} per class, {kind}" + (f", {times} times fastai's epochs" if times > 1 else ""): [
            cell for cell in cells if (cell["size"], cell["times"]) == (size, times)
        ]
        for kind, cells in by_kind.items()
        for size, times in dict.fromkeys((cell["size"], cell["times"]) for cell in cells)
    }
    places["every cell in fastai's own seconds"] = [cell for cell in every if cell["times"] == 1]
    tables = [line for kind, cells in by_kind.items() for line in (f"On {kind}:", "", *peer_cells(cells), "")]
    return [
        "## Before and after beside fastai, in the same seconds",
        "",
        f"As above, with the checkout before the work on speed ({every[0]['commits']['before']}) and a later one "
        f"({', '.join(dict.fromkeys(cell['commits']['now'] for cell in every))}) in one run (`peers.py --before`).",
        "",
        *tables,
        "Mean gain of graftwork over each, as above. Target: at least +1 over the checkout before, interval over cells above 0. "
        "Cells of one set and split on both processors are counted as two.",
        "",
        *peer_gains(places),
        "",
        *machines(every),
        "",
    ]


def peer_cells(cells: Any) -> list[str]:
    """What each system reached in how many seconds, cell by cell."""
    systems = list(cells[0]["systems"])
    rows = []
    for cell in cells:
        shown = [
            f"{cell['systems'][s]['percent']:.1f} ({cell['systems'][s].get('seconds', float('nan')):.0f} s)"
            for s in systems
        ]
        rows.append(
            f"| {cell['set']} | {cell['size']} | {cell['seed']} | {cell.get('input_px', '')} | {cell['test']} | "
            f"{' | '.join(shown)} | {cell['systems']['graftwork']['chosen']} |"
        )
    return [
        f"| set | per class | seed | px | test | {' | '.join(systems)} | graftwork chose |",
        f"|---|---|---|---|---|{'---|' * len(systems)}---|",
        *rows,
    ]


def peer_gains(places: dict[str, Any]) -> list[str]:
    """Mean gain of graftwork over each other system, for some of the cells at a time."""
    first = next(iter(places.values()))[0]
    others = [system for system in first["systems"] if system != "graftwork"]
    lines = [f"| cells | {' | '.join(others)} |", f"|---|{'---|' * len(others)}"]
    for place, inside in places.items():
        if not inside:
            continue
        row = []
        for other in others:
            percent = [(cell["set"], *(cell["systems"][s]["percent"] for s in ("graftwork", other))) for cell in inside]
            gains = [Gain(name, PEERS_BACKBONE, ours - theirs) for name, ours, theirs in percent]
            row.append(f"{interval([gain.points for gain in gains])}; sets {interval(means_of_sets(gains))}")
        lines.append(f"| {place}: {len(inside)} | {' | '.join(row)} |")
    return lines


def prefix(data: Any) -> list[str]:
    lines = [
        "## Cached activations: seconds per epoch above a cut, 224 px, 400 JPEGs",
        "",
        "| network | frozen up to | bytes per image | PyTorch loop, s | graftwork, whole network, s | graftwork, cached, s | speed "
        "relative to the PyTorch loop (target 3) | share of the speedup that operation counts allow (target 0.8) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rows in data["seconds"].values():
        for row in rows:
            seconds = row["seconds_per_epoch"]
            lines.append(
                f"| {row['network']} | {row['frozen_to']} | {row['bytes_per_image']:,} | {seconds['peers']:.1f} | "
                f"{seconds['through']:.1f} | {seconds['cached']:.1f} | {row['times_peers']:.1f} | "
                f"{row['share_of_possible_speedup']:.2f} |"
            )
    lines += ["", *machines([row for rows in data["seconds"].values() for row in rows]), ""]
    return [*lines, *(prefix_accuracy(data["accuracy"]) if data["accuracy"] else [])]


def prefix_accuracy(rows: list[Any]) -> list[str]:
    lines = [
        f"Accuracy of fine-tuning above {rows[0]['frozen_to']} of {rows[0]['backbone']} at {rows[0]['input_px']} px: difference "
        "in points to running the whole network in every epoch on the same augmented views (95 % interval, cells as units; "
        "target: within 0.5). Rounding alone: the whole network again, with float32 below the cut.",
        "",
        "| per class | cells | test | whole network, % | cached | rounding alone | images classified differently: cached | rounding "
        "alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sizes = dict.fromkeys(row["size"] for row in rows)
    parts = {size: [row for row in rows if row["size"] == size] for size in sizes}
    for size, inside in (parts | {"both": rows} if len(parts) > 1 else parts).items():
        tested = sum(row["test"] for row in inside)
        points = {
            how: interval([row["percent"][how] - row["percent"]["through"] for row in inside])
            for how in ("cached", "again")
        }
        differ = {how: sum(row["images_that_differ"][how] for row in inside) / tested for how in points}
        lines.append(
            f"| {size} | {len(inside)} | {tested} | {np.mean([row['percent']['through'] for row in inside]):.1f} | "
            f"{points['cached']} | {points['again']} | {differ['cached']:.1%} | {differ['again']:.1%} |"
        )
    return [*lines, "", *machines(rows), ""]


def exports() -> list[str]:
    rows = read("export.jsonl")
    if not rows:
        return []
    measured = [row for row in rows if row["what"] == "parity" and "refused" not in row]
    refused = [row for row in rows if row["what"] == "parity" and "refused" in row]
    ways = {("onnx", "image"): "image", ("onnx", "fixed"): "fixed", ("openvino", "fixed"): "OpenVINO"}
    lines = [
        "## Exported files",
        "",
        "A linear classifier on up to 12 images a class of each set, exported in three ways; each file against `predict` in "
        f"float32 on pictures of many sizes and ratios ({sum(row['pictures'] for row in measured):,} comparisons in all; "
        "`export.py`). Largest difference of a probability (at most 0.01, or the file is not written) and the largest median "
        "over pictures (at most 0.0001); decisions that differ where the margin is above a point; the largest size of a file "
        "relative to the weights in it, where these are 1 MB or more (a head on the first layers needs few KB). "
        + (f"Not written: {len(refused)} of {len(measured) + len(refused)}." if refused else "Every file was written."),
        "",
        "| network | file | sets | largest | median | other class | size |",
        "|---|---|---|---|---|---|---|",
    ]
    for network in dict.fromkeys(row["network"] for row in measured):
        for way, title in ways.items():
            of = [row for row in measured if row["network"] == network and (row["to"], row["input"]) == way]
            if of:
                size = max(row["size_mb"] / row["weights_mb"] for row in of if row["weights_mb"] >= 1)
                lines.append(
                    f"| {network} | {title} | {len(of)} | {max(row['largest'] for row in of):.1g} | "
                    f"{max(row['median'] for row in of):.1g} | {sum(row['other_class'] for row in of)} | {size:.3f} |"
                )
    lines += [
        "",
        "Speed of the network in a file, without resizing, relative to our engine in float32 (images a second of it: "
        "`ours`); on one core by its own clock, on all cores by the wall's. Asked: 0.85 in onnxruntime, 0.95 in OpenVINO.",
        "",
        "| network | cores | ours | onnxruntime | OpenVINO | load |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["what"].startswith("speed, "):
            cells = (row["images_per_second"]["ours"], row["ratio"]["onnxruntime"], row["ratio"]["OpenVINO"])
            load = "" if row["load_average"] is None else row["load_average"][0]
            cores = row["what"].removeprefix("speed, ").removesuffix(" cores").removesuffix(" core")
            lines.append(f"| {row['network']} | {cores} | {cells[0]:.0f} | {cells[1]:.2f} | {cells[2]:.2f} | {load} |")
    return [*lines, "", *machines(rows), ""]


def runtimes() -> list[str]:
    rows = read("runtimes.jsonl")
    if not rows:
        return []
    return [
        f"The samples of a file of `--input fixed` ({rows[0]['samples']} of the embedded default on hymenoptera) in other "
        "runtimes (`runtimes.py`):",
        "",
        "| runtime | version | largest difference of a probability | class |",
        "|---|---|---|---|",
        *(
            f"| {row['runtime']} | {row['version']} | {row['largest']:.1g} | {'the same' if row['same_class'] else 'another'} |"
            for row in rows
        ),
        "",
        *machines(rows),
        "",
    ]


def families() -> list[str]:
    rows = read("families.jsonl")
    if not rows:
        return []
    refused = [row for row in rows if "refused" in row]
    taken = [row for row in rows if "refused" not in row]
    linear = [row for row in taken if row["as_classifier"] is not None]
    other = [row["network"] for row in taken if not row["as_forward_head"]]
    several = [row["network"] for row in linear if not row["as_classifier"]]
    lines = [
        "## Families of timm",
        "",
        f"The smallest network of each of {len(rows)} families, with random weights (`families.py`). The last layer is what "
        f"timm's `forward_head` gives before the classifier in {len(taken) - len(other)} of {len(taken)}"
        + (f" (not in {', '.join(other)})" if other else "")
        + f"; where the classifier is one matrix ({len(linear)}), it makes the network's logits of that in "
        f"{len(linear) - len(several)}"
        + (
            f", and {', '.join(several)} average two classifiers, of which graftwork takes the input of the first"
            if several
            else ""
        )
        + f". Refused: {len(refused)}.",
        "",
        *(f"- {row['network']}: {row['refused']}" for row in refused),
        "",
    ]
    return [*lines, *machines(rows), ""]


def eight_bits() -> list[str]:
    rows = read("int8.jsonl")
    if not rows:
        return []
    speeds = [row for row in rows if row["what"] == "speed, one core"]
    losses = [row for row in rows if row["what"] == "loss"]
    lines = [
        "## Networks in 8 bits",
        "",
        "Images a second of a processor's own time, on one core, one process, in turns (`int8.py`). Asked: 1.8 times as many "
        "in onnxruntime, 2.4 in OpenVINO, where the processor has VNNI.",
        "",
        "| network | onnxruntime float32 | 8 bits | ratio | dynamic | OpenVINO float32 | 8 bits | ratio | MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in speeds:
        rates, size = row["images_per_processor_second"], row["size_mb"]
        dynamic = f"{rates['onnxruntime dynamic']:.0f}" if "onnxruntime dynamic" in rates else ""
        lines.append(
            f"| {row['network']} | {rates['onnxruntime float32']:.0f} | {rates['onnxruntime int8']:.0f} | "
            f"{row['ratio']['onnxruntime']:.2f} | {dynamic} | {rates['openvino float32']:.0f} | "
            f"{rates['openvino int8']:.0f} | {row['ratio']['openvino']:.2f} | {size['float32']:.1f} to {size['int8']:.1f} |"
        )
    lines += [
        "",
        "Softmax on the last layer, five folds, up to 500 images a set: decisions that are the same as in float32, and accuracy "
        "lost (points, 95 % interval). *Unchanged*: heads fitted on codes in float32, as `graft export --int8` has them; "
        "*refitted*: on codes in 8 bits, as `graft train --engine int8` does. *One scale a tensor* is what quantisers do unless "
        "told otherwise.",
        "",
        "| network | set | runtime | head | the same | lost | error of the codes |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['set']} | {row['runtime']} | {row['head']} | {row['equal']:.1%} | {100 * row['loss']:.1f} "
        f"({100 * row['low']:.1f} to {100 * row['high']:.1f}) | {row['error_of_codes']:.2f} |"
        for row in losses
    ]
    return [*lines, "", *machines(rows), ""]


def service(data: Any) -> list[str]:
    rate, memory, ends = data["rate"], data["memory"], data["shutdown"]
    hostile, after = data["hostile"], data["memory"]["megabytes_after_each_tenth"]
    answered = sum(ends["ends"].values())
    return [
        "## The service",
        "",
        f"{data['connections']} connections, JPEG files of {rate['kilobytes']:.0f} KB; client and service share the machine "
        f"(`serve.py`). In the client's own process `predict` did {rate['in_process_per_second']:.1f} images a second, the service "
        f"{rate['service_per_second']:.1f}: a share of {rate['share']:.2f} (median of the rounds' own; asked "
        f"{data['targets']['share']}). Half of the answers came within {rate['p50_ms']:.0f} ms and 95 % within "
        f"{rate['p95_ms']:.0f} ms, {rate['p95_over_p50']:.2f} times as much (asked {data['targets']['p95_over_p50']}); "
        f"{rate['mean_batch']:.1f} images a batch.",
        "",
        f"{memory['requests']:,} requests: {after[0]:.0f} MB before, {after[len(after) // 2]:.0f} after half of them, "
        f"{after[-1]:.0f} at the end. {ends['times']} shutdowns under full load: {answered} answers, {ends['lost']} lost. "
        f"{hostile['uploads']:,} hostile uploads of {len(hostile['ends'])} kinds: "
        f"{hostile['megabytes_before_and_after'][0]:.0f} MB before, {hostile['megabytes_before_and_after'][1]:.0f} after, and it "
        "answers as before.",
        "",
        "| upload | what became of it |",
        "|---|---|",
        *(
            f"| {what} | {', '.join(f'{end} ({count})' for end, count in ends.items())} |"
            for what, ends in hostile["ends"].items()
        ),
        "",
        machine(data["machine"]),
        "",
    ]


def killed() -> list[str]:
    rows = read("killed.jsonl")
    if not rows:
        return []
    hit = [row for row in rows if row["killed"]]
    seconds = [row["seconds_of_the_run"] for row in hit]
    return [
        "## kill -9 at random moments of a tournament",
        "",
        f"{len(hit)} runs of {min(seconds):.0f} to {max(seconds):.0f} s killed (a fine-tuned network won in "
        f"{sum(row['winner'].startswith(('tuned', 'all layers tuned')) for row in hit)} of them): the same winner in "
        f"{sum(row['same_winner'] for row in hit)}, the same test accuracy in {sum(row['same_test'] for row in hit)}, the same "
        f"probabilities to the bit in {sum(row['same_to_the_bit'] for row in hit)}. Target: all of 20.",
        "",
        *machines(rows),
        "",
    ]


def autogluon(rows: Any) -> list[str]:
    lines = [
        "## Against AutoGluon MultiModal, in the same seconds",
        "",
        "MobileNetV2 (ImageNet) with the same weights, split and input, all images; accuracy in per cent on the same test "
        "images. AutoGluon runs its own recipe, with a part of the training images for validation, and ends after 20 epochs; "
        "graftwork's seconds include everything, AutoGluon's are those of `fit` (`autogluon.py`).",
        "",
        "| set | seed | px | limit | test | AutoGluon | graftwork | graftwork chose |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        peer, ours = (row["systems"][name] for name in ("autogluon", "graftwork"))
        shares = [
            f"{100 * side['right'].count('1') / row['test']:.1f} ({side['seconds']:.0f} s)" for side in (peer, ours)
        ]
        lines.append(
            f"| {row['set']} | {row['seed']} | {row['input_px']} | {row['limit_seconds']} s | {row['test']} | "
            f"{' | '.join(shares)} | {ours['chosen']} |"
        )
    versions = ", ".join(sorted({row["systems"]["autogluon"]["version"] for row in rows}))
    return [*lines, "", f"autogluon.multimodal {versions}.", "", *machines(rows), ""]


def by_processor(name: str, part: Callable[[Any], list[str]]) -> list[str]:
    """Return a part once for each kind of processor on which it was measured."""
    measured = [data for kind in PROCESSORS for end in ("json", "jsonl") if (data := read(f"{name}.{kind}.{end}"))]
    return [line for data in measured for line in part(data)]


def main() -> None:
    parts = [
        accuracy(), intervals(), linear_path(), leak(), novelty(), explaining(), by_processor("choose_c", choose_c), near_duplicates(),
        check_sets(),
        by_processor("forward", forward),
        by_processor("extraction", extraction), large(), by_processor("commands", commands),
        by_processor("training", training), by_processor("keras_rate", keras_rate),
        by_processor("depthwise", depthwise), schedules(), cached_views(), equal_seconds(), views(), choice(), strategies(), advice(), gauges(), advise(), order(), networks(), families(), caffe(), selection(), recipes(), precision(),
        by_processor("peers", peers), peers_before(),
        by_processor("autogluon", autogluon),
        by_processor("prefix", prefix), killed(),
        exports(), runtimes(), eight_bits(), by_processor("serve", service),
    ]  # fmt: skip
    head = [
        "# Results",
        "",
        "Written by `benchmarks/write_results.py` from the data in `benchmarks/results/`. Most parts end with the date, the "
        "processor with its flags, and versions. A *cell* is one combination of data set, backbone, number of training images "
        "per class and seed. A part that is missing has not been measured. The machine was shared during some measurements: "
        "seconds are upper bounds; ratios and accuracies are not affected.",
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join([*head, *(line for part in parts for line in part)]), encoding="utf-8")


if __name__ == "__main__":
    main()
