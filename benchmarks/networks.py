"""Which network? The cross-validated probe and cheaper measures, as orders of networks, against accuracy on test images.

    python benchmarks/networks.py [--sets …] [--seeds 0,1]

Trained on 20 images a class, tested on up to 300 others. The truth is the test accuracy of the linear classifier on the
layer that cross-validation chooses. Each (set, network, seed) is one line of ``results/networks.jsonl`` and is not
computed again; ``results/networks.json`` has regret (accuracy lost against the best network) and weighted tau.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import strategies
from datasets import SHARED, path_of
from machine import describe
from numpy.typing import NDArray
from scipy.stats import t, weightedtau
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier

from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import linear_candidates
from graftwork.errors import GraftError
from graftwork.steps.backbones import Backbone, open_backbone

RESULTS = Path(__file__).parent / "results"
SETS = (*strategies.SETS, "gtsrb", "cifar10")
NETWORKS = {
    "efficientnet_lite0": 96, "efficientnet_lite1": 96, "efficientnet_lite2": 96, "mobilenetv2_100.tv_in1k": 96,
    "mobilenetv2_035.keras_in1k": 96, "mobilenetv2_100.inat_bird": 96, "mobilenetv2_100.inat_insect": 96,
    "squeezenet1_1.mxnet_in1k": 96, "tf_mobilenetv3_small_075.mediapipe_in1k": 96, "deit_tiny_patch16_224.fb_in1k": 224,
}  # fmt: skip
"""Input in pixels."""
SIZE, MOST_TESTED = "20", 300
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
"""Of another measure beside the probe, both standardised within a set."""
Measure = Callable[[NDArray[np.float64], NDArray[np.integer]], float]


def knn(x: NDArray[np.float64], y: NDArray[np.integer]) -> float:
    """Accuracy of five neighbours by cosine, each image left out in turn."""
    model = KNeighborsClassifier(6, metric="cosine").fit(x, y)
    neighbours = model.kneighbors(x, return_distance=False)[:, 1:]
    votes = np.stack([(y[neighbours] == c).sum(axis=1) for c in np.unique(y)], axis=1)
    return float((votes.argmax(axis=1) == np.unique(y, return_inverse=True)[1]).mean())


def ridge(x: NDArray[np.float64], y: NDArray[np.integer]) -> float:
    """Accuracy of ridge regression to the classes, each image left out in turn in closed form."""
    model = RidgeClassifierCV(np.logspace(-2, 4, 13), store_cv_results=True, scoring=None).fit(standardised(x), y)
    return -float(model.cv_results_.mean(axis=(0, 1)).min())


def logme(x: NDArray[np.float64], y: NDArray[np.integer]) -> float:
    """Mean log evidence of a linear model of each class (You et al. 2021), with k/2 where n < d, centred and rescaled."""
    x = x - x.mean(axis=0)
    x = x / max(np.sqrt((x**2).mean()), 1e-12)
    n = len(x)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    sigma, k = s**2, len(s)
    evidence = []
    for c in np.unique(y):
        target = (y == c) - (y == c).mean()
        projected = (u.T @ target) ** 2
        rest = max(float(target @ target - projected.sum()), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(50):
            ratio = alpha / beta
            gamma = float((sigma / (sigma + ratio)).sum())
            m2 = float((sigma * projected / (ratio + sigma) ** 2).sum())
            residual = float((projected / (1 + sigma / ratio) ** 2).sum()) + rest
            alpha, beta = gamma / max(m2, 1e-12), max(n - gamma, 1e-6 * n) / max(residual, 1e-12)
            if abs(alpha / beta / ratio - 1) < 1e-4:
                break
        log_p = k / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
        log_p += -beta / 2 * residual - alpha / 2 * m2 - n / 2 * np.log(2 * np.pi)
        evidence.append(log_p / n)
    return float(np.mean(evidence))


def h_score(x: NDArray[np.float64], y: NDArray[np.integer]) -> float:
    """Trace of the class means' covariance over the codes' (Ibrahim et al. 2021), shrunk as Ledoit and Wolf have it."""
    x = x - x.mean(axis=0)
    fitted = LedoitWolf(assume_centered=True).fit(x)
    means = np.stack([x[y == c].mean(axis=0) for c in np.unique(y)])[np.unique(y, return_inverse=True)[1]]
    between = means.T @ means / len(x) * (1 - fitted.shrinkage_)
    return float(np.trace(np.linalg.solve(fitted.covariance_, between)))


MEASURES: dict[str, Measure] = {"knn": knn, "ridge": ridge, "logme": logme, "h_score": h_score}


def standardised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)


def opened(name: str, px: int, at: strategies.Cell) -> Backbone:
    path = SHARED / "weights" / f"{name}.safetensors"
    return open_backbone(str(path) if path.exists() else name, ExtractionOptions(input_px=px), at.checked.images)


def known(name: str) -> dict[str, Any]:
    """What is known of a network without any image: its accuracy on photographs of the source's classes."""
    path = SHARED / "weights" / f"{name}.json"
    checks = json.loads(path.read_text()).get("checks", {}) if path.exists() else {}
    return {"top1": checks.get("top1_fp16")}


