"""Write RESULTS.md from the data in results/; no figure in it is typed by hand.

python benchmarks/write_results.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results"


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


def accuracy() -> list[str]:
    rows = read("accuracy.jsonl")
    if not rows:
        return []
    lines = [
        "## Nested accuracy: layer and C chosen inside, against the last layer on the same folds",
        "",
        "| set | backbone | seed | images | chosen | last layer | gain (standard error) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['set']} | {row['backbone']} | {row['seed']} | {row['images']} | {row['chosen_percent']:.1f} | "
            f"{row['last_percent']:.1f} | {row['gain_points']:+.2f} ({row['gain_standard_error']:.2f}) |"
        )
    gains = np.array([row["gain_points"] for row in rows])
    half = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    lines += [
        "",
        f"Mean gain {gains.mean():+.2f} points over {len(gains)} cells (95 % interval {gains.mean() - half:+.2f} to "
        f"{gains.mean() + half:+.2f}, cells as units); lowest {gains.min():+.2f}. Asked: no set below -0.5, mean above 0, "
        "3 seeds, two backbones (18 sets-and-backbones, 54 cells).",
        "",
        machine(rows[-1]["machine"]),
        "",
    ]
    return lines


def leak() -> list[str]:
    found = read("leak.json")
    if not found:
        return []
    lines = [
        "## Leak: gtsrb without its tracks",
        "",
        "| folds by | accuracy | 95 % interval | groups |",
        "|---|---|---|---|",
    ]
    for name, row in found["accuracy"].items():
        lines.append(f"| {name} | {row['percent']:.1f} | {row['low']:.1f} to {row['high']:.1f} | {row['groups']} |")
    flags = ", ".join(f"`--group-by '{f['flag']}'` ({f['groups']} groups)" for f in found["proposed_from_names"])
    lines += ["", f"Files named TRACK_FRAME: `check` proposes {flags}; there are {found['tracks']} tracks.", ""]
    return [*lines, machine(found["machine"]), ""]


def novelty() -> list[str]:
    found = read("novelty.json")
    if not found:
        return []
    own = found["own_test"]
    aurocs = [pair["auroc"] for pair in found["pairs"]]
    flags = ", ".join(f"{name} {row['flagged_percent']:.1f} %" for name, row in own.items())
    return [
        "## Novelty: embedded default, last layer, flag rate 1 %",
        "",
        f"False alarms on the own test part: {flags}. Asked: 0 to 3 %.",
        "",
        f"AUROC at least 0.9 on {found['pairs_at_least_0.9']} of {len(aurocs)} pairs of sets (asked: 12); lowest "
        f"{min(aurocs):.3f}, median {np.median(aurocs):.4f}.",
        "",
        machine(found["machine"]),
        "",
    ]


def choose_c() -> list[str]:
    found = read("choose_c.json")
    if not found:
        return []
    seconds, ratios = found["median_seconds"], found["ratios"]
    lines = [
        "## Choosing C and refitting: cifar10 through MobileNetV2 (n = 9,500, d = 1,280, 10 classes, 5 folds, 10 Cs)",
        "",
        "| | median seconds |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in seconds.items()),
        "",
        *(f"- {name}: {value:.2f}" for name, value in ratios.items()),
        "",
        "Asked: at least 10 times `LogisticRegressionCV`; the SVM within 3 times of our softmax. The load beside the date says "
        "how many other processes shared the two cores; threads of BLAS that wait actively slow each other down there.",
        "",
    ]
    return [*lines, machine(found["machine"]), ""]


def near_copies() -> list[str]:
    found = read("near_copies.json")
    if not found:
        return []
    lines = [
        "## Near-copies: found, and falsely grouped",
        "",
        "| set | images | falsely grouped | largest group | recall by kind of copy |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["sets"].items():
        recall = ", ".join(f"{kind} {value:.0f}" for kind, value in row["recall %"].items())
        lines.append(
            f"| {name} | {row['images']} | {row.get('falsely grouped %', float('nan')):.2f} % | {row['largest group']} | {recall} |"
        )
    return [*lines, "", "Asked: recall at least 95 %, at most 1 % of distinct images grouped (gtsrb apart).", ""]


def forward() -> list[str]:
    found = read("forward.json")
    if not found:
        return []
    lines = [
        "## Forward pass at 224 px, random weights, against eager float32 PyTorch",
        "",
        "| network | eager f32 | openvino f32 | openvino bf16 | worst error of bf16 | chosen | times eager | asked (bf16 / AVX2) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["forward"]:
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
        "Images a second, medians of rounds taken in turn. An engine in bf16 is taken only within an error of 0.02 (law 1); "
        f"load averages were {', '.join(str(row['load_average'][0]) for row in found['forward'])}.",
        "",
    ]
    return [*lines, machine(found["machine"]), ""]


def commands() -> list[str]:
    found = read("commands.json")
    if not found:
        return []
    rows = [f"| {name} | {row['median_seconds']:.2f} |" for name, row in found["commands"].items()]
    return [
        "## Whole commands, each in a new process",
        "",
        "| command | median seconds |",
        "|---|---|",
        *rows,
        "",
        "Asked: help under 0.3 s, one prediction under 3 s.",
        "",
        machine(found["machine"]),
        "",
    ]


def main() -> None:
    parts = [accuracy(), leak(), novelty(), choose_c(), near_copies(), forward(), commands()]
    head = [
        "# Results",
        "",
        "Written by `benchmarks/write_results.py` from the data in `benchmarks/results/`. Every figure names date, processor, "
        "flags and versions. A part that is missing here has not been measured. The machine was shared while these were "
        "taken: seconds are upper bounds, ratios and accuracies stand.",
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join([*head, *(line for part in parts for line in part)]), encoding="utf-8")


if __name__ == "__main__":
    main()