def line_of(set_name: str, name: str, px: int, seed: int) -> dict[str, Any] | None:
    at = strategies.cell(set_name, strategies.DEFAULT, SIZE, seed)
    if at is None:
        return None
    at = dataclasses.replace(at, backbone=opened(name, px, at), test=at.test[:MOST_TESTED])
    card = at.backbone.card
    tested, result = strategies.linear(at, linear_candidates(card, losses=("softmax",)))
    codes = at.backbone.codes(at.checked.images.take(at.rows)).of([card.taps[-1].name]).astype(np.float64)
    y = at.y[at.rows]
    chosen = result.chosen
    return {
        "set": set_name, "network": name, "seed": seed, "train": len(at.rows), "test": len(at.test),
        "truth": round(100 * float(at.right(tested()).mean()), 2),
        "probe": round(100 * float((chosen.probabilities.argmax(axis=1) == y).mean()), 2),
        "probe_log_loss": round(-float(np.log(np.maximum(chosen.probabilities[np.arange(len(y)), y], 1e-12)).mean()), 4),
        **{measure: round(value(codes, y), 5) for measure, value in MEASURES.items()},
        "top1": known(name)["top1"] or card.top1_on_photos, "gmacs": card.gmacs, "params_millions": card.params_millions,
        "layer": chosen.candidate.layer,
    }  # fmt: skip


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Regret and weighted tau of each order, means of sets with 95 % intervals; combinations with sets left out."""
    by_set: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        by_set[line["set"]][line["network"]].append(line)
    sets = {name: networks for name, networks in by_set.items() if len(networks) > 5}

    def column(networks: dict[str, list[dict[str, Any]]], key: str) -> NDArray[np.float64]:
        values = [[line[key] for line in rows if line[key] is not None] for rows in networks.values()]
        filled = np.array([np.mean(each) if each else np.nan for each in values])
        return np.where(
            np.isnan(filled), np.nanmin(filled), filled
        )  # an accuracy that nobody states is no recommendation

    def standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - values.mean()) / max(values.std(), 1e-9)

    keys = {"probe": "probe", "probe, log loss": "probe_log_loss", **{name: name for name in MEASURES},
            "accuracy on the source": "top1", "size": "params_millions", "operations": "gmacs"}  # fmt: skip
    orders = {
        label: {name: column(networks, key) * (-1 if key == "probe_log_loss" else 1) for name, networks in sets.items()}
        for label, key in keys.items()
    }
    truth = {name: column(networks, "truth") for name, networks in sets.items()}

    def regret(values: NDArray[np.float64], of: str) -> float:
        return float(truth[of].max() - truth[of][int(values.argmax())])

    for label in [label for label in orders if not label.startswith("probe")]:
        joined = {}
        for left in sets:
            mean = [
                np.mean(
                    [
                        regret(standard(orders["probe"][s]) + w * standard(orders[label][s]), s)
                        for s in sets
                        if s != left
                    ]
                )
                for w in WEIGHTS
            ]
            w = WEIGHTS[int(np.argmin(mean))]
            joined[left] = standard(orders["probe"][left]) + w * standard(orders[label][left])
        orders[f"probe and {label}"] = joined

    def over_sets(values: list[float]) -> dict[str, float]:
        each = np.array(values)
        half = float(t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each)))
        return {
            k: round(float(v), 2)
            for k, v in (("mean", each.mean()), ("low", each.mean() - half), ("high", each.mean() + half))
        }

    rank = {name: np.argsort(np.argsort(-values)) for name, values in truth.items()}
    return {
        label: {
            "regret": over_sets([regret(values[name], name) for name in sets]),
            "tau": over_sets(
                [float(weightedtau(values[name], truth[name], rank=rank[name]).statistic) for name in sets]
            ),
            "sets": len(sets),
        }
        for label, values in orders.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    path = RESULTS / "networks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(line["set"], line["network"], line["seed"]) for line in lines}
    for seed in map(int, options.seeds.split(",")):
        for set_name in options.sets.split(","):
            path_of(set_name)
            for name, px in NETWORKS.items():
                if (set_name, name, seed) in done:
                    continue
                try:
                    line = line_of(set_name, name, px, seed)
                except GraftError as error:
                    print(set_name, name, error, flush=True)
                    continue
                if line is not None:
                    lines.append(line)
                    with path.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(set_name, name, seed, line["truth"], line["probe"], flush=True)
    result = {"orders": summary(lines), "lines": len(lines), "machine": describe()}
    (RESULTS / "networks.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["orders"], indent=1))


if __name__ == "__main__":
    main()
